"""The dialogs of the scripts that only move data to the cluster, or convert it there.

The names are a contract, as those of `worker.dialogs.fields` are. Nothing here costs anything, because it is read
whenever OMERO.web opens a dialog; the folders of a conversion are looked up by `worker.dialogs.own_runs`.
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from worker.dialogs import fields
from worker.dialogs.fields import Dialog, Field
from worker.dialogs.parameters import field_parameter

if TYPE_CHECKING:
    from collections.abc import Iterable

    from worker.history.requests import RequestRow

TIFF, OME_TIFF, OME_ZARR = "TIFF", "OME-TIFF", "OME-ZARR"
ALL, MAX_PROJECTION, OTHER = "ALL {} planes", "Max projection", "Other (see below)"
DEFAULT = "Default-{0} (last-viewed)"
ZOOMS = ("25%", "50%", "100%", "200%", "300%", "400%")

IMAGE_DATA_TYPE = Field(
    "Data_Type",
    "1",
    "text",
    "Kind of the objects to transfer.",
    default="Image",
    values=("Dataset", "Image", "Plate"),
    required=True,
)
IMAGE_IDS = replace(fields.IDS, grouping="2")
FOLDER = Field(
    "Folder_Name",
    "3",
    "text",
    "Name of the folder on the cluster that is made for them: letters, digits, '.', '-' and '_'.",
)
IMAGE_CLEANUP = Field(
    "Cleanup?",
    "4",
    "switch",
    "Of no effect: nothing is kept in OMERO or on the worker that would have to be removed.",
    default=True,
)
FORMAT = Field(
    "Format",
    "5.1",
    "text",
    "Format of the files. All have the values that OMERO stores; TIFF and OME-TIFF are both OME-TIFF.",
    default=OME_ZARR,
    values=(TIFF, OME_TIFF, OME_ZARR),
)
IMAGE_ZARR_VERSION = Field(
    "OME-Zarr_version", "5.2", "text", "Version of OME-Zarr to write.", default="0.4", values=("0.4", "0.5")
)
MERGED = Field("Export_Merged_Image", "5.5", "switch", "Write each image with its channels together.", default=True)
INDIVIDUAL = Field(
    "Export_Individual_Channels", "5.6", "switch", "Write each channel as an image of its own.", default=False
)
GREY = Field(
    "Individual_Channels_Grey",
    "5.6.1",
    "switch",
    "Show those images grey; otherwise in the colour of their channel. Their values are the same.",
    default=False,
)
CHANNEL_NAMES = Field(
    "Channel_Names", "5.6.2", "texts", "Take only the channels of these names, separated by commas; empty for all."
)
ZOOM = Field(
    "Zoom",
    "5.9",
    "text",
    "Size of the images. Smaller ones have means, larger ones interpolated values: leave label images at 100%.",
    default="100%",
    values=ZOOMS,
)


def section_fields(axis: str) -> tuple[Field, Field, Field, Field]:
    """Give the fields that choose sections or time points.

    Parameters
    ----------
    axis : str
        ``Z`` or ``T``.

    Returns
    -------
    tuple of Field
        The choice, the index, the start and the end.
    """
    place = "5.7" if axis == "Z" else "5.8"
    default = DEFAULT.format(axis)
    projection = (MAX_PROJECTION,) if axis == "Z" else ()
    hint = (
        f"The default is the {axis} last viewed for {TIFF}; {OME_TIFF} and {OME_ZARR} then have all, as ever."
        " The other choices hold for every format."
    )

    def number(name: str, sub: int, what: str) -> Field:
        return Field(name, f"{place}.{sub}", "number", f"{what} {axis} to take, counted from 1.", least=1)

    return (
        Field(
            f"Choose_{axis}_Section",
            place,
            "text",
            hint,
            default=default,
            values=(default, ALL.format(axis), *projection, OTHER),
        ),
        number(f"OR_specify_{axis}_index", 1, "The only"),
        number(f"OR_specify_{axis}_start_AND...", 2, "The first"),
        number(f"...specify_{axis}_end", 3, "The last"),
    )


IMAGE = Dialog(
    "_SLURM_Image_Transfer",
    "Transfer images to a folder of their own on the Slurm cluster, where they stay. To analyse images, run Slurm"
    " Workflow instead, which transfers them by itself.",
    (
        IMAGE_DATA_TYPE,
        IMAGE_IDS,
        FOLDER,
        IMAGE_CLEANUP,
        Field(
            "Image settings (Required)", "5", "switch", "What of the images to transfer, and how.", True, required=True
        ),
        FORMAT,
        IMAGE_ZARR_VERSION,
        MERGED,
        INDIVIDUAL,
        GREY,
        CHANNEL_NAMES,
        *section_fields("Z"),
        *section_fields("T"),
        ZOOM,
    ),
)
"""The dialog of ``_SLURM_Image_Transfer.py``."""

ANNOTATION_ID = Field(
    "Annotation_ID", "1", "object", "Id of the attached file (not of what it hangs on).", required=True
)
FILE_FOLDER = Field(
    "Folder_Name",
    "2",
    "text",
    "Folder on the cluster to put it into: one that a transfer or a run of yours has made.",
    required=True,
)
SLOT = Field(
    "Param_Slot",
    "2.1",
    "text",
    "Name of the folder below data/in that is made for it; empty for file_<id>. What was there is replaced.",
)
FORMATS = Field(
    "Allowed_Formats", "4", "text", "Endings that are allowed, separated by commas, such as csv,parquet; empty for any."
)

FILE = Dialog(
    "_SLURM_File_Transfer",
    "Transfer an attached file to a folder on the Slurm cluster. To give a file to an analysis, choose it in Slurm"
    " Workflow instead, which transfers it by itself.",
    (ANNOTATION_ID, FILE_FOLDER, SLOT, replace(IMAGE_CLEANUP, grouping="3"), FORMATS),
)
"""The dialog of ``_SLURM_File_Transfer.py``."""

INPUT_DATA = Field("Input data", "01", "text", "Folder on the cluster, which a transfer or a run of yours has made.")
SOURCE_FORMAT = Field("Source format", "02.1", "text", "What to convert.", default="zarr", values=("zarr",))
TARGET_FORMAT = Field("Target format", "02.2", "text", "Into what.", default="tiff", values=("tiff", "zarr"))
CONVERSION_CLEANUP = Field(
    "Cleanup?", "03", "switch", "Remove what was converted, once all of it has been.", default=True
)
LOG_TARGET = Field(
    "Log_Fallback_Target",
    "05",
    "text",
    "What in OMERO the log of the conversion is attached to, such as Dataset:42 or Plate:7; empty for nothing.",
)

CONVERSION = Dialog(
    "SLURM Remote Conversion",
    "Convert images that are on the Slurm cluster already, from OME-Zarr to TIFF for instance. Runs of Slurm Workflow"
    " need no conversion.",
    (
        INPUT_DATA,
        SOURCE_FORMAT,
        TARGET_FORMAT,
        CONVERSION_CLEANUP,
        Field("Parent_Workflow_ID", "04", "text", "Of no effect: a conversion is a run of its own."),
        LOG_TARGET,
    ),
)
"""The dialog of ``SLURM_Remote_Conversion.py``."""


def image_parameters() -> list[Any]:
    """Build the parameters of ``_SLURM_Image_Transfer.py``, with a folder name that nobody has used yet.

    Returns
    -------
    list of omero.scripts.Type
        One for each field.
    """
    named = replace(FOLDER, default=f"SLURM_IMAGES_{int(time.time())}")
    return [field_parameter(named if field is FOLDER else field) for field in IMAGE.fixed]


def file_parameters() -> list[Any]:
    """Build the parameters of ``_SLURM_File_Transfer.py``.

    Returns
    -------
    list of omero.scripts.Type
        One for each field.
    """
    return [field_parameter(field) for field in FILE.fixed]


def format_fields(converters: Iterable[str]) -> tuple[Field, Field]:
    """Give the fields that choose formats: those that have ever been, and those of registered converters.

    Parameters
    ----------
    converters : iterable of str
        The conversions, as ``<source>_to_<target>``.

    Returns
    -------
    tuple of Field
        The source and the target.
    """
    pairs = [converter.split("_to_", 1) for converter in converters if "_to_" in converter]
    sources, targets = (tuple(pair[end] for pair in pairs) for end in (0, 1))
    return (
        replace(SOURCE_FORMAT, values=tuple(dict.fromkeys(SOURCE_FORMAT.values + sources))),
        replace(TARGET_FORMAT, values=tuple(dict.fromkeys(TARGET_FORMAT.values + targets))),
    )


def conversion_parameters(folders: tuple[str, ...], converters: Iterable[str] = ()) -> list[Any]:
    """Build the parameters of ``SLURM_Remote_Conversion.py``.

    Parameters
    ----------
    folders : tuple of str
        What there is to choose from; none makes it a text to type.
    converters : iterable of str
        The registered conversions.

    Returns
    -------
    list of omero.scripts.Type
        One for each field.
    """
    source, target = format_fields(converters)
    offered = {field.name: field for field in (replace(INPUT_DATA, values=folders), source, target)}
    return [field_parameter(offered.get(field.name, field)) for field in CONVERSION.fixed]


def folders_of(runs: Iterable[RequestRow]) -> tuple[str, ...]:
    """Say which folders on the cluster some runs have left.

    Parameters
    ----------
    runs : iterable of RequestRow
        The runs, the newest first.

    Returns
    -------
    tuple of str
        Each once, the newest first. Runs that have not ended are left out, as are those that have cleaned up after
        themselves and those that work in the folder of another.
    """
    folders = []
    for run in runs:
        request = run.request
        makes_one = request.get("kind", "analysis") in ("analysis", "transfer") and not request.get("batch")
        is_left = run.state == "FAILED" or (run.state == "COMPLETED" and not request.get("cleanup", True))
        if makes_one and is_left:
            folders.append(str(request.get("folder") or f"biomero_{run.run_id}"))
    return tuple(dict.fromkeys(folders))
