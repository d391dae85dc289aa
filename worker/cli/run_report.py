"""``omero-worker runs report``: what a run was, for a methods section and for an auditor."""

from __future__ import annotations

import enum
import json
from dataclasses import asdict
from typing import TYPE_CHECKING

import typer

from worker.engine.report.crates import crate_files
from worker.engine.report.facts import gather
from worker.engine.report.links import link_to
from worker.engine.report.markdown import render_markdown
from worker.engine.report.page import render_page
from worker.errors import RequestError
from worker.results.attachments import zip_chunks

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from uuid import UUID

    from worker.engine.assembly import Record


class ReportFormat(enum.StrEnum):
    """How a report is written."""

    MARKDOWN = "markdown"
    HTML = "html"
    RO_CRATE = "ro-crate"
    JSON = "json"


def write_report(record: Record, run_id: UUID, form: ReportFormat, output: Path | None) -> None:
    """Write the report of a run.

    Parameters
    ----------
    record : Record
        The record of runs.
    run_id : UUID
        The run.
    form : ReportFormat
        How.
    output : Path or None
        Where to; None: standard output.

    Raises
    ------
    RunNotFound
        If there is no such run.
    RequestError
        If a crate has no place to be written to, or that is taken or cannot be written to.
    """
    facts = gather(record.tracker, record.reader, run_id)
    link = link_to(record.settings.worker.omero_web_url)
    if form is ReportFormat.RO_CRATE:
        _write_crate(crate_files(facts, link), output)
        return
    text = {
        ReportFormat.MARKDOWN: lambda: render_markdown(facts, link),
        ReportFormat.HTML: lambda: render_page(facts, link),
        ReportFormat.JSON: lambda: json.dumps(asdict(facts), indent=2, ensure_ascii=False, default=str) + "\n",
    }[form]()
    data = text.encode("utf-8", "replace")
    if output is None:
        typer.echo(data.decode(), nl=False)
    else:
        _write({output: data})


def _write_crate(files: dict[str, bytes], output: Path | None) -> None:
    if output is None:
        raise RequestError(
            "An RO-Crate is a folder, or a zip.", remedy="Say where to write it: --output crate.zip, or a new folder."
        )
    if output.suffix.lower() == ".zip":
        _write({output: b"".join(zip_chunks(list(files.items())))})
        return
    if output.exists() and not (output.is_dir() and next(output.iterdir(), None) is None):
        raise RequestError(f"There is something in {output} already.", remedy="Name a new folder, or an empty one.")
    _write({output / name: content for name, content in files.items()})


def _write(files: Mapping[Path, bytes]) -> None:
    for path, content in files.items():
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        except OSError as error:
            raise RequestError(
                f"{path} cannot be written: {error.strerror or error}.", remedy="Name another place with --output."
            ) from error
