"""One command on an SSH connection, from its request to its exit status."""

from __future__ import annotations

import secrets
import time
from typing import TYPE_CHECKING, Self

import paramiko

from worker.cluster.quoting import quote
from worker.cluster.transport import CHUNK_BYTES, TICK_S
from worker.cluster.watchdog import Watchdog
from worker.errors import ConnectionLost, NotSent, OutcomeUnknown, Refused

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from worker.cluster.connection import Connection

PACKET_BYTES = 32 * 1024
"""What fits into one packet of the protocol; more would be copied again and again while it is cut up."""

RECEIVE_BYTES = 2 * 1024 * 1024
"""What paramiko holds of a channel at most, its window. Whatever is not taken of it is moved to the front of its buffer
each time, so that a slow reader who took little at once would spend most of its time on that."""

SEND_WAIT_S = 0.05
"""How long a write waits for room before we look whether there is something to read instead."""


class Command:
    """A command on the far side, fed and read by one thread; used in a ``with``.

    The login shell may write greetings before the command starts (a ``.bashrc`` with an ``echo`` is common); they end
    at a mark that no greeting knows, and are dropped.

    Parameters
    ----------
    connection : Connection
        Where it runs; nobody else uses it meanwhile.
    argv : Sequence[str]
        Program and arguments.
    stdin : Iterable[bytes], optional
        Its standard input.
    timeout_s : float
        For how long the far side may be silent.
    open_timeout_s : float
        For how long it may take to accept a command.
    """

    def __init__(
        self,
        connection: Connection,
        argv: Sequence[str],
        stdin: Iterable[bytes] | None,
        *,
        timeout_s: float,
        open_timeout_s: float,
    ) -> None:
        self.exit_status = -1
        self._connection = connection
        self._argv = argv
        mark = f"-- {secrets.token_hex(8)} --"
        # Not the last command of the line: a shell would replace itself by it, and a program that is killed
        # would then leave no exit status.
        self._line = f"echo {quote([mark])}; echo {quote([mark])} >&2; {quote(argv)}; exit $?"
        self._greetings = {"stdout": _Greeting(mark), "stderr": _Greeting(mark)}
        self._stderr = bytearray()
        self._input = iter(stdin) if stdin is not None else iter(())
        self._open_timeout_s = open_timeout_s
        self._watchdog = Watchdog(timeout_s, connection.close)
        self._channel: paramiko.Channel | None = None

    @property
    def stderr(self) -> bytes:
        """What the command has written to standard error so far."""
        return bytes(self._stderr)

    def __enter__(self) -> Self:
        self._watchdog.__enter__()
        try:
            self._channel = self._request()
        except BaseException:
            self._watchdog.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        ended = self.exit_status >= 0
        self._watchdog.__exit__()
        if self._channel is not None and ended:
            self._channel.close()
        elif not ended:
            # What is left of the command's output would have to be read first; a new connection is cheaper.
            self._connection.close()

    def _request(self) -> paramiko.Channel:
        host = self._connection.host
        try:
            channel = self._connection.transport.open_session(timeout=self._open_timeout_s)
        except (paramiko.SSHException, EOFError, OSError) as error:
            raise NotSent(f"The connection to {host} has ended: {error or 'closed by the server'}.") from error
        self._watchdog.alive()
        try:
            channel.exec_command(self._line.encode("utf-8", "surrogateescape"))
        except (paramiko.SSHException, EOFError, OSError) as error:
            if self._connection.alive and not self._watchdog.expired:
                raise Refused(
                    f"{host} does not let us run commands.",
                    remedy="Ask the admins of the cluster whether the account may only transfer files.",
                ) from error
            # The request was on its way, so that the command may have been started.
            raise self._lost(error) from error
        self._watchdog.alive()
        return channel

    def _lost(self, error: BaseException | None = None) -> OutcomeUnknown:
        program, host = self._argv[0], self._connection.host
        remedy = "Look up whether it took effect before it is repeated."
        if self._watchdog.expired:
            limit_s = self._watchdog.limit_s
            return OutcomeUnknown(f"{program} on {host} has been silent for {limit_s:g} s.", remedy=remedy)
        why = f": {error}" if error is not None and str(error) else ""
        return ConnectionLost(f"The connection to {host} was lost while {program} was running{why}.", remedy=remedy)

    def output(self) -> Iterator[bytes]:
        """Feed the command and give its standard output, until it ends.

        Yields
        ------
        bytes
            Pieces of standard output; empty ones while there is none.

        Raises
        ------
        ConnectionLost
            If the connection breaks.
        OutcomeUnknown
            If the far side is silent for too long.
        Refused
            If the login shell ended before it came to the command.
        """
        channel = self._channel
        if channel is None:
            raise NotSent(f"{self._argv[0]} has not been started.")
        try:
            yield from self._pump(channel)
            if not channel.status_event.wait(self._watchdog.limit_s) or channel.exit_status < 0:
                raise self._lost()
        except (paramiko.SSHException, EOFError, OSError) as error:
            raise self._lost(error) from error
        self.exit_status = channel.exit_status
        if not self._greetings["stdout"].over:
            shown = (self._greetings["stdout"].text + self._greetings["stderr"].text).decode("utf-8", "replace").strip()
            raise Refused(
                f"The login shell on {self._connection.host} ended before it ran our command: {shown or 'no message'}.",
                remedy="Log in by hand and look at the shell of the account and its start-up files.",
            )

    def _pump(self, channel: paramiko.Channel) -> Iterator[bytes]:
        sending = True
        pending = memoryview(b"")
        given_at = time.monotonic()
        while True:
            if sending and not pending:
                with self._watchdog.asleep():
                    given = next(self._input, None)
                if given is None:
                    sending = False
                    channel.shutdown_write()
                pending = memoryview(given or b"")
            if pending:
                channel.settimeout(SEND_WAIT_S)
                try:
                    sent = channel.send(bytes(pending[:PACKET_BYTES]))
                    pending = pending[sent:]
                    self._watchdog.alive()
                except TimeoutError:
                    pass  # no room: it may be waiting for us to read
                except OSError:
                    if not self._connection.alive:
                        raise
                    sending, pending = False, memoryview(b"")  # it has ended without reading all
            if channel.recv_stderr_ready():
                self._stderr += self._greetings["stderr"].skip(channel.recv_stderr(CHUNK_BYTES))
                self._watchdog.alive()
            piece: bytes | None = None
            if not sending or channel.recv_ready():
                piece = self._receive(channel)
                if piece == b"":
                    break
            elif channel.eof_received or channel.closed:
                sending, pending = False, memoryview(b"")
            if piece is not None:
                self._watchdog.alive()
                piece = self._greetings["stdout"].skip(piece)
            if piece or time.monotonic() > given_at + TICK_S:
                with self._watchdog.asleep():
                    yield from _cut_up(piece or b"")
                given_at = time.monotonic()
        channel.settimeout(None)
        while piece := channel.recv_stderr(CHUNK_BYTES):
            self._stderr += self._greetings["stderr"].skip(piece)
            self._watchdog.alive()

    def _receive(self, channel: paramiko.Channel) -> bytes | None:
        """Read standard output; None if there is none yet, so that standard error gets its turn."""
        channel.settimeout(SEND_WAIT_S)
        try:
            return channel.recv(RECEIVE_BYTES)
        except TimeoutError:
            return None


def _cut_up(piece: bytes) -> Iterator[bytes]:
    """Give pieces of at most `CHUNK_BYTES`; an empty one as it is."""
    yield piece[:CHUNK_BYTES]
    for start in range(CHUNK_BYTES, len(piece), CHUNK_BYTES):
        yield piece[start : start + CHUNK_BYTES]


class _Greeting:
    """What a login shell writes before our command starts."""

    def __init__(self, mark: str) -> None:
        self.text = b""
        self.over = False
        self._mark = mark.encode() + b"\n"

    def skip(self, piece: bytes) -> bytes:
        """Give what of the piece belongs to the command."""
        if self.over:
            return piece
        self.text += piece
        before, mark, after = self.text.partition(self._mark)
        if not mark:
            return b""
        self.text, self.over = before, True
        return after
