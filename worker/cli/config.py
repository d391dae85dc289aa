"""``omero-worker config``: looking at the configuration, and comparing it."""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from worker.analyses.address import parse_address
from worker.cli import config_editing
from worker.cluster.images import repository_name
from worker.cluster.jobtemplate import read_template
from worker.errors import DescriptorError, SettingsError
from worker.settings import locations
from worker.settings.clusters import section_of
from worker.settings.comparison import compare
from worker.settings.desired import known_section
from worker.settings.environment import read_environment
from worker.settings.inspection import Finding, Inspection, Severity, inspect
from worker.settings.layers import WORKFLOWS
from worker.settings.loader import load_layers, load_settings
from worker.settings.misgivings import place, stray_variables
from worker.settings.models import Settings
from worker.settings.origins import Origin, origins
from worker.settings.sbatch_options import Doubt

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from worker.settings.layers import Layers

app = typer.Typer(no_args_is_help=True)
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]

STYLES = {Severity.ERROR: "bold red", Severity.WARNING: "yellow"}


@app.command("check")
def check(
    files: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[FILE]...", help="Files to check each by itself, without the environment."),
    ] = None,
    merge: Annotated[bool, typer.Option("--merge", help="Check the files together, a later one winning.")] = False,
    strict: Annotated[bool, typer.Option("--strict", help="Exit status 1 for warnings too.")] = False,
    as_json: Json = False,
) -> None:
    """Say everything that is wrong with the configuration, by file and line; exit status 1 if there are errors.

    Without FILE: all files that the worker reads, and its environment.
    """
    inspections = _of_files(files, merge=merge) if files else [_of_this_worker()]
    findings = [finding for inspection in inspections for finding in inspection.findings]
    errors = sum(finding.severity is Severity.ERROR for finding in findings)
    warnings = len(findings) - errors
    read = [str(file) for inspection in inspections for file in inspection.files]
    if as_json:
        _print_json(
            {
                "files": read,
                "errors": errors,
                "warnings": warnings,
                "findings": [_plain(finding) for finding in findings],
            }
        )
    else:
        _print_findings(findings)
        looked_at = ", ".join(read) or "no file"
        typer.echo(f"{looked_at}: {_count(errors, 'error')}, {_count(warnings, 'warning')}.")
    if errors or (strict and warnings):
        raise typer.Exit(1)


@app.command("show")
def show(
    origin: Annotated[bool, typer.Option("--origin", help="Say where each value comes from.")] = False,
    section: Annotated[str | None, typer.Option("--section", help="Show this section alone.")] = None,
    as_json: Json = False,
) -> None:
    """Show the values that count, merged from all files and the environment; secrets as stars."""
    found = origins(load_layers(read_environment().config_file, default_paths=locations.DEFAULT_PATHS), os.environ)
    if section is not None:
        wanted = known_section(section)
        wanted = "WORKFLOWS" if wanted == "MODELS" else wanted
        found = {place: value for place, value in found.items() if place[0] == wanted}
    if as_json:
        shown: dict[str, dict[str, object]] = {}
        for (name, key), value in found.items():
            shown.setdefault(name, {})[key] = asdict(value) if origin else value.value
        _print_json(shown)
        return
    for name, group in groupby(found.items(), key=lambda item: item[0][0]):
        typer.echo(f"[{name}]")
        for (_, key), value in group:
            line = key if value.value == "" else f"{key} = {value.value or ''}".rstrip()
            typer.echo(f"{line:<60}  # {_told(value)}" if origin else line)
        typer.echo()


@app.command("diff")
def diff(
    first: Annotated[Path | None, typer.Argument(metavar="[A]", help="A file.")] = None,
    second: Annotated[Path | None, typer.Argument(metavar="[B]", help="Another file.")] = None,
    defaults: Annotated[bool, typer.Option("--defaults", help="Compare A with the defaults.")] = False,
    exit_code: Annotated[bool, typer.Option("--exit-code", help="Exit status 2 if there are differences.")] = False,
    as_json: Json = False,
) -> None:
    """Say what differs in effect: A from B, the configuration in use from A, or without files from the defaults.

    Two files are compared by themselves, one file and the configuration in use with the environment.
    """
    if first is not None and second is not None:
        before, after = _alone(first), _alone(second)
    elif first is None:
        before, after = Settings(), _in_use()
    elif defaults:
        before, after = Settings(), _alone(first)
    else:
        before, after = _in_use(), load_settings(first, default_paths=())
    differences = compare(before, after)
    if as_json:
        _print_json([asdict(difference) for difference in differences])
    else:
        for difference in differences:
            typer.echo(
                f"[{difference.section}] {difference.key}: {_value(difference.before)} -> {_value(difference.after)}"
            )
        if not differences:
            typer.echo("No difference.")
    if differences and exit_code:
        raise typer.Exit(2)


@app.command("sample")
def sample() -> None:
    """Print an annotated slurm-config.ini to start from: every key with its default, commented out."""
    from worker.settings.sample import sample as text

    typer.echo(text(), nl=False)


def _of_files(files: list[Path], *, merge: bool) -> list[Inspection]:
    groups = [files] if merge else [[file] for file in files]
    return [inspect(group, {}, required=group, further=_beyond_settings) for group in groups]


def _beyond_settings(settings: Settings, layers: Layers) -> Iterator[Doubt]:
    """Look at what the settings name, as far as that is on this machine."""
    yield from _addresses(settings, layers)
    yield from _templates(settings, layers)


def _templates(settings: Settings, layers: Layers) -> Iterator[Doubt]:
    """Try the templates of job scripts; that one is not there has been said already."""
    for name, cluster in settings.clusters.items():
        path = cluster.slurm.job_template
        entry = layers.sections.get(section_of("SLURM", name), {}).get("slurm_job_template")
        if path is not None and entry is not None and path.is_file():
            try:
                read_template(path)
            except SettingsError as error:
                yield Doubt(f"{place(entry)}: {error.message}", error.remedy, fatal=True)


def _addresses(settings: Settings, layers: Layers) -> Iterator[Doubt]:
    """Look at the addresses of repositories and images, without asking anybody."""
    entries = layers.sections.get(WORKFLOWS, {})
    for name, workflow in settings.workflows.items():
        if workflow.repo is not None:
            at = place(entries[f"{name}_repo"])
            try:
                address = parse_address(workflow.repo)
            except DescriptorError as error:
                yield Doubt(f"{at}: {error.message}", error.remedy, fatal=True)
            else:
                if isinstance(address, Path) and not address.exists():
                    yield Doubt(f"{at}: there is no {address} on this machine.", "Check the path.", fatal=False)
    entries = layers.sections.get("CONVERTERS", {})
    for conversion, image in settings.converters.items():
        try:
            repository_name(image)
        except SettingsError as error:
            yield Doubt(f"{place(entries[conversion])}: {error.message}", error.remedy, fatal=True)


def _of_this_worker() -> Inspection:
    """Look at the files that the worker reads, and at its environment."""
    environ = dict(os.environ)
    explicit = locations.config_file(environ)
    paths = locations.config_files(environ)
    found = inspect(paths, environ, required=[explicit] if explicit else [], further=_beyond_settings)
    further = [Finding(Severity.WARNING, warning) for warning in stray_variables(environ)]
    try:
        warnings = read_environment(environ).warnings
        further += [Finding(Severity.WARNING, warning) for warning in warnings]
    except SettingsError as error:
        further.append(Finding(Severity.ERROR, error.message, error.remedy))
    if not found.files:
        places = ", ".join(map(str, paths))
        further.append(
            Finding(
                Severity.WARNING,
                f"There is no slurm-config.ini: none of {places}.",
                "Write what 'omero-worker config sample' prints to one of these places, and edit it.",
            )
        )
    known = {finding.message for finding in found.findings}
    new = tuple(finding for finding in further if finding.message not in known)
    return Inspection(found.files, (*found.findings, *new), found.settings)


def _in_use() -> Settings:
    return load_settings(read_environment().config_file, default_paths=locations.DEFAULT_PATHS)


def _alone(path: Path) -> Settings:
    return load_settings(path, environ={}, default_paths=())


def _print_findings(findings: Iterable[Finding]) -> None:
    console = Console(soft_wrap=True)
    for finding in findings:
        console.print(f"{finding.severity.value}:", style=STYLES[finding.severity], end=" ", highlight=False)
        console.print(finding.message, markup=False, highlight=False, emoji=False)
        if finding.remedy:
            console.print(f"    {finding.remedy}", markup=False, highlight=False, emoji=False)


def _plain(finding: Finding) -> dict[str, object]:
    return asdict(finding) | {"file": None if finding.file is None else str(finding.file)}


def _told(origin: Origin) -> str:
    """Say where a value comes from, and what it wins over."""
    lower = "".join(f"; over {_value(other.value)} of {other.where}" for other in reversed(origin.overridden))
    return f"{origin.where}{lower}"


def _value(value: str | None) -> str:
    return "not set" if value is None else repr(value)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _print_json(content: Any) -> None:
    typer.echo(json.dumps(content, indent=2, ensure_ascii=False))


config_editing.register(app)
