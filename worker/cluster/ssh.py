"""The transport over SSH: connections that are made when they are needed, and again when they were lost."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

from worker.cluster import connection as connections
from worker.cluster import hosts
from worker.cluster.command import Command
from worker.cluster.transport import ProgramTransport
from worker.errors import ConnectionsBusy, NotSent, OutcomeUnknown

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from worker.cluster.connection import Connection
    from worker.cluster.transport import Program
    from worker.settings.models import SshSettings


class SshTransport(ProgramTransport):
    """One connection to the cluster. A second thread waits until the first has finished its command.

    Parameters
    ----------
    host : hosts.Host
        The server.
    connect_timeout_s : float
        Patience for each step of connecting.
    command_timeout_s : float
        Patience with silent commands.
    keepalive_s : float
        Time between two signs of life on the idle connection; 0 sends none.
    """

    def __init__(
        self,
        host: hosts.Host,
        *,
        connect_timeout_s: float = 20.0,
        command_timeout_s: float = 60.0,
        keepalive_s: float = 30.0,
    ) -> None:
        self.host = host
        self.handshakes = 0
        """How often a connection was made."""
        self._connect_timeout_s = connect_timeout_s
        self._command_timeout_s = command_timeout_s
        self._keepalive_s = keepalive_s
        self._connection: Connection | None = None
        self._lock = threading.Lock()

    @classmethod
    def from_settings(cls, settings: SshSettings) -> SshTransport:
        """Make a transport as the settings say; it connects when it is first used.

        Parameters
        ----------
        settings : SshSettings
            Section ``[SSH]`` of slurm-config.ini.

        Returns
        -------
        SshTransport
            The transport.

        Raises
        ------
        SettingsError
            If the ssh configuration cannot be read.
        """
        return cls(
            hosts.resolve(settings.host, settings.ssh_config),
            connect_timeout_s=settings.connect_timeout_s,
            command_timeout_s=settings.command_timeout_s,
            keepalive_s=settings.keepalive_s,
        )

    def close(self) -> None:
        """End the connection; the next command makes a new one."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    @contextmanager
    def started(self, argv: Sequence[str], stdin: Iterable[bytes] | None, timeout_s: float | None) -> Iterator[Program]:
        """Start a program; see `worker.cluster.transport.ProgramTransport.started`."""
        with self._lock:
            command = self._start(argv, stdin, timeout_s)
            try:
                yield command
            finally:
                command.__exit__()

    def _start(self, argv: Sequence[str], stdin: Iterable[bytes] | None, timeout_s: float | None) -> Command:
        """Send a command, over a new connection if the one we have turns out to be dead."""
        used = self._connection is not None and self._connection.alive
        limit_s = self._command_timeout_s if timeout_s is None else timeout_s
        for again in (used, False):
            command = Command(self._connected(), argv, stdin, timeout_s=limit_s, open_timeout_s=self._connect_timeout_s)
            try:
                return command.__enter__()
            except NotSent:
                # Servers and firewalls end idle connections; that is no error worth telling, and nothing was sent.
                self._drop()
                if not again:
                    raise
        raise AssertionError  # pragma: no cover - the second round returns or raises

    def _connected(self) -> Connection:
        if self._connection is None or not self._connection.alive:
            self._drop()
            self._connection = connections.connect(
                self.host, timeout_s=self._connect_timeout_s, keepalive_s=self._keepalive_s
            )
            self.handshakes += 1
        return self._connection

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


class SshPool(ProgramTransport):
    """Some connections to the cluster, for several threads.

    A connection serves one command at a time and transfers hold theirs until they end, so that there must be more
    connections than simultaneous transfers, or commands wait for them.

    Parameters
    ----------
    transports : Sequence[SshTransport]
        The connections.
    patience_s : float
        For how long a command waits for a connection.
    """

    def __init__(self, transports: Sequence[SshTransport], *, patience_s: float = 60.0) -> None:
        self._all = tuple(transports)
        self._patience_s = patience_s
        # A stack: the connection used last is the one that is surely alive, and idle ones stay unmade.
        self._idle = list(reversed(self._all))
        self._free = threading.Condition()

    @property
    def handshakes(self) -> int:
        """How often a connection was made."""
        return sum(transport.handshakes for transport in self._all)

    @contextmanager
    def started(self, argv: Sequence[str], stdin: Iterable[bytes] | None, timeout_s: float | None) -> Iterator[Program]:
        """Start a program; see `worker.cluster.transport.ProgramTransport.started`."""
        with self._borrowed() as transport, transport.started(argv, stdin, timeout_s) as program:
            yield program

    def close(self) -> None:
        """End all connections, each after the command that it is serving."""
        for transport in self._all:
            transport.close()

    @contextmanager
    def _borrowed(self) -> Iterator[SshTransport]:
        with self._free:
            if not self._free.wait_for(lambda: self._idle, self._patience_s):
                raise ConnectionsBusy(
                    f"All {len(self._all)} connections to {self._all[0].host} have been in use for "
                    f"{self._patience_s:g} s.",
                    remedy="It is tried again; if this goes on, transfers hang.",
                )
            transport = self._idle.pop()
        try:
            yield transport
        except OutcomeUnknown:
            self._drop_idle()
            raise
        finally:
            with self._free:
                self._idle.append(transport)
                self._free.notify()

    def _drop_idle(self) -> None:
        """Drop connections that may be as dead as this one; each would be found so only after its own patience."""
        with self._free:
            for transport in self._idle:
                transport.close()


def connect_pool(settings: SshSettings, size: int = 4) -> SshPool:
    """Make a transport for several threads; connections are made when they are first needed.

    Parameters
    ----------
    settings : SshSettings
        Section ``[SSH]`` of slurm-config.ini.
    size : int
        Most connections at a time.

    Returns
    -------
    SshPool
        The transport.

    Raises
    ------
    SettingsError
        If the ssh configuration cannot be read.
    """
    transports = [SshTransport.from_settings(settings) for _ in range(size)]
    return SshPool(transports, patience_s=settings.command_timeout_s)
