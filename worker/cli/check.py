"""``omero-worker check``: whether everything that a run needs is there, and how to mend what is not."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from typing import TYPE_CHECKING

import typer
from rich.console import Console
from rich.table import Table

from worker.analyses import catalogue as catalogues
from worker.cluster import images
from worker.engine.assembly import open_record, open_settings, open_transport
from worker.engine.breaker import Circuit
from worker.engine.circuits import read_circuits
from worker.engine.lease import service_alive
from worker.engine.omero import ServiceAccess
from worker.errors import WorkerError
from worker.pixels import session

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from worker.cluster.transport import Transport
    from worker.history.database import Database
    from worker.settings.environment import WorkerEnvironment
    from worker.settings.models import Settings


class Verdict(StrEnum):
    """How a check came out."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found."""

    subject: str
    verdict: Verdict
    message: str
    remedy: str = ""


PATIENCE_S = 20
"""How long Slurm may take to answer."""

SILENT = 124
"""Exit status of timeout(1) for a program that took too long."""

QUESTIONS = {
    # What sbatch needs is what squeue needs.
    "sbatch": "true",
    "squeue": f'exec timeout {PATIENCE_S} squeue -h -o %i -u "$(id -un)"',
    "sacct": f'exec timeout {PATIENCE_S} sacct -n -X -o JobID -S now -u "$(id -un)"',
}
"""Shell commands that fail where Slurm does not answer, and take no time where it does."""

REMEDIES = {
    SILENT: "Ask the admins of the cluster whether its controller and its accounting database run.",
    126: "Ask the admins of the cluster whether the account may run it.",
    127: "Make it available to non-interactive logins (PATH in ~/.bashrc, or sshd's SetEnv).",
}
"""What to do about an exit status of a program, in the way of a shell."""

STYLES = {Verdict.OK: "green", Verdict.WARN: "yellow", Verdict.FAIL: "bold red"}


def check() -> None:
    """Check settings, database, cluster and OMERO; exit status 1 if anything that a run needs is missing."""
    findings = []
    table = Table("Check", "", "What was found", "What to do")
    for finding in examine():
        findings.append(finding)
        table.add_row(
            finding.subject,
            f"[{STYLES[finding.verdict]}]{finding.verdict.value}[/]",
            finding.message.replace("[", r"\["),
            finding.remedy.replace("[", r"\["),
        )
    Console().print(table)
    if any(finding.verdict is Verdict.FAIL for finding in findings):
        raise typer.Exit(1)


def examine() -> Iterator[Finding]:
    """Examine one thing after the other; what cannot be examined for want of another is left out.

    Yields
    ------
    Finding
        What was found.
    """
    try:
        settings, environment = open_settings()
    except WorkerError as error:
        yield Finding("settings", Verdict.FAIL, error.message, error.remedy)
        return
    yield Finding("settings", Verdict.OK, f"{len(settings.workflows)} workflows, cluster {settings.ssh.host}")
    for warning in (*settings.warnings, *environment.warnings):
        yield Finding("settings", Verdict.WARN, warning)
    if environment.importer_enabled:
        yield Finding(
            "importer",
            Verdict.WARN,
            "IMPORTER_ENABLED is true, but results cannot be imported in place yet; they go through the OMERO API",
        )
    yield from _guarded("database", _database)
    yield from _cluster(settings, environment)
    yield from _guarded("OMERO", lambda: _omero(environment))


def _guarded(subject: str, examination: Callable[[], Iterator[Finding]]) -> Iterator[Finding]:
    """Turn an error of an examination into a finding."""
    try:
        yield from examination()
    except WorkerError as error:
        yield Finding(subject, Verdict.FAIL, error.message, error.remedy)


def _database() -> Iterator[Finding]:
    with open_record() as record:
        yield Finding("database", Verdict.OK, f"{record.database.engine.dialect.name}, tables are up to date")
        if service_alive(record.database):
            yield Finding("engine", Verdict.OK, "an engine service is alive")
        else:
            yield Finding(
                "engine",
                Verdict.WARN,
                "no engine service is alive; each script drives its own run as long as it lives",
                "Start 'omero-worker serve'.",
            )
        yield from _circuits(record.database)


def _circuits(database: Database) -> Iterator[Finding]:
    """What engines have found not to answer; it may answer us."""
    for held in read_circuits(database):
        if held.circuit.state is not Circuit.CLOSED:
            yield Finding(
                held.circuit.name,
                Verdict.WARN,
                f"{held} That is what {held.holder} has seen.",
                "Mend what stands in brackets; runs then go on by themselves.",
            )


def _cluster(settings: Settings, environment: WorkerEnvironment) -> Iterator[Finding]:
    transport = open_transport(settings.ssh)
    try:
        yield from _guarded("SSH", lambda: _login(transport, settings))
        for program in QUESTIONS:
            yield from _guarded(program, partial(_program, transport, program))
        yield from _guarded("containers", lambda: _runtime(transport))
        yield from _guarded("images", lambda: _images(transport, settings, environment))
    except WorkerError as error:
        yield Finding("SSH", Verdict.FAIL, error.message, error.remedy)
    finally:
        transport.close()


def _login(transport: Transport, settings: Settings) -> Iterator[Finding]:
    name = transport.run(["id", "-un"]).check().text.strip()
    yield Finding("SSH", Verdict.OK, f"logged in at {settings.ssh.host} as {name}")


def _program(transport: Transport, program: str) -> Iterator[Finding]:
    """Ask a program of Slurm for its version, and whether what it talks to answers."""
    version = transport.run([program, "--version"])
    asked = transport.run(["sh", "-c", QUESTIONS[program]]) if version.exit_status == 0 else version
    if asked.exit_status == 0:
        yield Finding(program, Verdict.OK, version.text.strip())
        return
    said = f"{program} ended with status {asked.exit_status}: {asked.error_text or asked.text.strip() or 'no message'}"
    if asked.exit_status == SILENT:
        said = f"{program} had no answer within {PATIENCE_S} s"
    remedy = REMEDIES.get(asked.exit_status, "It is there, but does not work: ask the admins of the cluster.")
    if program == "sacct":
        remedy = f"Without accounting, the end of a job is told by its exit file alone. {remedy}"
    verdict = Verdict.WARN if program == "sacct" else Verdict.FAIL
    yield Finding(program, verdict, said, remedy)


def _runtime(transport: Transport) -> Iterator[Finding]:
    script = "command -v apptainer || command -v singularity || { command -v module >/dev/null && echo module; }"
    found = transport.run(["bash", "-lc", script])
    if found.exit_status == 0:
        yield Finding("containers", Verdict.OK, found.text.strip())
    else:
        yield Finding(
            "containers",
            Verdict.WARN,
            "neither apptainer nor singularity on the login node",
            "Jobs look for them on the compute nodes; make sure that they are there.",
        )


def _images(transport: Transport, settings: Settings, environment: WorkerEnvironment) -> Iterator[Finding]:
    folders = {name: workflow.image_folder for name, workflow in settings.workflows.items()}
    versions = images.list_versions(transport, settings.slurm.slurm_images_path, folders)
    known = {entry.name: entry for entry in catalogues.load(catalogues.catalogue_path(environment.state_dir)).entries}
    for name in folders:
        if not versions.get(name):
            yield Finding(
                name,
                Verdict.FAIL,
                f"no image in {settings.slurm.slurm_images_path}/{folders[name]}",
                "Pull the workflow's container image into that folder.",
            )
            continue
        entry = known.get(name)
        if entry is None or entry.analysis is None:
            reason = entry.problem if entry else "the engine has not looked at it yet"
            yield Finding(name, Verdict.FAIL, f"no descriptor: {reason}", "Run 'omero-worker refresh'.")
        else:
            yield Finding(name, Verdict.OK, f"versions {', '.join(versions[name])}")


def _omero(environment: WorkerEnvironment) -> Iterator[Finding]:
    access = ServiceAccess(environment)
    with access.service() as gateway:
        identity = session.who(gateway)
        yield Finding(
            "OMERO",
            Verdict.OK,
            f"{environment.omero_host}:{environment.omero_port} takes the service account {identity.user_name}",
        )
