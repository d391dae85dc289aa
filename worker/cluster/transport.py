"""What the rest of this room needs from a way to the cluster: run a program, feed it, read it.

A transport has one contract, whether the far side is reached by SSH or is this machine: arguments arrive exactly as
given, bytes are not changed, the exit status is the program's own, and a failure says whether the program may have
run (`worker.errors.OutcomeUnknown`) or cannot have (`worker.errors.NotSent`).
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from worker.cluster.quoting import quote
from worker.errors import ClusterFull, CommandFailed

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from contextlib import AbstractContextManager

CHUNK_BYTES = 256 * 1024
"""Largest piece in which a stream is handed on."""

TICK_S = 0.5
"""For how long a silent program keeps its reader waiting before it is given an empty piece."""


_NO_SPACE = re.compile(r"no space left on device|disk quota exceeded|wrote only \d+ of \d+ bytes", re.IGNORECASE)
"""What programs say on a full disk; the last is GNU tar's."""


def failure(argv: Sequence[str], exit_status: int, stderr: str) -> CommandFailed:
    """Say why a command failed.

    Parameters
    ----------
    argv : Sequence[str]
        Program and arguments.
    exit_status : int
        Its exit status.
    stderr : str
        What it wrote to standard error.

    Returns
    -------
    CommandFailed
        The error; `ClusterFull` if there is no space left.
    """
    kind = ClusterFull if _NO_SPACE.search(stderr) else CommandFailed
    # One of our scripts is known by its name; its text would tell a person nothing.
    shown = argv[3:] if tuple(argv[:2]) == ("sh", "-c") and len(argv) > 3 else argv
    return kind(quote(shown), exit_status, stderr)


@dataclass(frozen=True, slots=True)
class Completed:
    """A program that has ended.

    Parameters
    ----------
    argv : tuple[str, ...]
        Program and arguments.
    exit_status : int
        Its own exit status, in the way of a shell: 127 if there is no such program, 128 + n if signal n ended it.
    stdout, stderr : bytes
        What it wrote.
    """

    argv: tuple[str, ...]
    exit_status: int
    stdout: bytes
    stderr: bytes

    @property
    def text(self) -> str:
        """Standard output as text; bytes that are not UTF-8 (file names may have some) survive as surrogates."""
        return self.stdout.decode("utf-8", "surrogateescape")

    @property
    def error_text(self) -> str:
        """Standard error as text for persons."""
        return self.stderr.decode("utf-8", "replace").strip()

    def check(self) -> Completed:
        """Insist on success.

        Returns
        -------
        Completed
            This.

        Raises
        ------
        ClusterFull
            If it is not 0 because there is no space left.
        CommandFailed
            If the exit status is not 0.
        """
        if self.exit_status != 0:
            raise failure(self.argv, self.exit_status, self.error_text)
        return self


class Transport(Protocol):
    """A way to run programs on the cluster."""

    def run(
        self, argv: Sequence[str], *, stdin: Iterable[bytes] | None = None, timeout_s: float | None = None
    ) -> Completed:
        """Run a program to its end.

        Parameters
        ----------
        argv : Sequence[str]
            Program and arguments; no shell looks at them.
        stdin : Iterable[bytes], optional
            Pieces of its standard input, taken as it reads them; by default it is empty. The program may end
            without reading all of it.
        timeout_s : float, optional
            For how long the far side may be silent, neither sending nor taking a byte. A transfer that goes on may
            last for hours. By default the transport's own patience.

        Returns
        -------
        Completed
            Whatever its exit status.

        Raises
        ------
        NotSent
            The program has not run.
        Refused
            The far side does not let us in.
        OutcomeUnknown
            The program may have run, or may still.
        """

    def stream(
        self, argv: Sequence[str], *, stdin: Iterable[bytes] | None = None, timeout_s: float | None = None
    ) -> AbstractContextManager[Iterator[bytes]]:
        """Run a program and read its standard output while it runs.

        Parameters
        ----------
        argv : Sequence[str]
            Program and arguments, as for `run`.
        stdin : Iterable[bytes], optional
            Its standard input, as for `run`.
        timeout_s : float, optional
            For how long the far side may be silent, as for `run`.

        Returns
        -------
        AbstractContextManager[Iterator[bytes]]
            Gives pieces of standard output, and an empty one twice a second while there is none: whoever reads may
            want to look whether to go on. The iterator raises `CommandFailed` at the end if the exit status is not
            0; whoever leaves earlier ends the program.

        Raises
        ------
        NotSent, Refused, OutcomeUnknown, CommandFailed
            As for `run`.
        """

    def close(self) -> None:
        """End all connections. The transport can be used again; it will connect again."""


class Program(Protocol):
    """A program that was started."""

    @property
    def exit_status(self) -> int:
        """Its exit status, once its output has come to an end."""

    @property
    def stderr(self) -> bytes | bytearray:
        """What it has written to standard error so far."""

    def output(self) -> Iterator[bytes]:
        """Feed the program and give its standard output, until it ends."""


class ProgramTransport(ABC):
    """A transport made of one way to start a program; see `Transport`."""

    @abstractmethod
    def started(
        self, argv: Sequence[str], stdin: Iterable[bytes] | None, timeout_s: float | None
    ) -> AbstractContextManager[Program]:
        """Start a program, which is ended with the block."""

    def run(
        self, argv: Sequence[str], *, stdin: Iterable[bytes] | None = None, timeout_s: float | None = None
    ) -> Completed:
        """Run a program to its end; see `Transport.run`."""
        with self.started(argv, stdin, timeout_s) as program:
            stdout = b"".join(program.output())
            return Completed(tuple(argv), program.exit_status, stdout, bytes(program.stderr))

    @contextmanager
    def stream(
        self, argv: Sequence[str], *, stdin: Iterable[bytes] | None = None, timeout_s: float | None = None
    ) -> Iterator[Iterator[bytes]]:
        """Run a program and read what it writes while it runs; see `Transport.stream`."""
        with self.started(argv, stdin, timeout_s) as program:
            yield _insisting(program, argv)


def _insisting(program: Program, argv: Sequence[str]) -> Iterator[bytes]:
    """Give what a program writes, and insist on its success."""
    yield from program.output()
    if program.exit_status != 0:
        raise failure(argv, program.exit_status, program.stderr.decode("utf-8", "replace"))
