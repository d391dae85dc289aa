"""What a command on the cluster has answered, in the shape that notebooks expect."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Result:
    """How commands on the cluster have ended.

    Parameters
    ----------
    command : str
        What was run, quoted.
    stdout : str
        What it wrote.
    stderr : str
        What it complained about.
    exited : int
        Its exit status.
    """

    command: str = ""
    stdout: str = ""
    stderr: str = ""
    exited: int = 0

    @property
    def ok(self) -> bool:
        """Whether it went well."""
        return self.exited == 0

    @property
    def failed(self) -> bool:
        """Whether it did not."""
        return not self.ok

    def __bool__(self) -> bool:
        return self.ok
