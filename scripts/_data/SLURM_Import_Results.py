#!/usr/bin/env python
"""Bring the results of a Slurm job that has ended into OMERO, in place, through the importer.

Whoever opens the dialog runs this file up to `scripts.client`; until then it asks OMERO and the record of runs, for
three seconds at most each, for the person's own jobs and containers.
"""

import sys

from omero import scripts
from omero.constants.namespaces import NSDYNAMIC

from worker.dialogs import own_results
from worker.dialogs.result_fields import IMPORT


def run_script() -> int:
    """Show the dialog, or do what was filled in.

    Returns
    -------
    int
        The exit status: 0 only if everything that was asked for is in OMERO.
    """
    offer = own_results.look_up_results()
    client = scripts.client(
        IMPORT.title,
        own_results.describe(IMPORT, offer),
        *own_results.parameters(IMPORT, offer),
        # Asked anew each time, as jobs come and go.
        namespaces=[NSDYNAMIC],
    )
    try:
        # Only now: the engine is large, and a dialog has no use for it.
        from worker.dialogs.bringing import bring_results

        return bring_results(client, in_place=True)
    finally:
        client.closeSession()


if __name__ == "__main__":
    sys.exit(run_script())
