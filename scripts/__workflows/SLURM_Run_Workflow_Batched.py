#!/usr/bin/env python
"""Run analyses on a selection in batches, each a run of its own, and bring all results back into OMERO.

Whoever opens the dialog runs this file up to `scripts.client`; until then it reads one small file and asks nobody.
"""

import sys

from omero import scripts
from omero.constants.namespaces import NSDYNAMIC

from worker.dialogs.fields import BATCHED
from worker.dialogs.parameters import describe, read_catalogue, workflow_parameters


def run_script() -> int:
    """Show the dialog, or run what was filled in.

    Returns
    -------
    int
        The exit status: 0 only if the results are in OMERO.
    """
    catalogue = read_catalogue()
    client = scripts.client(
        BATCHED.title,
        describe(catalogue, BATCHED),
        *workflow_parameters(catalogue, BATCHED),
        # Asked anew each time, as workflows and versions come and go.
        namespaces=[NSDYNAMIC],
    )
    try:
        # Only now: the engine is large, and a dialog has no use for it.
        from worker.dialogs.launch import launch

        return launch(client, catalogue, BATCHED)
    finally:
        client.closeSession()


if __name__ == "__main__":
    sys.exit(run_script())
