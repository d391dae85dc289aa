"""``omero-worker config set|present|absent|apply``: changing slurm-config.ini, twice to the same effect as once.

Exit status: 0 if the file says what was asked for, whether or not it had to be changed for that; with ``--check`` 2 if
it would have to be; 1 if it could not be.
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from worker.errors import RequestError, SettingsError
from worker.settings import locations
from worker.settings.desired import Absent, AbsentWorkflow, Value, known_section, read_desired
from worker.settings.edition import edit
from worker.settings.secrecy import masked

if TYPE_CHECKING:
    from collections.abc import Sequence

    from worker.settings.desired import Wish
    from worker.settings.edition import Edition

Section = Annotated[str, typer.Argument(metavar="SECTION", help="The section, such as SLURM.")]
Key = Annotated[str, typer.Argument(metavar="KEY", help="The key, such as slurm_data_path.")]
File = Annotated[
    Path | None,
    typer.Option("--file", help="The file to change; else the one that counts most of those that the worker reads."),
]
Check = Annotated[bool, typer.Option("--check", help="Write nothing; exit status 2 if anything would change.")]
Diff = Annotated[bool, typer.Option("--diff", help="Show what is new, line by line; secrets as stars.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]

WOULD_CHANGE = 2
"""Exit status of ``--check`` if anything would change."""


def register(app: typer.Typer) -> None:
    """Give an application these commands.

    Parameters
    ----------
    app : typer.Typer
        The application.
    """
    for command in (set_value, present, absent, apply):
        app.command(command.__name__.removesuffix("_value"))(command)


def set_value(
    section: Section,
    key: Key,
    value: Annotated[
        str, typer.Argument(metavar="VALUE", help="What is to follow =; '' takes back an earlier file's.")
    ],
    file: File = None,
    check: Check = False,
    diff: Diff = False,
    as_json: Json = False,
) -> None:
    """Give a key this value."""
    _edit([Value(known_section(section), key, value)], file, check=check, diff=diff, as_json=as_json)


def present(
    section: Section,
    key: Key,
    value: Annotated[
        str | None, typer.Argument(metavar="[VALUE]", help="What follows = if the key is new; without: no =.")
    ] = None,
    file: File = None,
    check: Check = False,
    diff: Diff = False,
    as_json: Json = False,
) -> None:
    """Have a key in the file; a value that it has already stays."""
    wish = Value(known_section(section), key, value, only_new=True)
    _edit([wish], file, check=check, diff=diff, as_json=as_json)


def absent(
    section: Annotated[str | None, typer.Argument(metavar="SECTION", help="The section.")] = None,
    key: Annotated[str | None, typer.Argument(metavar="KEY", help="The key.")] = None,
    workflow: Annotated[
        str | None, typer.Option("--workflow", help="A workflow with all its keys, instead of one key.")
    ] = None,
    file: File = None,
    check: Check = False,
    diff: Diff = False,
    as_json: Json = False,
) -> None:
    """Take a key or a workflow out; what an earlier file sets is taken back with a blank value."""
    if workflow is not None and section is None:
        wish: Wish = AbsentWorkflow(workflow)
    elif workflow is None and section is not None and key is not None:
        wish = Absent(known_section(section), key)
    else:
        raise RequestError(
            "It is not clear what is to go.", remedy="Give either SECTION and KEY, or --workflow and a name."
        )
    _edit([wish], file, check=check, diff=diff, as_json=as_json)


def apply(
    desired: Annotated[str, typer.Argument(metavar="DESIRED", help="A TOML or JSON file; - is standard input.")],
    file: File = None,
    check: Check = False,
    diff: Diff = False,
    as_json: Json = False,
) -> None:
    """Make the file say what DESIRED says; what that does not name stays."""
    try:
        text = sys.stdin.read() if desired == "-" else Path(desired).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise SettingsError(f"{desired} cannot be read: {reason}.") from error
    _edit(read_desired(text, desired), file, check=check, diff=diff, as_json=as_json)


def _edit(wishes: Sequence[Wish], file: Path | None, *, check: bool, diff: bool, as_json: bool) -> None:
    files = locations.config_files(os.environ)
    edition = edit(_chosen(file, files), wishes, files=files, environ=os.environ, check=check)
    if as_json:
        _print_json(edition, check=check, diff=diff)
    else:
        _print_text(edition, check=check, diff=diff)
    if check and edition.changed:
        raise typer.Exit(WOULD_CHANGE)


def _chosen(file: Path | None, files: Sequence[Path]) -> Path:
    """Name the file to be edited as the list of files does, if it is one of them."""
    if file is not None:
        return next((path for path in files if path == file or _same(path, file)), file)
    there = [path for path in files if path.exists()]
    explicit = locations.config_file(os.environ)
    if explicit is not None:
        return explicit
    if not there:
        raise RequestError(
            f"There is no slurm-config.ini yet: none of {', '.join(map(str, files))}.",
            remedy="Say with --file which one to make.",
        )
    return there[-1]


def _same(path: Path, file: Path) -> bool:
    return path.exists() and file.exists() and path.samefile(file)


def _print_text(edition: Edition, *, check: bool, diff: bool) -> None:
    if diff:
        for line in edition.difference():
            typer.echo(line)
    for warning in edition.warnings:
        typer.echo(f"warning: {warning}", err=True)
    if not edition.changed:
        typer.echo(f"{edition.path}: unchanged")
        return
    would = "would be " if check else ""
    for change in edition.changes:
        shown = "" if change.after is None else f" = {masked(change.key, change.after)}"
        typer.echo(f"{edition.path}: [{change.section}] {change.key} {would}{change.action}{shown}")


def _print_json(edition: Edition, *, check: bool, diff: bool) -> None:
    content = {
        "changed": edition.changed,
        "check": check,
        "file": str(edition.path),
        "written": edition.written or None,
        "changes": [
            asdict(change) | {"before": masked(change.key, change.before), "after": masked(change.key, change.after)}
            for change in edition.changes
        ],
        "warnings": list(edition.warnings),
    }
    if diff:
        content["diff"] = list(edition.difference())
    typer.echo(json.dumps(content, indent=2, ensure_ascii=False))
