#!/usr/bin/env python
"""Say how far a Slurm job is, or attach its log to a project.

Whoever opens the dialog runs this file up to `scripts.client`; until then it asks OMERO and the record of runs, for
three seconds at most, for the person's own projects and jobs.
"""

import sys

from omero import scripts
from omero.constants.namespaces import NSDYNAMIC

from worker.dialogs import own_jobs


def run_script() -> int:
    """Show the dialog, or do what was filled in.

    Returns
    -------
    int
        The exit status: 0 only if everything that was asked for was done.
    """
    offer = own_jobs.look_up_jobs()
    client = scripts.client(
        own_jobs.TITLE,
        own_jobs.describe(offer),
        *own_jobs.parameters(offer),
        # Asked anew each time, as jobs come and go.
        namespaces=[NSDYNAMIC],
    )
    try:
        # Only now: the engine is large, and a dialog has no use for it.
        from worker.dialogs.answer import answer
        from worker.dialogs.updates import update

        return answer(client, update)
    finally:
        client.closeSession()


if __name__ == "__main__":
    sys.exit(run_script())
