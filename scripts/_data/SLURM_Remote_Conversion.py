#!/usr/bin/env python
"""Convert images that are on the Slurm cluster already.

Whoever opens the dialog runs this file up to `scripts.client`; until then it asks OMERO and the record of runs, for
three seconds at most, for the person's own folders.
"""

import sys

from omero import scripts
from omero.constants.namespaces import NSDYNAMIC

from worker.dialogs.own_runs import own_runs
from worker.dialogs.parameters import read_catalogue
from worker.dialogs.transfer import CONVERSION, conversion_parameters, folders_of


def run_script() -> int:
    """Show the dialog, or do what was filled in.

    Returns
    -------
    int
        The exit status: 0 only if all images are converted.
    """
    found, converters = own_runs(), read_catalogue().converters
    client = scripts.client(
        CONVERSION.title,
        f"{CONVERSION.purpose} {found.problem}".strip(),
        *conversion_parameters(folders_of(found.rows), converters),
        # Asked anew each time, as folders come and go.
        namespaces=[NSDYNAMIC],
    )
    try:
        # Only now: the engine is large, and a dialog has no use for it.
        from worker.dialogs.transferring import convert

        return convert(client, converters)
    finally:
        client.closeSession()


if __name__ == "__main__":
    sys.exit(run_script())
