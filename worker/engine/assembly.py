"""Putting a process together: settings, record, cluster and OMERO, opened once and closed together."""

from __future__ import annotations

import os
import socket
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from worker.cluster import ssh
from worker.cluster.local import LocalTransport
from worker.engine import breaker
from worker.engine.breaker import Breaker, GuardedOmero
from worker.engine.circuits import Circuits
from worker.engine.clusters import Clusters
from worker.engine.context import SSH_POOL, OmeroAccess, Resources
from worker.engine.lease import Leases
from worker.engine.omero import OwnSession
from worker.history.database import Database
from worker.history.reader import RunReader
from worker.history.tracker import WorkflowTracker
from worker.settings.environment import WorkerEnvironment, read_environment
from worker.settings.importer import read_importer_settings
from worker.settings.loader import SettingsSource, load_settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from worker.cluster.transport import Transport
    from worker.settings.importer import ImporterSettings
    from worker.settings.models import AnalyticsSettings, Settings, SshSettings


@dataclass(frozen=True, slots=True)
class Record:
    """The settings and the record of runs: all that is needed to look, to accept and to cancel."""

    source: SettingsSource
    environment: WorkerEnvironment
    database: Database
    tracker: WorkflowTracker
    reader: RunReader

    @property
    def settings(self) -> Settings:
        """The settings as they are now: an admin may change them at any time."""
        return self.source.current()

    def importer(self) -> ImporterSettings:
        """What is configured for imports in place, as it is now."""
        return read_importer_settings(self.environment)


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
    environment = read_environment(environ)
    source = SettingsSource(environment.config_file, environ=environ)
    analytics = source.current().analytics
    url = environment.sqlalchemy_url or analytics.sqlalchemy_url
    environment.state_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    database = Database(
        url.get_secret_value() if url else None,
        sqlite_path=environment.state_dir / "history.sqlite",
        left_out=views_left_out(analytics),
    )
    try:
        database.migrate()
        tracker = WorkflowTracker(database)
        yield Record(source, environment, database, tracker, RunReader(database))
    finally:
        database.close()


def views_left_out(analytics: AnalyticsSettings) -> tuple[str, ...]:
    """Name the views that an admin does not want to be kept.

    Parameters
    ----------
    analytics : AnalyticsSettings
        Section ``[ANALYTICS]``.

    Returns
    -------
    tuple of str
        Names of views; that of the progress of runs goes with that of jobs.
    """
    wanted = {
        "JobAccounting": analytics.enable_job_accounting,
        "JobProgress": analytics.enable_job_progress,
        "WorkflowProgress": analytics.enable_job_progress,
        "WorkflowAnalytics": analytics.enable_workflow_analytics,
    }
    return tuple(name for name, kept in wanted.items() if not kept)


def rebuild_cutoff(analytics: AnalyticsSettings) -> datetime | None:
    """Say from when on a rebuild of the tables of dashboards brings runs back.

    Parameters
    ----------
    analytics : AnalyticsSettings
        Section ``[ANALYTICS]``.

    Returns
    -------
    datetime or None
        The moment, in UTC; None: from the beginning.
    """
    if analytics.analytics_rebuild_days_ago is not None:
        return datetime.now(UTC) - timedelta(days=analytics.analytics_rebuild_days_ago)
    if analytics.analytics_rebuild_start_time is not None:
        return datetime.fromisoformat(analytics.analytics_rebuild_start_time).replace(tzinfo=UTC)
    return None


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
    holder = holder_name()
    circuits = Circuits(record.database, holder)
    clusters = Clusters(record.source.current, dial=open_transport, record_circuit=circuits.record)
    with ExitStack() as stack:
        stack.callback(clusters.close)
        stack.callback(circuits.forget)
        guarded = omero
        if not isinstance(omero, OwnSession):
            # What a script borrows does not come back once it is lost, so that there is nothing to wait for.
            guarded = GuardedOmero(omero, Breaker("OMERO", breaker.OMERO, on_change=circuits.record))
        yield Resources(
            configuration=record.source.current,
            state_dir=record.environment.state_dir,
            tracker=record.tracker,
            leases=Leases(record.database, holder, duration_s=record.settings.worker.lease_s),
            clusters=clusters,
            omero=guarded,
            importer=record.importer,
        )


@contextmanager
def open_transports(settings: Settings) -> Iterator[Callable[[str], Transport]]:
    """Open the ways to all clusters, for a command that only asks them something.

    Parameters
    ----------
    settings : Settings
        The settings.

    Yields
    ------
    callable
        Gives the way to a cluster by its name; opened when it is first asked for.
    """
    opened: dict[str, Transport] = {}

    def give(name: str) -> Transport:
        if name not in opened:
            opened[name] = open_transport(settings.cluster(name).ssh)
        return opened[name]

    try:
        yield give
    finally:
        with ExitStack() as stack:
            for transport in opened.values():
                stack.callback(transport.close)


def open_transport(ssh_settings: SshSettings) -> Transport:
    """The way to a cluster: SSH, or this machine itself where ``[SSH] host`` is ``local:``.

    Parameters
    ----------
    ssh_settings : SshSettings
        How it is reached.

    Returns
    -------
    Transport
        Connects when it is first used.
    """
    if ssh_settings.host == "local:":
        return LocalTransport()
    return ssh.connect_pool(ssh_settings, SSH_POOL)
