"""``omero-worker analyses``: what can be run, and whether a descriptor is right; ``refresh`` looks at all of them now.

What the catalogue holds is shown from there, without a look at the web or the cluster.
"""

from __future__ import annotations

import difflib
import json
import tempfile
from contextlib import ExitStack, closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from worker.analyses import catalogue as catalogues
from worker.analyses import review
from worker.errors import DescriptorError, RequestError, SettingsError
from worker.settings import locations

if TYPE_CHECKING:
    from worker.analyses.catalogue import Catalogue, CatalogueEntry
    from worker.analyses.model import Analysis, Parameter
    from worker.analyses.sources import SourcedAnalysis
    from worker.cluster.transport import Transport

app = typer.Typer(no_args_is_help=True)

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")]


@app.command("list")
def list_analyses(as_json: AsJson = False) -> None:
    """List the workflows of slurm-config.ini as the dialogs know them."""
    catalogue = _catalogue()
    if as_json:
        _print_json(
            {
                "refreshed_at": catalogue.refreshed_at,
                "note": catalogue.note,
                "analyses": [_summary(entry) for entry in catalogue.entries],
            }
        )
        return
    console = Console(soft_wrap=False)
    table = Table("Workflow", "Schema", "Versions", "Cluster", "Where from", "Fetched", "Problem")
    for entry in catalogue.entries:
        schema = entry.analysis.schema_version if entry.analysis else ""
        where = entry.source or entry.repo
        cells = (entry.name, schema, ", ".join(entry.versions), entry.cluster, where, _time(entry), entry.problem)
        table.add_row(*map(_cell, cells))
    console.print(table)
    if catalogue.refreshed_at:
        console.print(f"As of {catalogue.refreshed_at}.", highlight=False)
    if catalogue.note:
        console.print(_plain(catalogue.note), style="yellow", markup=False, highlight=False)


@app.command("show")
def show(
    name: Annotated[str, typer.Argument(help="The workflow's name in slurm-config.ini.")], as_json: AsJson = False
) -> None:
    """Show what one workflow is: its parameters, what it needs, what to cite, and how its container is called."""
    catalogue = _catalogue()
    entry = catalogue.entry(name)
    if entry is None:
        near = difflib.get_close_matches(name, [one.name for one in catalogue.entries], n=1)
        known = f"Did you mean {near[0]}?" if near else "See what there is: omero-worker analyses list"
        raise RequestError(f"There is no workflow {name}.", remedy=" ".join(filter(None, (known, catalogue.note))))
    if as_json:
        _print_json(_summary(entry) | (_details(entry.analysis) if entry.analysis else {}))
        return
    console = Console(soft_wrap=True)
    console.print(_plain(entry.name), style="bold", markup=False, highlight=False)
    if entry.problem:
        console.print(_plain(entry.problem), style="yellow", markup=False, highlight=False)
    facts = {
        "Versions": ", ".join(entry.versions) or "none on the cluster",
        "Cluster": entry.cluster,
        "Where from": entry.source or entry.repo,
        "Fetched": _time(entry),
    }
    _print_facts(console, facts)
    if entry.analysis is not None:
        _print_analysis(console, entry.analysis)


@app.command("check")
def check(
    where: Annotated[
        str, typer.Argument(metavar="PATH|URL", help="A descriptor, a folder or repository that holds one.")
    ],
    as_json: AsJson = False,
) -> None:
    """Read a descriptor as it is now; exit status 1 if it has errors. Nothing is kept, and no copy is used."""
    try:
        found = _fetch(where)
    except DescriptorError as error:
        if as_json:
            _print_json({"where": where, "error": error.message, "remedy": error.remedy, "remarks": []})
            raise typer.Exit(1) from error
        raise
    remarks = review.remarks(found.analysis)
    if as_json:
        _print_json(
            {"where": where, "error": "", "remedy": "", "remarks": remarks, "source": found.source}
            | {"version": found.version, "commit": found.commit}
            | _details(found.analysis)
        )
        return
    console = Console(soft_wrap=True)
    console.print(f"{_plain(found.source)} can be read.", style="green", markup=False, highlight=False)
    _print_analysis(console, found.analysis)
    for remark in remarks:
        console.print(f"Please look at this: {_plain(remark)}", style="yellow", markup=False, highlight=False)


def refresh() -> None:
    """Look at workflows, versions and descriptors once, and write what the dialogs show."""
    # Imported here, as the other commands need neither clusters nor their libraries.
    from worker.engine.assembly import open_settings, open_transport
    from worker.engine.catalogue import refresh_catalogue

    settings, environment = open_settings()
    with ExitStack() as stack:

        def transport(cluster: str) -> Transport:
            return stack.enter_context(closing(open_transport(settings.cluster(cluster).ssh)))

        # Who asks for it now has mended something.
        catalogue = refresh_catalogue(settings, transport, state_dir=environment.state_dir, ask_now=True)
    for entry in catalogue.entries:
        versions = ", ".join(entry.versions) or "no image on the cluster"
        typer.echo(f"{entry.name}: {versions}{'; ' + entry.problem if entry.problem else ''}")
    if catalogue.note:
        typer.echo(catalogue.note)


def _catalogue() -> Catalogue:
    return catalogues.load(catalogues.catalogue_path(locations.state_dir()))


def _fetch(where: str) -> SourcedAnalysis:
    """Fetch a descriptor with an empty cache, so that what is said is true now."""
    from worker.analyses.sources import fetch_analysis
    from worker.analyses.tokens import Tokens
    from worker.settings.environment import read_environment
    from worker.settings.loader import load_settings

    if "://" not in where and "@" not in where.partition("/")[0]:
        return fetch_analysis(str(Path(where).expanduser().absolute()), cache_dir=Path("unused"))
    tokens, timeout_s = Tokens(), 60.0
    try:
        analyses = load_settings(read_environment().config_file).analyses
        tokens, timeout_s = Tokens.of(analyses), analyses.timeout_s
    except SettingsError as error:
        typer.echo(f"Without tokens for private repositories, as the configuration cannot be read. {error}", err=True)
    with tempfile.TemporaryDirectory() as folder:
        return fetch_analysis(where, cache_dir=Path(folder), timeout_s=timeout_s, tokens=tokens)


def _summary(entry: CatalogueEntry) -> dict[str, Any]:
    return {
        "workflow": entry.name,
        "schema": entry.analysis.schema_version if entry.analysis else "",
        "versions": entry.versions,
        "cluster": entry.cluster,
        "repo": entry.repo,
        "source": entry.source,
        "commit": entry.commit,
        "fetched_at": entry.fetched_at,
        "problem": entry.problem,
    }


def _details(analysis: Analysis) -> dict[str, Any]:
    return {"analysis": analysis.to_json(), "example": _example(analysis)}


def _print_analysis(console: Console, analysis: Analysis) -> None:
    needs = analysis.resources
    wanted = [
        "a GPU" if needs.gpu else "",
        f"{needs.cores} cores" if needs.cores else "",
        f"{needs.memory_mib} MiB of memory" if needs.memory_mib else "",
        "OME-Zarr" if analysis.requires_zarr else "",
        "whole plates" if analysis.requires_plate else "",
    ]
    facts = {
        "Name": analysis.name,
        "Description": analysis.description if analysis.description != analysis.name else "",
        "Schema": analysis.schema_version,
        "Image": analysis.image,
        "Needs": ", ".join(filter(None, wanted)),
    }
    _print_facts(console, facts)
    table = Table("Parameter", "Type", "Default", "Allowed", "Option", "Asked of", "Meaning", title="Parameters")
    table.title_justify = "left"
    for parameter in analysis.parameters:
        default = "" if parameter.default is None else str(parameter.default)
        cells = (parameter.id, _type(parameter), default, _allowed(parameter), parameter.flag, _audience(parameter))
        table.add_row(*map(_cell, cells), _cell(parameter.description))
    # A table is as wide as the terminal, and its cells are folded.
    Console().print(table)
    for citation in analysis.citations:
        parts = (citation.name, citation.doi and f"https://doi.org/{citation.doi}", citation.license)
        console.print(f"Please cite: {_plain(', '.join(filter(None, parts)))}", markup=False, highlight=False)
    console.print(f"The container gets: {_plain(_example(analysis))}", markup=False, highlight=False)


def _print_facts(console: Console, facts: dict[str, str]) -> None:
    for subject, fact in facts.items():
        if fact:
            console.print(f"{subject}: {_plain(fact)}", markup=False, highlight=False)


def _type(parameter: Parameter) -> str:
    if parameter.folder:
        return f"{parameter.folder} folder"
    if parameter.file_attachment:
        return "file" if parameter.file_count == "single" else "files"
    return parameter.type


def _allowed(parameter: Parameter) -> str:
    """Say which values are allowed: one of some, between limits, or files of some formats."""
    if parameter.choices:
        labels = parameter.choice_labels or parameter.choices
        pairs = zip(parameter.choices, labels, strict=False)
        return ", ".join(choice if choice == label else f"{choice} ({label})" for choice, label in pairs)
    if parameter.file_attachment:
        return ", ".join(f".{extension}" for extension in parameter.formats)
    low, high = parameter.minimum, parameter.maximum
    limits = (f"at least {low:g}" if low is not None else "", f"at most {high:g}" if high is not None else "")
    return ", ".join(filter(None, limits))


def _audience(parameter: Parameter) -> str:
    """Say who is asked for a value."""
    if parameter.hidden or (parameter.set_by_server and not parameter.file_attachment):
        return "nobody"
    return ("experts" if parameter.mode == "advanced" else "everybody") + (", optional" if parameter.optional else "")


def _example(analysis: Analysis) -> str:
    try:
        return review.example(analysis)
    except RequestError as error:
        return f"(nothing: {error.message})"


def _time(entry: CatalogueEntry) -> str:
    return entry.fetched_at.replace("T", " ").replace("+00:00", " UTC")


def _cell(text: str) -> str:
    return escape(_plain(text))


def _plain(text: str) -> str:
    """Take out what a descriptor could tell the terminal to do."""
    return "".join(letter if letter.isprintable() or letter == "\n" else "\ufffd" for letter in text)


def _print_json(data: object) -> None:
    typer.echo(json.dumps(data, indent=2, ensure_ascii=False))
