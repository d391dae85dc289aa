"""A report as Markdown: for a person who reads it, for a methods section, and for whoever has to believe it."""

from __future__ import annotations

import re
from datetime import datetime
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from worker.cluster.layout import shown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from worker.engine.report.model import AnalysisFacts, JobTry, RunFacts
    from worker.results.model import Cited, CreatedObject

    Link = Callable[[str, int], str]

MOST_ROWS = 200
"""Of a longer table the first so many rows are shown; JSON and RO-Crate have all of them."""

_SPECIAL = re.compile(r"[\\`*\[\]<>|~&$]|(?<![^\W_])_|_(?![^\W_])")
"""What is Markdown wherever it stands. Brackets are not: without square ones before them they are no link."""

_BLOCK = re.compile(r"[#=]|[+-](?=[\s+-]|$)|\d{1,9}(?=[.)](?:\s|$))")
"""What begins a heading, a list or a rule at the beginning of a line."""

_ALL_KNOWN = "Nothing: all that is recorded of such a run is in this report."

KINDS = {
    "analysis": "analysis of images",
    "transfer": "transfer of images to the cluster",
    "file-transfer": "transfer of files to the cluster",
    "conversion": "conversion on the cluster",
    "results": "import of the results of a job that had ended",
    "unknown": "run of another tool",
}
"""What kinds of runs there are, for persons."""


def render_markdown(run: RunFacts, link: Link = lambda _kind, _id: "") -> str:
    """Write a report.

    Parameters
    ----------
    run : RunFacts
        What to say.
    link : callable, optional
        Gives the web address of an object in OMERO by kind and id; empty if it has none.

    Returns
    -------
    str
        Markdown with tables. Names that persons have chosen are text in it, whatever they look like.
    """
    return "\n".join(_lines(run, link)) + "\n"


def _lines(run: RunFacts, link: Link) -> Iterator[str]:
    yield f"# Run {run.run_id}"
    yield ""
    yield from _table(("", ""), _head(run))
    if methods := list(_methods(run)):
        yield from ("", "## For a methods section", "", *methods)
    if run.sources:
        yield from ("", "## Images that were analysed" if run.kind == "analysis" else "## Images", "")
        yield from _images(run, link)
    for analysis in run.analyses:
        yield from _analysis(analysis)
    if run.jobs:
        yield from ("", "## Slurm jobs", "", *_jobs(run.jobs))
    if run.batches:
        yield from ("", "## Batches", "", *_batches(run))
    yield from ("", "## What is in OMERO", "", *_objects(run.objects, link))
    if run.steps:
        yield from ("", "## How it went", "", *_steps(run))
    yield from ("", "## Notes", "", *(_items(run.notes) or ["None."]))
    yield from ("", "## What is not known", "", *(_items(run.gaps) or [_ALL_KNOWN]))
    yield ""
    yield (
        f"Made from the record of the run by omero-worker {_text(run.reported_by)}. What was renamed or deleted in "
        "OMERO since then is as it was."
    )


def _head(run: RunFacts) -> Iterator[tuple[str, str]]:
    yield "What", _text(f"{run.name}: {KINDS[run.kind]}")
    if run.description:
        yield "Of what", _text(run.description)
    message = f": {_text(run.message)}" if run.message else ""
    yield "Status", f"**{run.status}**{message}"
    yield "Who", _who(run.user_name, run.user_id)
    yield "Group", _who(run.group_name, run.group_id)
    yield "Asked for", when(run.created)
    yield ("Ended", when(run.ended)) if run.ended else ("Last change", when(run.changed))
    if run.accepted_by:
        yield "Taken on by", f"omero-worker {_text(run.accepted_by)}"
    if run.cluster:
        yield "Cluster", _text(f"{run.cluster}, folder {run.folder}")
    if run.finished_run:
        yield "Results of", _text(f"job {run.finished_job} of run {run.finished_run}")
    if run.parent:
        yield "Batch", _text(f"{run.batch_index} of {run.batch_total} of run {run.parent}")


def _who(name: str, number: int) -> str:
    return f"{_text(name)} (OMERO id {number})" if name else f"OMERO id {number}"


def _methods(run: RunFacts) -> Iterator[str]:
    """Sentences that can be taken over as they are; only of analyses whose job has ended well."""
    done = [analysis for analysis in (*run.analyses, *_first_of_batches(run)) if analysis.ok]
    seen: set[str] = set()
    for analysis in done:
        known = analysis.provenance
        if known.workflow in seen:
            continue
        seen.add(known.workflow)
        count = len({source.image_id for source in run.sources}) or sum(
            len({source.image_id for source in batch.sources}) for batch in run.batches
        )
        name = known.analysis_name or known.workflow
        values = ", ".join(
            f"{key} = {value}{' (default)' if key in known.defaults else ''}" for key, value in known.parameters.items()
        )
        with_values = f" with {values}" if values else " without parameters"
        image = (
            f" (container image {known.image_source or PurePosixPath(analysis.image_file).name}"
            if known.image_sha256
            else ""
        )
        image += f", sha256 {known.image_sha256})" if known.image_sha256 else ""
        programs = ", ".join(filter(None, (known.slurm_version, known.runtime_version)))
        under = f" under {programs}" if programs else ""
        images = "1 image from OMERO was" if count == 1 else f"{count} images from OMERO were"
        yield _text(
            f"{images} analysed with {name} {known.version}{image}{with_values}, on the cluster "
            f"{known.cluster}{under}, by omero-worker {known.worker_version or run.accepted_by} (run {run.run_id})."
        )
        if known.citations:
            yield ""
            yield "Please cite: " + "; ".join(_cited(cited) for cited in known.citations) + "."


def _first_of_batches(run: RunFacts) -> list[AnalysisFacts]:
    return [analysis for batch in run.batches for analysis in batch.analyses]


def _cited(cited: Cited) -> str:
    doi = f", [doi:{_text(cited.doi)}](<https://doi.org/{_address(cited.doi)}>)" if cited.doi else ""
    licence = f" (licence: {_text(cited.license)})" if cited.license else ""
    return f"{_text(cited.name)}{doi}{licence}"


def _images(run: RunFacts, link: Link) -> list[str]:
    rows = [
        (_named("Image", source.image_id, source.name, link), _text(source.object_type), _code(source.path))
        for source in run.sources
    ]
    return _table(("Image", "Chosen as", "File that was given to the analysis"), rows)


def _analysis(analysis: AnalysisFacts) -> Iterator[str]:
    known = analysis.provenance
    yield from ("", f"## {_text(f'Analysis {known.workflow} {known.version}')}", "")
    if known.analysis_description:
        yield from (_text(known.analysis_description), "")
    outcome = {None: "has not ended", True: "ended well", False: "failed"}[analysis.ok]
    message = f": {_text(analysis.message)}" if analysis.message else ""
    rows = [
        ("Outcome", f"{outcome}{message}"),
        ("Descriptor", _text(known.descriptor_source)),
        ("... sha256", _code(known.descriptor_sha256)),
        ("Container image", _code(analysis.image_file)),
        ("... pulled from", _text(known.image_source)),
        ("... sha256", _code(known.image_sha256)),
        ("... as configured", _text(analysis.image_reference)),
        ("Run by", _text(analysis.run_by)),
        ("Cluster", _text(known.cluster)),
        ("Slurm", _text(known.slurm_version)),
        ("Container runtime", _text(known.runtime_version)),
        ("Submitted by", _text(f"omero-worker {known.worker_version}") if known.worker_version else ""),
        ("Settings, sha256", _code(known.settings_digest)),
        ("Command", _code(known.command)),
        ("Job script, sha256", _code(analysis.script_sha256)),
        ("Arguments of the container", _code(" ".join(analysis.arguments))),
    ]
    yield from _table(("", ""), [row for row in rows if row[1]])
    yield from ("", "### Parameters", "")
    yield from _table(
        ("Parameter", "Value", ""),
        [
            (_text(name), _code(str(value)), "default" if name in known.defaults else "")
            for name, value in known.parameters.items()
        ],
    )
    if known.resources:
        yield from ("", "### What Slurm was asked for", "")
        yield from _table(
            ("Option of sbatch", "Value"), [(_code(f"--{n}"), _code(v)) for n, v in known.resources.items()]
        )
    yield from ("", "### Slurm jobs", "", *_jobs(analysis.jobs))
    if known.environment:
        yield from ("", "### Environment of the container", "")
        yield from _table(("Variable", "Value"), [(_code(n), _code(v)) for n, v in known.environment.items()])
    yield from ("", "### Files that it wrote", "")
    yield f"{analysis.output_count} files, {_bytes(analysis.output_bytes)}."
    if analysis.outputs:
        yield ""
        yield from _table(
            ("File", "Bytes", "sha256"),
            [(_code(shown(file.path)), str(file.size_bytes), _code(file.sha256)) for file in analysis.outputs],
        )


def _jobs(jobs: Sequence[JobTry]) -> list[str]:
    rows = [
        (
            str(job.job_id or "none"),
            _text(job.state or "not known"),
            "" if job.exit_code is None else str(job.exit_code),
            _text(", ".join(job.hosts)),
            when(job.started),
            when(job.ended),
            _used(job.usage),
            _text(job.reason),
        )
        for job in jobs
    ]
    return _table(("Job", "State", "Exit code", "Hosts", "Started", "Ended", "Used", "Why"), rows)


def _used(usage: Mapping[str, object]) -> str:
    said = []
    elapsed_s, cpus, memory = usage.get("elapsed_s"), usage.get("cpus"), usage.get("peak_memory_bytes")
    if isinstance(elapsed_s, (int, float)):
        said.append(f"{elapsed_s:.0f} s")
    if isinstance(cpus, int):
        said.append(f"{cpus} CPU{'' if cpus == 1 else 's'}")
    if isinstance(memory, int):
        said.append(f"{_bytes(memory)} of memory")
    if gpus := usage.get("gpus"):
        said.append(f"{gpus} GPUs")
    return ", ".join(said)


def _batches(run: RunFacts) -> Iterator[str]:
    yield from _table(
        ("Batch", "Run", "Status", "Why"),
        [
            (f"{batch.batch_index} of {batch.batch_total}", batch.run_id, batch.status, _text(batch.message))
            for batch in run.batches
        ],
    )
    yield ""
    yield "Each of them has a report of its own."


def _objects(objects: Sequence[CreatedObject], link: Link) -> list[str]:
    rows = [(_text(each.kind), _named(each.kind, each.object_id, each.name, link)) for each in objects]
    return _table(("Kind", "Object"), rows)


def _steps(run: RunFacts) -> list[str]:
    rows = [
        (step.name, step.state, when(step.began), when(step.ended), str(step.attempts or ""), _text(step.message))
        for step in run.steps
    ]
    return _table(("Step", "State", "Began", "Ended", "Attempts that failed", "Why"), rows)


def when(moment: str) -> str:
    """Write a time for persons.

    Parameters
    ----------
    moment : str
        ISO 8601; empty if nobody knows.

    Returns
    -------
    str
        Day and time in the time zone that it is given in, which is UTC for all that we record.
    """
    if not moment:
        return ""
    try:
        parsed = datetime.fromisoformat(moment)
    except ValueError:
        return _text(moment)
    return f"{parsed:%Y-%m-%d %H:%M:%S} {parsed.tzname() or ''}".strip()


def _named(kind: str, object_id: int, name: str, link: Link) -> str:
    address = link(kind, object_id)
    text = f"{_text(name)} (id {object_id})" if name else f"id {object_id}"
    return f"[{text}](<{_address(address)}>)" if address else text


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    listed = list(rows)
    if not listed:
        return ["None."]
    lines = [f"| {' | '.join(cells)} |" for cells in (head, ["---"] * len(head), *listed[:MOST_ROWS])]
    if len(listed) > MOST_ROWS:
        lines += ["", f"... and {len(listed) - MOST_ROWS} more."]
    return lines


def _items(texts: Iterable[str]) -> list[str]:
    return [f"- {_text(text)}" for text in texts]


def _text(text: str) -> str:
    """Write something that a person, or another program, has chosen, so that nothing in it is Markdown or HTML."""
    line = _SPECIAL.sub(r"\\\g<0>", _one_line(text))
    begins = _BLOCK.match(line)
    if begins is None:
        return line
    # A number is not what makes a list of it, but the full stop behind it.
    end = begins.end() if begins[0].isdecimal() else 0
    return f"{line[:end]}\\{line[end:]}"


def _code(text: str) -> str:
    """Write something in the form in which it was typed."""
    if not text:
        return ""
    line = _one_line(text)
    fence = "`" * (max((len(ticks) for ticks in re.findall(r"`+", line)), default=0) + 1)
    blank = " " if line.startswith("`") or line.endswith("`") else ""
    # In a table a bar is a bar only after a backslash, also within code.
    return f"{fence}{blank}{line.replace('|', chr(92) + '|')}{blank}{fence}"


def _one_line(text: str) -> str:
    kept = "".join(character if character.isprintable() else " " for character in text)
    return " ".join(kept.encode("utf-8", "replace").decode().split())


def _address(address: str) -> str:
    return re.sub(r"[<>\s\\]", lambda match: f"%{ord(match[0]):02X}", address)


def _bytes(size: int) -> str:
    for unit, factor in (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if size >= factor:
            return f"{size / factor:.1f} {unit}"
    return f"{size} bytes"
