"""Bring the results of an analysis into OMERO, through its API, once, however often it is tried.

Order of writing: provenance, job log, ROIs, images, tables, attachments, zip. Whatever an image needs to be understood
is there when it becomes visible, and whoever looks for a failed run finds its log. What has been written is known from
the ledger (:mod:`worker.results.ledger`); a repetition goes the same way and skips what is there.

What was asked for and could not be brought in is a problem of the report, never a silent note, after all else has been
written: whoever asked for the import tells the person that it has failed, and what of it is there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import structlog

from worker.errors import OmeroRefused, RequestError, ResultsError
from worker.pixels.session import translated
from worker.results.annotations import write_provenance
from worker.results.attempt import Attempt, silent
from worker.results.ledger import Ledger
from worker.results.matching import RENAMED, match
from worker.results.naming import check_pattern
from worker.results.outputs import read_outputs
from worker.results.parts.containers import find_containers
from worker.results.parts.files import (
    attach_log_file,
    bring_attached_images,
    bring_files,
    bring_files_to_sources,
    bring_log,
    bring_metadata,
    bring_zip,
    log_places,
)
from worker.results.parts.images import bring_images
from worker.results.parts.in_place import adopt_images
from worker.results.parts.plates import bring_plates, goes_into_plates
from worker.results.parts.rois import check_rois, draw_rois
from worker.results.parts.tables import bring_tables, table_places
from worker.results.permissions import check_options
from worker.results.sharing import shared_by
from worker.results.surroundings import read_places, read_surroundings, zip_places

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from omero.gateway import BlitzGateway

    from worker.errors import WorkerError
    from worker.results.model import CreatedObject, ImportOptions, ImportReport, Provenance, SourceFile
    from worker.results.outputs import Digest, Outputs
    from worker.results.sharing import Turn
    from worker.results.surroundings import Surroundings

log = structlog.get_logger(__name__)

_NAMED: Final = 20
"""How many images that are gone are named."""


def check_permissions(gateway: BlitzGateway, sources: Sequence[SourceFile], options: ImportOptions) -> None:
    """Check that results can be brought back as asked for, before any time on the cluster is spent.

    Parameters
    ----------
    gateway : BlitzGateway
        The person's session, in the group of the images.
    sources : Sequence of SourceFile
        What will be analysed.
    options : ImportOptions
        What the person chose.

    Raises
    ------
    NotPermitted
        If OMERO would refuse one of the writes.
    RequestError
        If nothing was chosen, or something that does not exist.
    OmeroError
        If OMERO does not answer, or refuses.
    """
    with translated("check what you may write in OMERO"):
        _check(gateway, read_surroundings(gateway, sources), options)


def import_results(
    gateway: BlitzGateway,
    folder: Path,
    files: Sequence[str],
    sources: Sequence[SourceFile],
    options: ImportOptions,
    provenance: Provenance,
    log_file: Path | None = None,
    progress: Callable[[int, int], None] | None = None,
    in_place: Mapping[str, tuple[int, ...]] | None = None,
    missing: Sequence[str] = (),
    known: Mapping[str, Digest] | None = None,
    turn: Turn | None = None,
) -> ImportReport:
    """Bring the results of one job into OMERO.

    Parameters
    ----------
    gateway : BlitzGateway
        The person's session, in the group of the images.
    folder : Path
        Where the output of the analysis lies on this machine.
    files : Sequence of str
        Paths of its files below ``folder``.
    sources : Sequence of SourceFile
        What was analysed.
    options : ImportOptions
        What the person chose.
    provenance : Provenance
        Where the results come from.
    log_file : Path, optional
        Log of the job.
    progress : Callable, optional
        Called as ``progress(done, total)`` after each file.
    in_place : Mapping, optional
        Ids of the images that the importer has made of results already, by the path of the file or OME-Zarr folder
        below ``folder``. They are not written then, but named, described and annotated like ours.
    missing : Sequence of str
        What of the results is not in ``folder``, and why, in sentences: an import without it is not complete.
    known : Mapping, optional
        Sizes and digests of files, by path, that were verified when they were put there; these are not read again.
    turn : Callable, optional
        Gives a context in which no other batch of the same run is: with it the results of a batch go into the new
        dataset, screen or plate of all batches, otherwise each makes its own.

    Returns
    -------
    ImportReport
        What is in OMERO now; the same for each repetition.

    Raises
    ------
    ResultsError
        If the analysis wrote nothing.
    NotPermitted
        If OMERO does not allow it; nothing but the log was written then.
    RequestError
        If what was chosen cannot be done; nothing but the log was written then.
    OmeroError
        If OMERO does not answer, or refuses; the import may be repeated.
    """
    with translated(f"bring the results of job {provenance.job_id} into OMERO"):
        surroundings = read_surroundings(gateway, sources)
        ledger = Ledger.open(gateway, provenance.run_id)
        shared = shared_by(provenance.batch, turn)
        attempt = Attempt(ledger, surroundings, sources, options, provenance, progress or silent, in_place, shared)
        attempt.problems += missing
        try:
            _check(gateway, surroundings, options)
            outputs = read_outputs(folder, files, known)
        except (RequestError, ResultsError) as error:
            # Whoever asks why there are no results must find the log.
            raise _with_log(attempt, log_file, error) from error
        return _bring_all(attempt, outputs, log_file)


def attach_log(
    gateway: BlitzGateway, log_file: Path, sources: Sequence[SourceFile], provenance: Provenance
) -> CreatedObject:
    """Attach the log of a job that failed, where a person looks for it.

    Parameters
    ----------
    gateway : BlitzGateway
        The person's session.
    log_file : Path
        Log of the job.
    sources : Sequence of SourceFile
        What was analysed.
    provenance : Provenance
        Which job it was.

    Returns
    -------
    CreatedObject
        The attachment; a file annotation on no object if there is nothing that this person may attach to.

    Raises
    ------
    OmeroError
        If OMERO does not answer, or refuses.
    """
    with translated(f"attach the log of job {provenance.job_id}"):
        parents = read_surroundings(gateway, sources).parents
        return attach_log_file(Ledger.open(gateway, provenance.run_id), log_file, provenance, parents)


def _with_log(attempt: Attempt, log_file: Path | None, error: RequestError | ResultsError) -> WorkerError:
    """Attach the log of a job of which nothing else can be imported, and say in the error where it is."""
    try:
        with translated("attach the log"):
            bring_log(attempt, log_file, log_places(attempt))
    except OmeroRefused:
        return error
    where = [f"The log of the job is in OMERO: file annotation {each.object_id}." for each in attempt.objects]
    return type(error)(" ".join([error.message, *where]), remedy=error.remedy)


def _bring_all(attempt: Attempt, outputs: Outputs, log_file: Path | None) -> ImportReport:
    """Write everything that was asked for, in the order in which people need it."""
    options, surroundings = attempt.options, attempt.surroundings
    matched = match([output.path for output in outputs.pictures], attempt.sources)
    if options.imports_images or options.attach_to_images or options.create_rois:
        attempt.notes += matched.notes
    if gone := _gone(attempt):
        attempt.note(gone)
    about = match([output.path for output in (*outputs.tables, *outputs.others)], attempt.sources)
    attempt.made_from = {**about.sources, **matched.sources}
    for path, rule in matched.rules.items():
        say = log.info if rule in RENAMED else log.debug
        say("matched", result=path, image=matched.sources[path].image_id, rule=rule)
    attempt.expect(_steps(outputs, options, len(surroundings.images)))
    attempt.annotation_ids = write_provenance(attempt.ledger, attempt.provenance)
    # What the importer was told to import into is there, whatever comes of it.
    all_into_plates = attempt.in_place is None and goes_into_plates(attempt, outputs, matched)
    containers = find_containers(attempt, all_into_plates=all_into_plates)
    places = list(surroundings.containers)
    if containers.dataset and containers.dataset.may_annotate and containers.dataset not in places:
        places.append(containers.dataset)
    if containers.screen and containers.screen.may_annotate and not places:
        places.append(containers.screen)
    bring_log(attempt, log_file, log_places(attempt, places))
    if options.create_rois:
        draw_rois(attempt, outputs)
    rest = adopt_images(attempt, outputs, containers)
    rest = bring_plates(attempt, rest, matched, containers)
    if containers.dataset and (rest.pictures or not (containers.screen or attempt.in_place)):
        bring_images(attempt, rest, containers.dataset)
    elif containers.screen:
        bring_files(attempt, rest.images, places)
    for path in sorted({each.path for each in attempt.imported if each.source is None} & matched.plates.keys()):
        attempt.note(f"{path} is not linked to an image: it is no plate, and its name begins with the name of none.")
    if options.csv_tables:
        to = table_places(attempt, places)
        # What is no table for OMERO is a file in its place.
        bring_files(attempt, bring_tables(attempt, outputs, to), to)
    if options.attach_to_images:
        bring_attached_images(attempt, outputs, places)
    if options.attach_files:
        chosen = read_places(attempt.ledger.gateway, options.file_places)
        files = rest.others if options.csv_tables else (*outputs.tables, *rest.others)
        (bring_files if chosen else bring_files_to_sources)(attempt, files, chosen or places)
        bring_metadata(attempt, chosen or places)
    if options.zip_to_parent:
        bring_zip(attempt, outputs, zip_places(attempt.ledger.gateway, surroundings, options.zip_places))
    if outputs.zarrs:
        _note_zarrs(attempt, outputs)
    return attempt.result()


def _gone(attempt: Attempt) -> str:
    """Say which images were analysed and cannot be seen any more; nothing if there are none."""
    names = {each.image_id: each.name for each in attempt.sources}
    gone = sorted(names.keys() - attempt.surroundings.images.keys())
    if not gone:
        return ""
    named = ", ".join(f"{image_id} ({names[image_id]})" for image_id in gone[:_NAMED])
    more = f" and {len(gone) - _NAMED} more" if len(gone) > _NAMED else ""
    return (
        f"{len(gone)} of the {len(names)} analysed images cannot be seen in this group any more; they were deleted, or"
        f" moved: {named}{more}. Nothing is attached to them or drawn on them."
    )


def _steps(outputs: Outputs, options: ImportOptions, analysed: int) -> int:
    return (
        len(outputs.pictures) * options.imports_images
        + len(outputs.images) * options.attach_to_images
        + len(outputs.tables) * (options.csv_tables or options.attach_files)
        + len(outputs.others) * options.attach_files
        + (len(options.roi_targets) or analysed) * options.create_rois
        + options.zip_to_parent
    )


def _note_zarrs(attempt: Attempt, outputs: Outputs) -> None:
    """Say what cannot be done with OME-Zarr folders, if it was asked for."""
    options = attempt.options
    if not (options.attach_to_images or options.attach_files):
        return
    message = f"OME-Zarr results cannot be attached singly: {', '.join(each.path for each in outputs.zarrs)}."
    if options.zip_to_parent:
        attempt.note(f"{message} They are in the zip.")
    elif options.imports_images:
        attempt.note(f"{message} Their images are in OMERO.")
    else:
        attempt.problem(message)


def _check(gateway: BlitzGateway, surroundings: Surroundings, options: ImportOptions) -> None:
    if options.rename is not None:
        check_pattern(options.rename)
    chosen = (options.zip_to_parent, options.attach_to_images, options.csv_tables, options.attach_files)
    if not any(chosen) and not options.imports_images and not options.create_rois:
        raise RequestError(
            "Nothing was chosen to happen with the results.", remedy="Choose at least one way to import them."
        )
    check_rois(options)
    check_options(gateway, surroundings, options)
