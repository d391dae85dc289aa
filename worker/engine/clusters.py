"""The clusters of a deployment as a process uses them: one way, one circuit and one watcher for each."""

from __future__ import annotations

import threading
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import structlog

from worker.engine import breaker
from worker.engine.breaker import Breaker, GuardedTransport
from worker.engine.watcher import Watcher
from worker.settings.models import DEFAULT_CLUSTER

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from worker.cluster.transport import Completed, Transport
    from worker.engine.breaker import CircuitState
    from worker.settings.models import ClusterSettings, Settings, SshSettings

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Cluster:
    """One cluster, as this process uses it."""

    name: str
    """Its name in slurm-config.ini."""
    transport: Transport
    watcher: Watcher


class ClusterAccess(Protocol):
    """Gives the clusters of a deployment."""

    def get(self, name: str) -> Cluster:
        """The cluster of that name; `SettingsError` if there is none any more."""
        ...

    def opened(self) -> Sequence[Cluster]:
        """Every cluster that has been used and is still configured."""
        ...


class Clusters:
    """Opens clusters when they are first used, and follows the settings.

    Whoever holds a cluster's transport goes on using it when an admin changes how the cluster is reached: the next
    command takes the new way, and what is on the old one comes to its end there.

    Parameters
    ----------
    settings : callable
        Gives the settings as they are now.
    dial : callable
        Opens a way to a cluster; connects when it is first used.
    record_circuit : callable
        Is told of every change of a circuit.
    """

    def __init__(
        self,
        settings: Callable[[], Settings],
        *,
        dial: Callable[[SshSettings], Transport],
        record_circuit: Callable[[CircuitState], None],
    ) -> None:
        self._settings = settings
        self._dial = dial
        self._record_circuit = record_circuit
        self._lock = threading.Lock()
        self._lines: dict[str, _Lines] = {}

    def get(self, name: str) -> Cluster:
        """Give a cluster, reached as it is configured now.

        Parameters
        ----------
        name : str
            Its name in slurm-config.ini.

        Returns
        -------
        Cluster
            The cluster; nothing is sent to it.

        Raises
        ------
        SettingsError
            If there is none of that name.
        """
        settings = self._settings()
        found = settings.cluster(name)
        knobs = settings.worker
        with self._lock:
            lines = self._lines.get(name)
            if lines is None:
                lines = self._lines[name] = self._open(found)
            lines.work.follow(found.ssh)
            lines.watch.follow(found.ssh)
        lines.watcher.pace(knobs.poll_interval_min_s, knobs.poll_interval_max_s)
        return Cluster(name, lines.transport, lines.watcher)

    def opened(self) -> tuple[Cluster, ...]:
        """Give every cluster that has been used and is still configured.

        Returns
        -------
        tuple of Cluster
            The clusters.
        """
        known = self._settings().clusters
        with self._lock:
            names = [name for name in self._lines if name in known]
        return tuple(self.get(name) for name in names)

    def close(self) -> None:
        """End all connections."""
        with self._lock, ExitStack() as stack:
            for lines in self._lines.values():
                stack.callback(lines.work.close)
                stack.callback(lines.watch.close)

    def _open(self, cluster: ClusterSettings) -> _Lines:
        name = "cluster" if cluster.name == DEFAULT_CLUSTER else f"cluster {cluster.name}"
        circuit = Breaker(name, breaker.CLUSTER, on_change=self._record_circuit)
        work, watch = Line(self._dial, cluster.ssh), Line(self._dial, cluster.ssh)
        # With a connection of its own, transfers that hang do not keep the watcher waiting.
        return _Lines(work, watch, GuardedTransport(work, circuit), Watcher(GuardedTransport(watch, circuit)))


@dataclass(frozen=True, slots=True)
class _Lines:
    """What is kept of a cluster."""

    work: Line
    watch: Line
    transport: Transport
    watcher: Watcher


class Line:
    """A way to a cluster that is opened anew when the settings say that it is another one.

    Parameters
    ----------
    dial : callable
        Opens a way.
    ssh : SshSettings
        How the cluster is reached at first.
    """

    def __init__(self, dial: Callable[[SshSettings], Transport], ssh: SshSettings) -> None:
        self._dial = dial
        self._ssh = ssh
        self._inner = dial(ssh)
        self._left: Transport | None = None

    def follow(self, ssh: SshSettings) -> None:
        """Take another way from the next command on, if it is another.

        Parameters
        ----------
        ssh : SshSettings
            How the cluster is reached now.
        """
        if ssh == self._ssh:
            return
        log.info("cluster_reached_anew", host=ssh.host)
        old, left = self._inner, self._left
        self._inner, self._ssh, self._left = self._dial(ssh), ssh, old
        if left is not None:
            # What began on it two changes ago is tried again.
            left.close()

    def run(
        self, argv: Sequence[str], *, stdin: Iterable[bytes] | None = None, timeout_s: float | None = None
    ) -> Completed:
        """Run a program to its end; see `worker.cluster.transport.Transport.run`."""
        return self._inner.run(argv, stdin=stdin, timeout_s=timeout_s)

    @contextmanager
    def stream(
        self, argv: Sequence[str], *, stdin: Iterable[bytes] | None = None, timeout_s: float | None = None
    ) -> Iterator[Iterator[bytes]]:
        """Run a program and read what it writes; see `worker.cluster.transport.Transport.stream`."""
        with self._inner.stream(argv, stdin=stdin, timeout_s=timeout_s) as pieces:
            yield pieces

    def close(self) -> None:
        """End all connections; see `worker.cluster.transport.Transport.close`."""
        with ExitStack() as stack:
            stack.callback(self._inner.close)
            if self._left is not None:
                stack.callback(self._left.close)
