#!/usr/bin/env python
"""Set the Slurm clusters up: folders, job scripts, container images. For admins.

Whoever opens the dialog runs this file up to `scripts.client`; until then it asks nobody.
"""

import sys

from omero import scripts
from omero.constants.namespaces import NSDYNAMIC

from worker.dialogs import administration


def run_script() -> int:
    """Show the dialog, or do what was filled in.

    Returns
    -------
    int
        The exit status: 0 only if everything is set up.
    """
    client = scripts.client(
        administration.INIT_TITLE,
        administration.INIT_PURPOSE,
        *administration.init_parameters(),
        namespaces=[NSDYNAMIC],
    )
    try:
        # Only now: the engine is large, and a dialog has no use for it.
        from worker.dialogs.answer import answer
        from worker.dialogs.setting_up import init_environment

        return answer(client, init_environment)
    finally:
        client.closeSession()


if __name__ == "__main__":
    sys.exit(run_script())
