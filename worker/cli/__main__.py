"""``python -m worker.cli``: the ``omero-worker`` command, where it is not on the PATH."""

from __future__ import annotations

from worker.cli.main import run

if __name__ == "__main__":
    run()
