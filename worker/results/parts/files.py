"""Results as attached files: the job's log, result images on the images they were made from, other files, the zip."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from worker.errors import RequestError
from worker.results.about import describe_results
from worker.results.actions import CrateFile
from worker.results.attachments import Attachment, attach, file_chunks, zip_chunks
from worker.results.ledger import Key
from worker.results.metadata import metadata_name, render
from worker.results.model import CreatedObject
from worker.results.naming import flat_names, split_name
from worker.results.surroundings import read_places

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from worker.results.attempt import Attempt
    from worker.results.ledger import Ledger
    from worker.results.model import Provenance
    from worker.results.outputs import Output, Outputs
    from worker.results.surroundings import Place


def attach_log_file(ledger: Ledger, log_file: Path, provenance: Provenance, places: Sequence[Place]) -> CreatedObject:
    """Attach the log of a job.

    Parameters
    ----------
    ledger : Ledger
        The run's ledger.
    log_file : Path
        The log.
    provenance : Provenance
        Which job it was.
    places : Sequence of Place
        What to attach it to. Without any, it is a file annotation of the person's own that is attached to nothing: the
        log can be found by its id, whatever may be written in this group.

    Returns
    -------
    CreatedObject
        The attachment.
    """
    name = f"omero-{provenance.job_id}.log"
    attachment = Attachment(name, lambda: file_chunks(log_file), f"Log of job {provenance.job_id}")
    annotation_id = attach(ledger, Key(provenance.task_id, "-", f"log:{provenance.job_id}", ""), attachment, places)
    return CreatedObject("FileAnnotation", annotation_id, name)


def bring_log(attempt: Attempt, log_file: Path | None, places: Sequence[Place]) -> None:
    """Attach the log of the job, if there is one.

    Parameters
    ----------
    attempt : Attempt
        The import.
    log_file : Path or None
        The log.
    places : Sequence of Place
        What it is attached to; without any, it is in OMERO but attached to nothing, and a note says how to find it.
    """
    if log_file is None or not log_file.is_file():
        attempt.note("The cluster gave no log of the job.")
        return
    attached = attach_log_file(attempt.ledger, log_file, attempt.provenance, places)
    attempt.objects.append(attached)
    if not places:
        attempt.note(
            f"You may attach the log of the job nowhere: it is in OMERO as file annotation {attached.object_id}"
            f" ({attached.name}), on no object."
        )


def log_places(attempt: Attempt, places: Sequence[Place] = ()) -> tuple[Place, ...]:
    """Say what the log of the job is attached to.

    Parameters
    ----------
    attempt : Attempt
        The import.
    places : Sequence of Place
        What results are attached to.

    Returns
    -------
    tuple of Place
        The parents of the analysed images; else ``places``; else what was chosen for that case. May be empty.
    """
    found = attempt.surroundings.parents or tuple(places)
    if found or not attempt.options.log_place:
        return found
    try:
        chosen = read_places(attempt.ledger.gateway, [attempt.options.log_place])
    except RequestError as error:
        attempt.note(f"The log of the job cannot be attached to {attempt.options.log_place}: {error}")
        return ()
    return tuple(place for place in chosen if place.may_annotate)


def bring_attached_images(attempt: Attempt, outputs: Outputs, places: Sequence[Place]) -> None:
    """Attach each result image, as a file, to the image that it was made from, else to ``places``."""
    names = flat_names(output.path for output in outputs.images)
    for output in outputs.images:
        analysed = attempt.analysed(attempt.made_from.get(output.path))
        target = [analysed.place] if analysed is not None else places
        _attach(attempt, output, f"attached:{output.path}", _name_on_image(attempt, names[output.path]), target)


def bring_files(attempt: Attempt, outputs: Iterable[Output], places: Sequence[Place]) -> None:
    """Attach files as they are.

    Parameters
    ----------
    attempt : Attempt
        The import.
    outputs : Iterable of Output
        The files.
    places : Sequence of Place
        What they are attached to; one annotation serves all.
    """
    outputs = tuple(outputs)
    names = flat_names(output.path for output in outputs)
    for output in outputs:
        _attach(attempt, output, f"file:{output.path}", names[output.path], places)


def bring_files_to_sources(attempt: Attempt, outputs: Iterable[Output], places: Sequence[Place]) -> None:
    """Attach each file to the image that it was made from, where that is known, else to ``places``."""
    outputs = tuple(outputs)
    names = flat_names(output.path for output in outputs)
    for output in outputs:
        analysed = attempt.analysed(attempt.made_from.get(output.path))
        on_image = analysed is not None and analysed.place.may_annotate
        name = _name_on_image(attempt, names[output.path]) if on_image else names[output.path]
        target = [analysed.place] if analysed is not None and on_image else places
        _attach(attempt, output, f"file:{output.path}", name, target)


def bring_metadata(attempt: Attempt, places: Sequence[Place]) -> None:
    """Attach the file that says where the results come from."""
    name = metadata_name(attempt.provenance)
    if places:
        content = Attachment(name, lambda: (render(attempt.provenance),), attempt.description(None))
        annotation_id = attach(attempt.ledger, attempt.key(None, "metadata", ""), content, places)
        attempt.report("FileAnnotation", annotation_id, name)


def bring_zip(attempt: Attempt, outputs: Outputs, places: Sequence[Place]) -> None:
    """Attach everything that the analysis wrote as one zip; one annotation serves all ``places``."""
    name = f"{attempt.provenance.job_id}_out.zip"
    made = [CrateFile(each.path, each.file.stat().st_size, each.sha256) for each in outputs.all]
    about = describe_results(attempt.provenance, attempt.sources, made, metadata_name(attempt.provenance))
    members: list[tuple[str, Path | bytes]] = [(each.path, each.file) for each in outputs.all]
    members += about.items()
    attachment = Attachment(name, lambda: zip_chunks(members), attempt.description(None))
    annotation_id = attach(attempt.ledger, attempt.key(None, "zip", outputs.sha256), attachment, places)
    attempt.report("FileAnnotation", annotation_id, name)
    attempt.step()


def _name_on_image(attempt: Attempt, name: str) -> str:
    """Name a file for an image that several runs analyse: ``<stem>.<run uuid>.<ext>``."""
    stem, ext = split_name(PurePosixPath(name).name)
    return ".".join(part for part in (stem, attempt.provenance.run_id, ext) if part)


def _attach(attempt: Attempt, output: Output, role: str, name: str, places: Sequence[Place]) -> None:
    if places:
        attachment = Attachment(name, lambda: file_chunks(output.file), attempt.description(None))
        annotation_id = attach(attempt.ledger, attempt.key(None, role, output.sha256), attachment, places)
        attempt.report("FileAnnotation", annotation_id, name)
    else:
        attempt.problem(f"{output.path} is not in OMERO: you may attach it nowhere.")
    attempt.step()
