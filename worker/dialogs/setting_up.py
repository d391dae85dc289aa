"""What "Slurm Init" and "Slurm Check Setup" do, for admins of OMERO."""

from __future__ import annotations

import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omero.constants.namespaces import NSCREATED

from worker.dialogs import administration
from worker.dialogs.answer import require_admin
from worker.dialogs.giving import give_address, give_annotation
from worker.engine import setup
from worker.engine.assembly import open_record, open_settings, open_transports, rebuild_cutoff
from worker.engine.catalogue import refresh_catalogue
from worker.errors import LocalDiskError, RequestError, WorkerError
from worker.pixels import session
from worker.settings.loader import DEFAULT_PATHS, load_settings

if TYPE_CHECKING:
    from collections.abc import Mapping

    from omero.gateway import BlitzGateway

    from worker.cluster.report import Item, SetupReport
    from worker.dialogs.launch import Teller
    from worker.settings.environment import WorkerEnvironment
    from worker.settings.models import Settings

NS_REPORT = NSCREATED + "/SLURM/SLURM_CHECK_SETUP"
"""Namespace of the reports that are kept in OMERO."""


def init_environment(teller: Teller, gateway: BlitzGateway) -> None:
    """Set all clusters up, and compute the tables of the dashboards anew.

    Parameters
    ----------
    teller : Teller
        Tells the admin what goes on, and what came of it.
    gateway : omero.gateway.BlitzGateway
        The script's own connection.

    Raises
    ------
    NotPermitted
        The person is no admin.
    RequestError
        Nothing was chosen, or something could not be done: the message is the report.
    WorkerError
        Settings or record cannot be used.
    """
    require_admin(gateway)
    inputs = _inputs(gateway)
    said: list[str] = []
    failed = False
    wants_init, wants_rebuild = (bool(inputs.get(name, True)) for name in (administration.INIT, administration.REBUILD))
    if not wants_init and not wants_rebuild:
        raise RequestError(
            "Nothing is chosen.", remedy=f"Tick '{administration.INIT}' or '{administration.REBUILD}', or both."
        )
    moment = _moment(inputs) if wants_rebuild else None
    if wants_init:
        reports = _set_up(teller, inputs)
        said += [line for name, report in reports.items() for line in _told(name, report)]
        if not any(report.changed for report in reports.values()):
            said.append("Nothing was changed.")
        failed = any(report.failed for report in reports.values())
        print(*(line for name, report in reports.items() for line in _lines(name, report)), sep="\n", flush=True)
    if wants_rebuild:
        teller.say("Computing the tables of the dashboards anew.")
        try:
            said.append(_rebuild(moment))
        except WorkerError as error:
            # What has become of the clusters is to be told all the same.
            said.append(f"The tables of the dashboards are as they were: {error}")
            failed = True
    if failed:
        raise RequestError("\n".join(["not everything could be done.", *said]))
    teller.say("\n".join(said))


def check_setup(teller: Teller, gateway: BlitzGateway) -> None:
    """Look at all clusters, and give the admin a report.

    Parameters
    ----------
    teller : Teller
        Gives the admin the report, in short and as a file.
    gateway : omero.gateway.BlitzGateway
        The script's own connection.

    Raises
    ------
    NotPermitted
        The person is no admin.
    WorkerError
        The settings cannot be read, or OMERO does not take the report.
    """
    require_admin(gateway)
    settings, environment = open_settings()
    lines = [f"Setup of the Slurm clusters at {datetime.now(UTC):%Y-%m-%d %H:%M} UTC", ""]
    lines += [f"[warning] {warning}" for warning in (*settings.warnings, *environment.warnings)]
    said: list[str] = []
    with open_transports(settings) as transports:
        for name, cluster in settings.clusters.items():
            report = setup.inspect(
                settings, cluster, transports(name), state_dir=environment.state_dir, report=teller.say
            )
            said += _told(name, report)
            lines += _lines(name, report)
    text = "\n".join(lines) + "\n"
    print(text, flush=True)
    _give_file(teller, gateway, text)
    teller.say("\n".join([*said, "The whole report is attached to this activity."]))


def _inputs(gateway: BlitzGateway) -> Mapping[str, Any]:
    with session.translated("read the inputs of the script"):
        inputs: Mapping[str, Any] = gateway.c.getInputs(unwrap=True)
    return inputs


def _set_up(teller: Teller, inputs: Mapping[str, Any]) -> dict[str, SetupReport]:
    known, environment = open_settings()
    settings = _with_extra_file(known, environment, str(inputs.get(administration.EXTRA_CONFIG) or "").strip())
    with open_transports(settings) as transports:
        reports = setup.set_up(
            settings,
            list(settings.clusters.values()),
            state_dir=environment.state_dir,
            transports=transports,
            report=teller.say,
        )
    if settings is not known:
        # The engine does not know what stands in the extra file alone, and would refuse to run it.
        with open_transports(known) as transports:
            refresh_catalogue(known, transports, state_dir=environment.state_dir)
    return reports


def _with_extra_file(known: Settings, environment: WorkerEnvironment, extra: str) -> Settings:
    """Read the settings again with one more file that wins over the others."""
    if not extra:
        return known
    files = DEFAULT_PATHS if environment.config_file is None else (*DEFAULT_PATHS, environment.config_file)
    return load_settings(Path(extra).expanduser(), default_paths=files)


def _moment(inputs: Mapping[str, Any]) -> datetime | None:
    """Since when runs are to be in the tables of the dashboards; None for all."""
    days, date = inputs.get(administration.REBUILD_DAYS), str(inputs.get(administration.REBUILD_DATE) or "").strip()
    if days is not None:
        try:
            return datetime.now(UTC) - timedelta(days=int(days))
        except OverflowError as error:
            raise RequestError(f"'{administration.REBUILD_DAYS}' is {days}, which is before all time.") from error
    if not date:
        return None
    try:
        moment = datetime.fromisoformat(date)
    except ValueError as error:
        raise RequestError(
            f"'{administration.REBUILD_DATE}' is {date!r}, which is no day.", remedy="Write it like 2026-01-31."
        ) from error
    return moment.replace(tzinfo=moment.tzinfo or UTC)


def _rebuild(moment: datetime | None) -> str:
    with open_record() as record:
        moment = moment or rebuild_cutoff(record.settings.analytics)
        projection = record.tracker.projection
        count = projection.rebuild(start=1 if moment is None else projection.first_since(moment))
    since = "" if moment is None else f", since {moment:%Y-%m-%d}"
    return f"The tables of the dashboards were computed anew from {count} events{since}."


def _told(name: str, report: SetupReport) -> list[str]:
    """What the message says of a cluster: what was changed, and what is to be mended."""
    return [f"Cluster {name}: {report.summary()}.", *(_line(item) for item in report.items if item.state != "ok")]


def _lines(name: str, report: SetupReport) -> list[str]:
    """What the report says of a cluster: everything."""
    return [f"Cluster {name}: {report.summary()}", *(_line(item) for item in report.items), ""]


def _line(item: Item) -> str:
    remedy = f" -> {item.remedy}" if item.remedy else ""
    return f"[{item.state}] {item.what}: {item.detail}{remedy}"


def _give_file(teller: Teller, gateway: BlitzGateway, text: str) -> None:
    """Keep a report in OMERO, and give it as a file and as an address."""
    try:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / f"slurm-setup-{datetime.now(UTC):%Y%m%d-%H%M%S}.txt"
            path.write_text(text, encoding="utf-8")
            with session.translated("keep the report in OMERO"):
                kept = gateway.createFileAnnfromLocalFile(str(path), mimetype="text/plain", ns=NS_REPORT)
    except OSError as error:
        raise LocalDiskError(tempfile.gettempdir(), error) from error
    annotation = give_annotation(teller, gateway, "File_Annotation", kept.getId())
    if annotation is not None:
        give_address(teller, gateway, annotation)
