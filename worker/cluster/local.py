"""A transport to this very machine, for a worker that runs on a login node, and for tests."""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import subprocess
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING

from worker.cluster.quoting import quote
from worker.cluster.transport import CHUNK_BYTES, TICK_S, ProgramTransport
from worker.errors import NotSent, OutcomeUnknown

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from worker.cluster.transport import Program


class LocalTransport(ProgramTransport):
    """Runs programs here.

    Parameters
    ----------
    directory : Path, optional
        Where programs start; by default the home directory, as with SSH.
    command_timeout_s : float
        Patience with silent programs.
    """

    def __init__(self, directory: Path | None = None, *, command_timeout_s: float = 60.0) -> None:
        self._directory = directory
        self._command_timeout_s = command_timeout_s

    def close(self) -> None:
        """Do nothing: there is no connection."""

    @contextmanager
    def started(self, argv: Sequence[str], stdin: Iterable[bytes] | None, timeout_s: float | None) -> Iterator[Program]:
        """Start a program; see `worker.cluster.transport.ProgramTransport.started`."""
        limit_s = self._command_timeout_s if timeout_s is None else timeout_s
        quote(argv)  # the same arguments are impossible here as over SSH
        process = _Process(argv, stdin, limit_s, self._directory)
        try:
            yield process
        finally:
            process.end()


class _Process:
    """One program, fed and read without a thread."""

    def __init__(
        self, argv: Sequence[str], stdin: Iterable[bytes] | None, limit_s: float, directory: Path | None
    ) -> None:
        self.stderr = bytearray()
        self.exit_status = -1
        self._argv = argv
        self._limit_s = limit_s
        self._input = iter(stdin if stdin is not None else ())
        self._pending = memoryview(b"")
        self._popen: subprocess.Popen[bytes] | None = None
        environment = {**os.environ, "PWD": str(directory)} if directory else None
        try:
            self._popen = subprocess.Popen(
                [os.fsencode(argument) for argument in argv],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                cwd=directory or os.path.expanduser("~"),  # noqa: PTH111 - Path.home() fails without a passwd entry
                env=environment,
                start_new_session=True,
                bufsize=0,
            )
        except FileNotFoundError:
            self._never_ran(127, "not found")
        except PermissionError:
            self._never_ran(126, "permission denied")
        except OSError as error:
            raise NotSent(f"{argv[0]} could not be started: {error}.") from error

    def _never_ran(self, exit_status: int, why: str) -> None:
        """End as a shell does that cannot start a program."""
        self.exit_status = exit_status
        self.stderr += f"{self._argv[0]}: {why}\n".encode()

    def output(self) -> Iterator[bytes]:
        """Feed the program and give what it writes, until it ends."""
        if self._popen is None:
            return
        stdin, stdout, stderr = (_opened(pipe) for pipe in (self._popen.stdin, self._popen.stdout, self._popen.stderr))
        os.set_blocking(stdin.fileno(), False)
        with selectors.DefaultSelector() as selector:
            selector.register(stdout, selectors.EVENT_READ)
            selector.register(stderr, selectors.EVENT_READ)
            selector.register(stdin, selectors.EVENT_WRITE)
            silent_s = 0.0
            while len(selector.get_map()) > (1 if not stdin.closed else 0):
                tick_s = min(TICK_S, self._limit_s - silent_s)
                ready = selector.select(tick_s)
                silent_s = 0.0 if ready else silent_s + tick_s
                if not ready:
                    if silent_s >= self._limit_s:
                        self._give_up()
                    yield b""
                for key, _ in ready:
                    if key.fileobj is stdin:
                        if not self._feed(stdin):
                            selector.unregister(stdin)
                            stdin.close()
                        continue
                    piece = os.read(key.fd, CHUNK_BYTES)
                    if not piece:
                        selector.unregister(key.fileobj)
                    elif key.fileobj is stderr:
                        self.stderr += piece
                    else:
                        yield piece
        stdin.close()
        try:
            status = self._popen.wait(self._limit_s)
        except subprocess.TimeoutExpired:
            self._give_up()
        self.exit_status = status if status >= 0 else 128 - status

    def _feed(self, stdin: IO[bytes]) -> bool:
        """Write what fits; return whether there is more to come."""
        while not self._pending:
            piece = next(self._input, None)
            if piece is None:
                return False
            self._pending = memoryview(piece)
        try:
            self._pending = self._pending[os.write(stdin.fileno(), self._pending[:CHUNK_BYTES]) :]
        except BrokenPipeError:
            return False  # it does not want to read more; its exit status tells why
        return True

    def _give_up(self) -> None:
        raise OutcomeUnknown(
            f"{self._argv[0]} has been silent for {self._limit_s:g} s and was stopped.",
            remedy="Look up whether it took effect before it is repeated.",
        )

    def end(self) -> None:
        """Leave nothing behind, even if the program has not ended."""
        if self._popen is None:
            return
        if self._popen.poll() is None:
            # Nobody can refuse the second; but a busy machine takes its time, and one that is left is a zombie of ours.
            for number, patience_s in ((signal.SIGTERM, 2.0), (signal.SIGKILL, 10.0)):
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(self._popen.pid, number)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self._popen.wait(patience_s)
                    break
        for pipe in (self._popen.stdin, self._popen.stdout, self._popen.stderr):
            if pipe is not None:
                pipe.close()


def _opened(pipe: IO[bytes] | None) -> IO[bytes]:
    if pipe is None:  # pragma: no cover - Popen was asked for all three
        raise NotSent("The program has no pipes.")
    return pipe
