#!/usr/bin/env python
"""Transfer an attached file to a folder on the Slurm cluster.

Whoever opens the dialog runs this file up to `scripts.client`; until then it asks nobody.
"""

import sys

from omero import scripts
from omero.constants.namespaces import NSDYNAMIC

from worker.dialogs.transfer import FILE, file_parameters


def run_script() -> int:
    """Show the dialog, or do what was filled in.

    Returns
    -------
    int
        The exit status: 0 only if the file is on the cluster.
    """
    client = scripts.client(
        FILE.title,
        FILE.purpose,
        *file_parameters(),
        # Asked anew each time, as the other dialogs are.
        namespaces=[NSDYNAMIC],
    )
    try:
        # Only now: the engine is large, and a dialog has no use for it.
        from worker.dialogs.transferring import transfer_file

        return transfer_file(client)
    finally:
        client.closeSession()


if __name__ == "__main__":
    sys.exit(run_script())
