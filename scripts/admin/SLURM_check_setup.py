#!/usr/bin/env python
"""Look whether the Slurm clusters are set up, and say how to mend what is wrong. For admins.

Whoever opens the dialog runs this file up to `scripts.client`; until then it asks nobody.
"""

import sys

from omero import scripts
from omero.constants.namespaces import NSDYNAMIC

from worker.dialogs import administration


def run_script() -> int:
    """Show the dialog, or do the check.

    Returns
    -------
    int
        The exit status: 0 only if there is a report.
    """
    client = scripts.client(
        administration.CHECK_TITLE,
        administration.CHECK_PURPOSE,
        namespaces=[NSDYNAMIC],
    )
    try:
        # Only now: the engine is large, and a dialog has no use for it.
        from worker.dialogs.answer import answer
        from worker.dialogs.setting_up import check_setup

        return answer(client, check_setup)
    finally:
        client.closeSession()


if __name__ == "__main__":
    sys.exit(run_script())
