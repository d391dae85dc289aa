"""Where exported files go: one file at a time, whole, never onto our own disk."""

from __future__ import annotations

from typing import Protocol


class ArchiveSink(Protocol):
    """Takes the files of an export, for instance into a tar stream to the cluster."""

    def add(self, path: str, data: bytes | memoryview) -> None:
        """Take a file.

        Parameters
        ----------
        path : str
            Where it is in the archive: relative, with ``/``, each once.
        data : bytes or memoryview
            Its content; valid only during the call.
        """
