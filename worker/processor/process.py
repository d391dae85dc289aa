"""How Processor-0 runs a script: as OMERO does, with more of the environment handed on.

The server's property ``omero.process.python=worker.processor.process.WorkerProcess`` makes every Processor use this
class; the stock ``omero/processor.py`` stays as it is. A script is handed proxies, places and the names of secret
files, never a secret itself: any user's script runs with this environment.
"""

from __future__ import annotations

import os

from omero.processor import ProcessI

from worker.settings.environment import FORWARDED_NAMES


class WorkerProcess(ProcessI):  # type: ignore[misc]  # omero-py has no type information
    """One script that Processor-0 runs."""

    def make_env(self) -> None:
        """Build the environment of the script.

        Called by ``ProcessI.__init__``: nothing that a subclass sets up later is there yet.
        """
        super().make_env()
        for name in FORWARDED_NAMES:
            value = os.environ.get(name)
            # Compose sets what is not configured to nothing; a blank proxy is not no proxy to every library.
            if value:
                self.env.set(name, value)
