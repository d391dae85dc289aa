#!/usr/bin/env python
"""Show the last lines of the worker's log to an admin.

Whoever opens the dialog runs this file up to `scripts.client`; until then it looks at the names in one folder.
"""

import sys

from omero import scripts
from omero.constants.namespaces import NSDYNAMIC

from worker.dialogs.tailing import PURPOSE, TITLE, parameters, tail


def run_script() -> int:
    """Show the dialog, or do what was filled in.

    Returns
    -------
    int
        The exit status: 0 only if an admin was shown the log.
    """
    # Asked anew each time, as files come and go.
    client = scripts.client(TITLE, PURPOSE, *parameters(), namespaces=[NSDYNAMIC])
    try:
        from worker.dialogs.answer import answer

        return answer(client, tail)
    finally:
        client.closeSession()


if __name__ == "__main__":
    sys.exit(run_script())
