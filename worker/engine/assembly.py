"""Putting a process together: settings, record, cluster and OMERO, opened once and closed together."""

from __future__ import annotations

import os
import socket
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from worker.cluster import ssh
from worker.cluster.local import LocalTransport
from worker.engine import breaker
from worker.engine.breaker import Breaker, GuardedOmero, GuardedTransport
from worker.engine.circuits import Circuits
from worker.engine.context import SSH_POOL, OmeroAccess, Resources
from worker.engine.lease import Leases
from worker.engine.omero import OwnSession
from worker.engine.retry import Budget
from worker.engine.watcher import Watcher
from worker.history.database import Database
from worker.history.reader import RunReader
from worker.history.tracker import WorkflowTracker
from worker.settings.environment import WorkerEnvironment, read_environment
from worker.settings.loader import load_settings

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from worker.cluster.transport import Transport
    from worker.settings.models import Settings


@dataclass(frozen=True, slots=True)
class Record:
    """The settings and the record of runs: all that is needed to look, to accept and to cancel."""

    settings: Settings
    environment: WorkerEnvironment
    database: Database
    tracker: WorkflowTracker
    reader: RunReader


def holder_name() -> str:
    """Name of this process among all that may drive runs, such as ``biomeroworker:4242``."""
    return f"{os.environ.get('OMERO_WORKER_NAME') or socket.gethostname()}:{os.getpid()}"


def open_settings(environ: Mapping[str, str] | None = None) -> tuple[Settings, WorkerEnvironment]:
    """Read slurm-config.ini and the environment.

    Parameters
    ----------
    environ : mapping, optional
        The environment; the process's own by default.

    Returns
    -------
    tuple of Settings and WorkerEnvironment
        What the admin has set.

    Raises
    ------
    SettingsError
        Naming file, line, key and value of what is wrong.
    """
    environment = read_environment(environ)
    return load_settings(environment.config_file, environ=environ), environment


@contextmanager
def open_record(environ: Mapping[str, str] | None = None) -> Iterator[Record]:
    """Open the record of runs, bringing its tables up to date first.

    Parameters
    ----------
    environ : mapping, optional
        The environment; the process's own by default.

    Yields
    ------
    Record
        Settings and record.

    Raises
    ------
    SettingsError
        If the configuration is wrong.
    HistoryUnavailable
        If the database does not answer.
    """
    settings, environment = open_settings(environ)
    url = environment.sqlalchemy_url or settings.analytics.sqlalchemy_url
    environment.state_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    database = Database(url.get_secret_value() if url else None, sqlite_path=environment.state_dir / "history.sqlite")
    try:
        database.migrate()
        tracker = WorkflowTracker(database)
        yield Record(settings, environment, database, tracker, RunReader(database))
    finally:
        database.close()


@contextmanager
def open_resources(record: Record, omero: OmeroAccess) -> Iterator[Resources]:
    """Open the way to the cluster and hand out everything that steps need.

    Parameters
    ----------
    record : Record
        Settings and record.
    omero : OmeroAccess
        How to act in OMERO.

    Yields
    ------
    Resources
        What steps share. Nothing is sent to the cluster before the first step needs it.
    """
    knobs = record.settings.worker
    holder = holder_name()
    circuits = Circuits(record.database, holder)
    with ExitStack() as stack:
        inner, watching = open_transport(record.settings), open_transport(record.settings)
        stack.callback(inner.close)
        stack.callback(watching.close)
        stack.callback(circuits.forget)
        cluster = Breaker("cluster", breaker.CLUSTER, on_change=circuits.record)
        transport = GuardedTransport(inner, cluster)
        guarded = omero
        if not isinstance(omero, OwnSession):
            # What a script borrows does not come back once it is lost, so that there is nothing to wait for.
            guarded = GuardedOmero(omero, Breaker("OMERO", breaker.OMERO, on_change=circuits.record))
        yield Resources(
            settings=record.settings,
            state_dir=record.environment.state_dir,
            tracker=record.tracker,
            leases=Leases(record.database, holder, duration_s=knobs.lease_s),
            transport=transport,
            omero=guarded,
            # With a connection of its own, transfers that hang do not keep it waiting.
            watcher=Watcher(
                GuardedTransport(watching, cluster),
                min_interval_s=knobs.poll_interval_min_s,
                max_interval_s=knobs.poll_interval_max_s,
            ),
            budget=Budget(max_attempts=knobs.max_attempts),
            unknown_grace_s=knobs.unknown_grace_s,
        )


def open_transport(settings: Settings) -> Transport:
    """The way to the cluster: SSH, or this machine itself where ``[SSH] host`` is ``localhost:``.

    Parameters
    ----------
    settings : Settings
        The settings.

    Returns
    -------
    Transport
        Connects when it is first used.
    """
    if settings.ssh.host == "local:":
        return LocalTransport()
    return ssh.connect_pool(settings.ssh, SSH_POOL)
