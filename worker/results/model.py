"""What goes into an import of results and what comes out of it: plain, frozen values.

Standard library only, so that the dialogs of OMERO scripts can read the defaults of :class:`ImportOptions` at no cost.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

from worker.results.jsonvalue import JsonValue

OF_ANALYSED: Final = "*"
"""Stands, in the place of an id, for whatever of a kind the analysed images lie in."""


@dataclass(frozen=True, slots=True)
class SourceFile(JsonValue):
    """One file (or folder) of the export and the OMERO image that it came from.

    Parameters
    ----------
    path : str
        Path below the input folder of the run, with ``/``: ``cells.tif``, ``plate.zarr/A/1/0``.
    object_type : str
        What was exported: ``Image`` or ``Plate``.
    object_id : int
        Its id in OMERO.
    image_id : int
        The image in OMERO whose pixels are in ``path``.
    name : str
        Name of that image in OMERO.
    """

    path: str
    object_type: str
    object_id: int
    image_id: int
    name: str


@dataclass(frozen=True, slots=True)
class ImportOptions(JsonValue):
    """What a person chose to happen with the results; the defaults are those of the dialog.

    Parameters
    ----------
    zip_to_parent : bool
        Attach everything that the analysis wrote as one zip to the project (else dataset, else image) or plate.
    attach_to_images : bool
        Attach result images, as files, to the images that they were made from.
    new_dataset : str or None
        Import result images into the dataset with this name, created if there is none; None: do not import them.
    allow_duplicate_dataset : bool
        Create that dataset even if the person has one with this name already.
    dataset_id : int or None
        Import result images into this existing dataset; beats ``new_dataset``.
    new_screen : str or None
        Import results of the wells of a plate, as a plate, into the screen with this name, created if there is none.
    allow_duplicate_screen : bool
        Create that screen even if the person has one with this name already.
    screen_id : int or None
        Import them into this existing screen; beats ``new_screen``.
    rename : str or None
        Pattern for the names of imported images; see :mod:`worker.results.naming`.
    csv_tables : bool
        Turn tables (CSV, TSV, Parquet) into OMERO.tables.
    attach_files : bool
        Attach every other file (not an image; not one that became a table) by itself.
    label_zarrs : bool
        Import the label images inside OME-Zarr results.
    only_labels : bool
        Leave out the image around these labels, which is the one that was analysed.
    create_rois : bool
        Draw the objects of label images as ROIs on the images that they were made from.
    roi_label_pattern : str
        Part of the names of label images; empty: known by their names and by what they hold.
    roi_shape : str
        ``Polygon`` or ``Mask``.
    roi_color : str
        Colour of the ROIs; empty: one for each run.
    roi_name_prefix : str
        What their names begin with; empty: workflow and run.
    roi_delete_label_images : bool
        Do not keep the label images as images.
    roi_clear_existing : bool
        Remove ROIs that are on the analysed images already.
    roi_clear_filter : str
        Remove only those whose name holds this text.
    roi_targets : tuple of int
        Ids of the analysed images that ROIs are drawn on; empty: all that have a label image.
    zip_places, table_places, file_places : tuple of str
        Where zip, tables and other files are attached: ``Project:12``, ``Dataset:3``, ``Plate:5``, ``Screen:2``; of the
        zip also ``Dataset:*``, which is what the analysed images lie in, of that kind. Empty, or nothing of that kind:
        to what they lie in.
    log_place : str
        Where the job's log is attached if there is nothing else that it can be attached to.
    """

    zip_to_parent: bool = True
    attach_to_images: bool = False
    new_dataset: str | None = None
    allow_duplicate_dataset: bool = False
    dataset_id: int | None = None
    new_screen: str | None = None
    allow_duplicate_screen: bool = False
    screen_id: int | None = None
    rename: str | None = None
    csv_tables: bool = True
    attach_files: bool = False
    label_zarrs: bool = True
    only_labels: bool = True
    create_rois: bool = False
    roi_label_pattern: str = ""
    roi_shape: str = "Polygon"
    roi_color: str = ""
    roi_name_prefix: str = ""
    roi_delete_label_images: bool = False
    roi_clear_existing: bool = False
    roi_clear_filter: str = ""
    roi_targets: tuple[int, ...] = ()
    zip_places: tuple[str, ...] = ()
    table_places: tuple[str, ...] = ()
    file_places: tuple[str, ...] = ()
    log_place: str = ""

    @property
    def into_dataset(self) -> bool:
        """Whether result images go into a dataset."""
        return self.dataset_id is not None or bool(self.new_dataset)

    @property
    def into_screen(self) -> bool:
        """Whether results of wells go, as a plate, into a screen."""
        return self.screen_id is not None or bool(self.new_screen)

    @property
    def imports_images(self) -> bool:
        """Whether result images become OMERO images."""
        return self.into_dataset or self.into_screen


@dataclass(frozen=True, slots=True)
class Batch(JsonValue):
    """Which part of a larger selection a run has analysed.

    Parameters
    ----------
    supervisor_id : str
        UUID of the run whose selection was split.
    supervisor_name : str
        What that run is called.
    index, total : int
        Number of the batch, from 1, and of all batches.
    data_type : str
        What the batch holds: ``Image`` or ``Plate``.
    ids : tuple of int
        Their ids.
    """

    supervisor_id: str
    supervisor_name: str
    index: int
    total: int
    data_type: str
    ids: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Cited(JsonValue):
    """What to cite when results of an analysis are published.

    Parameters
    ----------
    name : str
        What is cited.
    doi : str
        Its DOI, without resolver; empty if it has none.
    license : str
        Its licence; empty if nobody says.
    """

    name: str
    doi: str = ""
    license: str = ""


@dataclass(frozen=True, slots=True)
class Provenance(JsonValue):
    """Where results come from: the run, its task, the job.

    Parameters
    ----------
    run_id, task_id : str
        UUIDs of the run and of its analysis task.
    job_id : int
        Slurm's id of the job.
    workflow, version : str
        Name and version of the analysis.
    parameters : Mapping
        Its parameters as they were used.
    run_name : str
        What the run is called; by default ``workflow``.
    user_name, group_name : str
        Who asked for the run, in which OMERO group.
    started, modified : str
        When the run was asked for and last changed, ISO 8601.
    task_ids : tuple of str
        UUIDs of all tasks of the run; ``task_id`` alone if empty.
    input_data : str
        The ids of what was analysed, as recorded with the task.
    status : str
        Status of the task.
    result_message : str
        What the job said when it ended.
    command : str
        The command that submitted the job.
    environment : Mapping
        Environment variables that the job was given; never secrets.
    settings_digest : str
        sha256 of the settings that the job was submitted with.
    worker_version : str
        Version of the worker that submitted it.
    descriptor_sha256, descriptor_source : str
        Digest of the bytes of the analysis's descriptor, and where it was read from.
    image_sha256, image_source : str
        Digest of the container image that the job ran, and what that was pulled from; never what nobody has verified.
    cluster, slurm_version, runtime_version : str
        Where it ran, under which Slurm, with which container runtime.
    hosts : tuple of str
        The nodes that it ran on.
    job_started, job_ended : str
        When, ISO 8601.
    exit_code : int or None
        Its exit code.
    resources : Mapping
        Options of sbatch, as the job was given them; empty for one without value.
    analysis_name, analysis_description : str
        What its descriptor calls the analysis, and says that it does.
    citations : tuple of Cited
        What to cite.
    defaults : tuple of str
        Those of the parameters whose value is the descriptor's own.
    descriptor_schema, descriptor_path, descriptor_text : str
        The schema of the descriptor, its path where it was read from, and its content.
    batch : Batch or None
        Which batch of which run this one is; None: of none.
    """

    run_id: str
    task_id: str
    job_id: int
    workflow: str
    version: str = ""
    parameters: dict[str, Any] = field(default_factory=dict)
    run_name: str = ""
    user_name: str = ""
    group_name: str = ""
    started: str = ""
    modified: str = ""
    task_ids: tuple[str, ...] = ()
    input_data: str = ""
    status: str = "COMPLETED"
    result_message: str = ""
    command: str = ""
    environment: dict[str, str] = field(default_factory=dict)
    settings_digest: str = ""
    worker_version: str = ""
    descriptor_sha256: str = ""
    descriptor_source: str = ""
    image_sha256: str = ""
    image_source: str = ""
    cluster: str = ""
    slurm_version: str = ""
    runtime_version: str = ""
    hosts: tuple[str, ...] = ()
    job_started: str = ""
    job_ended: str = ""
    exit_code: int | None = None
    resources: dict[str, str] = field(default_factory=dict)
    analysis_name: str = ""
    analysis_description: str = ""
    citations: tuple[Cited, ...] = ()
    defaults: tuple[str, ...] = ()
    descriptor_schema: str = ""
    descriptor_path: str = ""
    descriptor_text: str = ""
    batch: Batch | None = None


@dataclass(frozen=True, slots=True)
class CreatedObject(JsonValue):
    """An object in OMERO that holds something of the results.

    Parameters
    ----------
    kind : str
        ``Image``, ``Dataset``, ``Screen``, ``Plate``, ``Roi``, ``FileAnnotation`` or ``MapAnnotation``.
    object_id : int
        Its id.
    name : str
        Its name; for annotations without one, their namespace.
    """

    kind: str
    object_id: int
    name: str


@dataclass(frozen=True, slots=True)
class ImportedImage(JsonValue):
    """A result image that is in OMERO now.

    Parameters
    ----------
    path : str
        Path of its file (or OME-Zarr folder) below the output folder.
    index : int
        Its place among the images of that file, from 0.
    image_id : int
        Its id in OMERO.
    name : str
        Its name there.
    source : SourceFile or None
        What it was made from, if known.
    label : bool
        Whether the file says that it is a label image.
    """

    path: str
    index: int
    image_id: int
    name: str
    source: SourceFile | None = None
    label: bool = False


@dataclass(frozen=True, slots=True)
class ImportReport(JsonValue):
    """What an import left in OMERO; the same after each repetition.

    Parameters
    ----------
    objects : tuple of CreatedObject
        Every object that holds something of the results, in the order in which they were written.
    notes : tuple of str
        What a person should know: what could not be matched, what was done another way than asked.
    problems : tuple of str
        What was asked for and is missing in OMERO; an import that has any has failed, and may be repeated.
    """

    objects: tuple[CreatedObject, ...] = ()
    notes: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()
