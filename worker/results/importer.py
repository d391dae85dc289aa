"""Bring the results of an analysis into OMERO, through its API, once, however often it is tried.

Order of writing: provenance, job log, images, tables, attachments, zip. Whatever an image needs to be understood is
there when it becomes visible, and whoever looks for a failed run finds its log. What has been written is known from the
ledger (:mod:`worker.results.ledger`); a repetition goes the same way and skips what is there.

An import that could not bring in everything that was asked for ends in an error, never in a silent note, after all
else has been written.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from worker.errors import RequestError, ResultsError
from worker.pixels.session import translated
from worker.results.annotations import references, write_provenance
from worker.results.attachments import Attachment, attach, file_chunks, zip_chunks
from worker.results.datasets import target_dataset
from worker.results.images import ImageLabel, import_image
from worker.results.ledger import Key, Ledger
from worker.results.matching import match
from worker.results.metadata import metadata_name, render
from worker.results.model import CreatedObject, ImportReport
from worker.results.naming import check_pattern, distinct, rename, split_name
from worker.results.outputs import Output, Outputs, read_outputs
from worker.results.planes import open_images
from worker.results.surroundings import Place, check_options, read_surroundings
from worker.results.tables import table_name, tables_enabled, write_table

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from omero.gateway import BlitzGateway

    from worker.results.model import ImportOptions, Provenance, SourceFile
    from worker.results.surroundings import Surroundings


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

    Returns
    -------
    ImportReport
        What is in OMERO now; the same for each repetition.

    Raises
    ------
    ResultsError
        If the analysis wrote nothing, or something of it could not be brought in; all else is in OMERO then.
    NotPermitted
        If OMERO does not allow it; nothing was written then.
    RequestError
        If what was chosen cannot be done.
    OmeroError
        If OMERO does not answer, or refuses; the import may be repeated.
    """
    with translated(f"bring the results of job {provenance.job_id} into OMERO"):
        surroundings = read_surroundings(gateway, sources)
        _check(gateway, surroundings, options)
        run = _Import(
            Ledger.open(gateway, provenance.run_id), surroundings, sources, options, provenance, progress or _silent
        )
        try:
            outputs = read_outputs(folder, files)
        except ResultsError:
            # Whoever asks why there are no results must find the log.
            run.log(log_file, surroundings.parents)
            raise
        return run.all(outputs, log_file)


def attach_log(
    gateway: BlitzGateway, log_file: Path, sources: Sequence[SourceFile], provenance: Provenance
) -> CreatedObject | None:
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
    CreatedObject or None
        The attachment; None if there is nothing that this person may attach to.

    Raises
    ------
    OmeroError
        If OMERO does not answer, or refuses.
    """
    with translated(f"attach the log of job {provenance.job_id}"):
        parents = read_surroundings(gateway, sources).parents
        return _attach_log(Ledger.open(gateway, provenance.run_id), log_file, provenance, parents)


@dataclass(slots=True)
class _Import:
    """One attempt at an import: what it works on, and what it has to report."""

    ledger: Ledger
    surroundings: Surroundings
    sources: Sequence[SourceFile]
    options: ImportOptions
    provenance: Provenance
    progress: Callable[[int, int], None]
    objects: list[CreatedObject] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    done: int = 0
    total: int = 0

    def all(self, outputs: Outputs, log_file: Path | None) -> ImportReport:
        options = self.options
        made_from = match([output.path for output in outputs.images], self.sources)
        if options.imports_images or options.attach_to_images:
            self.notes += made_from.notes
        self._expect(outputs)
        annotation_ids = write_provenance(self.ledger, self.provenance)
        places = list(self.surroundings.containers)
        if options.imports_images:
            dataset, notes = target_dataset(self.ledger, options, self.surroundings, references(annotation_ids))
            self.notes += notes
            self._report("Dataset", dataset.object_id, dataset.name)
            if dataset.may_annotate and dataset not in places:
                places.append(dataset)
        self.log(log_file, self.surroundings.parents or tuple(places))
        if options.imports_images:
            self._images(outputs, made_from.sources, dataset, annotation_ids)
        leftover = self._tables(outputs, places) if options.csv_tables else list(outputs.tables)
        if options.attach_to_images:
            self._attach_images(outputs, made_from.sources, places)
        if options.attach_files:
            leftover += outputs.others
            self._metadata(places)
        elif not options.csv_tables:
            leftover = []
        for output in leftover:
            self._attach(output, f"file:{output.path}", PurePosixPath(output.path).name, places)
        if options.zip_to_parent:
            self._zip(outputs)
        if outputs.zarr_members:
            self._zarr_note(outputs)
        if self.problems:
            raise ResultsError(
                f"Not everything could be brought into OMERO: {' '.join(self.problems)}",
                remedy="Everything else is there.",
            )
        return ImportReport(tuple(self.objects), tuple(self.notes))

    def log(self, log_file: Path | None, places: Sequence[Place]) -> None:
        if log_file is None or not log_file.is_file():
            self.notes.append("The cluster gave no log of the job.")
            return
        attached = _attach_log(self.ledger, log_file, self.provenance, places)
        if attached is None:
            self.notes.append("The log of the job is not in OMERO: you may attach it nowhere.")
        else:
            self.objects.append(attached)

    def _images(
        self, outputs: Outputs, sources: Mapping[str, SourceFile], dataset: Place, annotation_ids: Sequence[int]
    ) -> None:
        if not outputs.images:
            self.notes.append("There is no image among the results.")
        taken: set[str] = set()
        for output in outputs.images:
            source = sources.get(output.path)
            analysed = self.surroundings.images.get(source.image_id) if source else None
            try:
                with open_images(output.file, analysed.sizes if analysed else None) as images:
                    for index, image in enumerate(images):
                        name = rename(self.options.rename, output.path, source.name if source else None)
                        label = ImageLabel(distinct(name, taken), _description(self.provenance, source))
                        image_id = import_image(
                            self.ledger,
                            self._key(source, f"image:{output.path}#{index}", output.sha256),
                            image,
                            label,
                            source=analysed,
                            dataset_id=dataset.object_id,
                            annotation_ids=annotation_ids,
                        )
                        self._report("Image", image_id, label.name)
            except ResultsError as error:
                self.problems.append(str(error))
            self._step()

    def _tables(self, outputs: Outputs, places: Sequence[Place]) -> list[Output]:
        """Write tables, and give back what must be attached as a file instead."""
        if not outputs.tables:
            return []
        if not places:
            self.problems.append("The tables are not in OMERO: you may attach them nowhere.")
            return []
        if not tables_enabled(self.ledger.gateway):
            self.notes.append("OMERO has no tables service: CSV files are attached as they are.")
            return list(outputs.tables)
        about = match([output.path for output in outputs.tables], self.sources).sources
        leftover = []
        for output in outputs.tables:
            source = about.get(output.path)
            name = table_name(output.path, self.provenance.job_id, self.provenance.run_id)
            key = self._key(source, f"table:{output.path}", output.sha256)
            try:
                annotation_id = write_table(
                    self.ledger, key, output.file, name, sources=self.sources, about=source, places=places
                )
            except ResultsError as error:
                self.notes.append(f"{error} It is attached as a file.")
                leftover.append(output)
            else:
                self._report("FileAnnotation", annotation_id, name)
            self._step()
        return leftover

    def _attach_images(self, outputs: Outputs, sources: Mapping[str, SourceFile], places: Sequence[Place]) -> None:
        for output in outputs.images:
            source = sources.get(output.path)
            analysed = self.surroundings.images.get(source.image_id) if source else None
            stem, ext = split_name(PurePosixPath(output.path).name)
            name = ".".join(part for part in (stem, self.provenance.run_id, ext) if part)
            target = [analysed.place] if analysed is not None else places
            self._attach(output, f"attached:{output.path}", name, target)

    def _attach(self, output: Output, role: str, name: str, places: Sequence[Place]) -> None:
        if places:
            attachment = Attachment(name, lambda: file_chunks(output.file), _description(self.provenance, None))
            annotation_id = attach(self.ledger, self._key(None, role, output.sha256), attachment, places)
            self._report("FileAnnotation", annotation_id, name)
        else:
            self.problems.append(f"{output.path} is not in OMERO: you may attach it nowhere.")
        self._step()

    def _metadata(self, places: Sequence[Place]) -> None:
        name = metadata_name(self.provenance)
        if places:
            content = Attachment(name, lambda: (render(self.provenance),), _description(self.provenance, None))
            annotation_id = attach(self.ledger, self._key(None, "metadata", ""), content, places)
            self._report("FileAnnotation", annotation_id, name)

    def _zip(self, outputs: Outputs) -> None:
        name = f"{self.provenance.job_id}_out.zip"
        members: list[tuple[str, Path | bytes]] = [(each.path, each.file) for each in outputs.all]
        members.append((metadata_name(self.provenance), render(self.provenance)))
        attachment = Attachment(name, lambda: zip_chunks(members), _description(self.provenance, None))
        key = self._key(None, "zip", outputs.sha256)
        annotation_id = attach(self.ledger, key, attachment, self.surroundings.parents)
        self._report("FileAnnotation", annotation_id, name)
        self._step()

    def _zarr_note(self, outputs: Outputs) -> None:
        folders = sorted({_zarr_folder(output.path) for output in outputs.zarr_members})
        message = f"OME-Zarr results cannot be imported as images or attached singly: {', '.join(folders)}."
        if self.options.zip_to_parent:
            self.notes.append(f"{message} They are in the zip.")
        else:
            self.problems.append(message)

    def _expect(self, outputs: Outputs) -> None:
        options = self.options
        self.total = (
            len(outputs.images) * (options.imports_images + options.attach_to_images)
            + len(outputs.tables) * (options.csv_tables or options.attach_files)
            + len(outputs.others) * options.attach_files
            + options.zip_to_parent
        )
        self.progress(0, self.total)

    def _step(self) -> None:
        # A table that had to be attached as a file counts twice; nobody needs more than 100 %.
        self.done = min(self.done + 1, self.total)
        self.progress(self.done, self.total)

    def _key(self, source: SourceFile | None, role: str, sha256: str) -> Key:
        return Key(self.provenance.task_id, f"Image:{source.image_id}" if source else "-", role, sha256)

    def _report(self, kind: str, object_id: int, name: str) -> None:
        self.objects.append(CreatedObject(kind, object_id, name))


def _silent(_done: int, _total: int) -> None:
    """Report progress to nobody."""


def _check(gateway: BlitzGateway, surroundings: Surroundings, options: ImportOptions) -> None:
    if options.rename is not None:
        check_pattern(options.rename)
    chosen = (options.zip_to_parent, options.attach_to_images, options.csv_tables, options.attach_files)
    if not any(chosen) and not options.imports_images:
        raise RequestError(
            "Nothing was chosen to happen with the results.", remedy="Choose at least one way to import them."
        )
    check_options(gateway, surroundings, options)


def _attach_log(
    ledger: Ledger, log_file: Path, provenance: Provenance, places: Sequence[Place]
) -> CreatedObject | None:
    if not places:
        return None
    name = f"omero-{provenance.job_id}.log"
    attachment = Attachment(name, lambda: file_chunks(log_file), f"Log of job {provenance.job_id}")
    annotation_id = attach(ledger, Key(provenance.task_id, "-", f"log:{provenance.job_id}", ""), attachment, places)
    return CreatedObject("FileAnnotation", annotation_id, name)


def _description(provenance: Provenance, source: SourceFile | None) -> str:
    text = f"Result from job {provenance.job_id} (Workflow {provenance.run_id}) | analysis {provenance.workflow}"
    if provenance.version:
        text += f" {provenance.version}"
    return f"{text} | source: {source.name} (id: {source.image_id})" if source else text


def _zarr_folder(path: str) -> str:
    parts = PurePosixPath(path).parts
    end = next(index for index, part in enumerate(parts, start=1) if part.lower().endswith(".zarr"))
    return "/".join(parts[:end])
