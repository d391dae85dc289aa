"""``omero-worker check``: whether everything that a run needs is there, and how to mend what is not."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from worker.analyses import catalogue as catalogues
from worker.cli.report import exit_by, show
from worker.cluster.report import Item, SetupReport
from worker.engine import setup
from worker.engine.assembly import open_record, open_settings, open_transports
from worker.engine.beat import service_alive
from worker.engine.breaker import Circuit
from worker.engine.circuits import read_circuits
from worker.engine.omero import ServiceAccess
from worker.errors import WorkerError
from worker.pixels import session
from worker.results.inplace.checking import examine_importer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from worker.history.database import Database
    from worker.settings.environment import WorkerEnvironment
    from worker.settings.models import Settings


def check() -> None:
    """Check settings, database, cluster and OMERO; exit status 1 if anything that a run needs is missing."""
    items = tuple(examine())
    show("Check", items)
    exit_by([SetupReport(items)])


def examine() -> Iterator[Item]:
    """Examine one thing after the other; what cannot be examined for want of another is left out.

    Yields
    ------
    Item
        What was found.
    """
    try:
        settings, environment = open_settings()
    except WorkerError as error:
        yield Item("settings", "failed", error.message, error.remedy)
        return
    yield Item("settings", "ok", f"{len(settings.workflows)} workflows, cluster {settings.ssh.host}")
    for warning in (*settings.warnings, *environment.warnings):
        yield Item("settings", "warning", warning)
    if environment.importer_enabled:
        yield from _guarded("importer", lambda: _importer(environment))
    yield from _guarded("database", _database)
    yield from _clusters(settings, environment)
    yield from _dialogs(settings, environment)
    yield from _guarded("OMERO", lambda: _omero(environment))


def _guarded(subject: str, examination: Callable[[], Iterator[Item]]) -> Iterator[Item]:
    """Turn an error of an examination into a finding."""
    try:
        yield from examination()
    except WorkerError as error:
        yield Item(subject, "failed", error.message, error.remedy)


def _database() -> Iterator[Item]:
    with open_record() as record:
        yield Item("database", "ok", f"{record.database.engine.dialect.name}, tables are up to date")
        if service_alive(record.database):
            yield Item("engine", "ok", "an engine service is alive")
        else:
            yield Item(
                "engine",
                "warning",
                "no engine service is alive; each script drives its own run as long as it lives",
                "Start 'omero-worker serve'.",
            )
        yield from _circuits(record.database)


def _circuits(database: Database) -> Iterator[Item]:
    """What engines have found not to answer; it may answer us."""
    for held in read_circuits(database):
        if held.circuit.state is not Circuit.CLOSED:
            yield Item(
                held.circuit.name,
                "warning",
                f"{held} That is what {held.holder} has seen.",
                "Mend what stands in brackets; runs then go on by themselves.",
            )


def _clusters(settings: Settings, environment: WorkerEnvironment) -> Iterator[Item]:
    several = len(settings.clusters) > 1
    with open_transports(settings) as transports:
        for name, cluster in settings.clusters.items():
            report = setup.inspect(settings, cluster, transports(name), state_dir=environment.state_dir)
            for item in report.items:
                yield replace(item, what=f"{name}: {item.what}") if several else item


def _dialogs(settings: Settings, environment: WorkerEnvironment) -> Iterator[Item]:
    """Whether the dialogs know the workflows; what they show was written by the engine some time ago."""
    known = catalogues.load(catalogues.catalogue_path(environment.state_dir))
    unknown = [name for name in settings.workflows if known.entry(name) is None]
    unread = [entry.name for entry in known.entries if entry.analysis is None and entry.name in settings.workflows]
    if unknown or unread:
        yield Item(
            "dialogs",
            "warning",
            f"they do not show parameters of {', '.join((*unknown, *unread))}",
            "Run 'omero-worker refresh', and mend what it says.",
        )
    else:
        yield Item("dialogs", "ok", f"workflows and versions as of {known.refreshed_at or 'never'}")


def _importer(environment: WorkerEnvironment) -> Iterator[Item]:
    """Whether results can be imported in place; what depends on a group is looked at when somebody starts a run."""
    state = examine_importer(environment)
    yield Item("importer", "ok", f"orders go to {state.database}, results below {state.settings.base_dir}")
    for problem in state.settings.problems():
        yield Item("importer", "warning", problem)
    if state.backlog.forgotten:
        yield Item(
            "importer",
            "warning",
            f"{state.backlog.orders} orders wait, the oldest for {state.backlog.oldest_s / 60:.0f} minutes: "
            "the importer seems to be down",
            "Start it, and look at its log. Orders that it finds when it starts it marks as failed; ours are then "
            "placed anew by themselves.",
        )
    if state.backlog.shared:
        yield Item(
            "importer",
            "warning",
            f"more than one importer has begun {state.backlog.shared} orders of the last ten days: several share the "
            "table, and each imports every file",
            "Run one importer on a database.",
        )


def _omero(environment: WorkerEnvironment) -> Iterator[Item]:
    access = ServiceAccess(environment)
    with access.service() as gateway:
        identity = session.who(gateway)
        yield Item(
            "OMERO",
            "ok",
            f"{environment.omero_host}:{environment.omero_port} takes the service account {identity.user_name}",
        )
