#!/usr/bin/env python
"""Transfer images to a folder on the Slurm cluster.

Whoever opens the dialog runs this file up to `scripts.client`; until then it asks nobody.
"""

import sys

from omero import scripts
from omero.constants.namespaces import NSDYNAMIC

from worker.dialogs.transfer import IMAGE, image_parameters


def run_script() -> int:
    """Show the dialog, or do what was filled in.

    Returns
    -------
    int
        The exit status: 0 only if the images are on the cluster.
    """
    client = scripts.client(
        IMAGE.title,
        IMAGE.purpose,
        *image_parameters(),
        # Asked anew each time, as the name of the folder changes.
        namespaces=[NSDYNAMIC],
    )
    try:
        # Only now: the engine is large, and a dialog has no use for it.
        from worker.dialogs.transferring import transfer_images

        return transfer_images(client)
    finally:
        client.closeSession()


if __name__ == "__main__":
    sys.exit(run_script())
