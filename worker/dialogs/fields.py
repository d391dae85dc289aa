"""The fixed fields of the dialogs "Slurm Workflow" and "Slurm Workflow (Batched)": names, kinds, groupings, defaults.

The names are a contract: OMERO.biomero, OMERO.web and people's habits know them. Only the standard library, because
the tables are read whenever OMERO.web opens a dialog.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

TITLE = "Slurm Workflow"
"""Name of the dialog; OMERO.biomero looks for exactly this one."""

NO = "--NO THANK YOU--"
"""What stands in a text field that is not used."""

FieldKind = Literal["text", "switch", "number", "object", "objects", "texts"]


@dataclass(frozen=True, slots=True)
class Field:
    """One field of the dialog.

    Parameters
    ----------
    name : str
        Key of the input; OMERO.web shows it with blanks in the place of underscores.
    grouping : str
        Where it stands: OMERO.web sorts by this text and indents ``02.x`` below ``02``.
    kind : {"text", "switch", "number", "object", "objects", "texts"}
        Text, checkbox, whole number, id of an OMERO object, list of ids, list of texts.
    description : str
        The hint that OMERO.web shows.
    default : str or bool or int or None
        What it holds at first; None for nothing.
    values : tuple of str
        The only texts allowed, if not empty.
    required : bool
        Whether OMERO refuses to run the script without it.
    option : str
        The import option that it sets, if any.
    least : int or None
        The smallest number allowed.
    """

    name: str
    grouping: str
    kind: FieldKind
    description: str
    default: str | bool | int | None = None
    values: tuple[str, ...] = ()
    required: bool = False
    option: str = ""
    least: int | None = None

    @property
    def label(self) -> str:
        """The name as OMERO.web shows it."""
        return shown(self.name)


def shown(name: str) -> str:
    """Give the name of an input as OMERO.web shows it.

    Parameters
    ----------
    name : str
        Its key.

    Returns
    -------
    str
        The key with blanks in the place of underscores.
    """
    return name.replace("_", " ")


DATA_TYPE = Field(
    "Data_Type",
    "01.1",
    "text",
    "Kind of the objects to analyse.",
    default="Dataset",
    values=("Dataset", "Image", "Plate", "Screen"),
    required=True,
)
IDS = Field("IDs", "01.2", "objects", "Their ids, separated by commas.", required=True)
EMAIL = Field("E-mail", "01.3", "switch", "Let Slurm write to the e-mail address of your OMERO account.", default=True)
USE_ZARR = Field(
    "Use_ZARR_Format",
    "01.4",
    "switch",
    "Give the images to the analysis as OME-Zarr. Only for analyses that read it; the others are given TIFF.",
    default=False,
)
ZARR_VERSION = Field(
    "OME-Zarr_version", "01.4.1", "text", "Version of OME-Zarr to write.", default="0.4", values=("0.4", "0.5")
)
CANCEL_WITH_SCRIPT = Field(
    "Cancel run with script?",
    "01.6",
    "switch",
    "Whether cancelling this script cancels the run, with its jobs on the cluster. Otherwise, the run goes on.",
    default=False,
)
SELECT_IMPORT = Field(
    "Select how to import your results (one or more)",
    "02",
    "switch",
    "What becomes of the results. Choose at least one of the following.",
    default=True,
    required=True,
)
ZIP_TO_PARENT = Field(
    "1) Zip attachment to parent",
    "02.2",
    "switch",
    "Attach everything that the analysis wrote, as one zip, to the project or plate.",
    default=True,
    option="zip_to_parent",
)
NEW_DATASET = Field(
    "3a) Import into NEW Dataset",
    "02.5",
    "text",
    "Name of the dataset into which result images are imported. Leave as it is for none.",
    default=NO,
    option="new_dataset",
)
NEW_SCREEN = Field(
    "3a) Import into NEW Screen",
    "02.5.1",
    "text",
    "Name of the screen into which result plates are imported. Leave as it is for none.",
    default=NO,
    option="new_screen",
)
DATASET_ID = Field(
    "Dataset_ID",
    "02.61",
    "object",
    "Id of an existing dataset to import into, in the place of a new one.",
    option="dataset_id",
)
SCREEN_ID = Field(
    "Screen_ID",
    "02.62",
    "object",
    "Id of an existing screen to import into, in the place of a new one.",
    option="screen_id",
)
CREATE_ROIS = Field(
    "6a) Create ROIs from label images",
    "02.86",
    "switch",
    "Draw the objects of label images as ROIs on the images they were made from.",
    default=False,
    option="create_rois",
)
CLEANUP = Field(
    "Cleanup?", "02.9", "switch", "Remove the data from the cluster once the results are in OMERO.", default=True
)

FIXED: tuple[Field, ...] = (
    DATA_TYPE,
    IDS,
    EMAIL,
    USE_ZARR,
    ZARR_VERSION,
    CANCEL_WITH_SCRIPT,
    SELECT_IMPORT,
    ZIP_TO_PARENT,
    Field(
        "2) Attach to original images",
        "02.4",
        "switch",
        "Attach result images, as files, to the images they were made from.",
        default=False,
        option="attach_to_images",
    ),
    NEW_DATASET,
    NEW_SCREEN,
    Field(
        "3b) Allow duplicate dataset (name)?",
        "02.6",
        "switch",
        "Create the dataset even if there is one with this name; otherwise import into that one.",
        default=False,
        option="allow_duplicate_dataset",
    ),
    DATASET_ID,
    SCREEN_ID,
    Field(
        "3c) Rename the imported images",
        "02.7",
        "text",
        "Pattern for their names, such as {original_file}_labels.{ext}. Leave as it is to keep them.",
        default=NO,
        option="rename",
    ),
    Field(
        "4) Upload result CSVs as OMERO tables",
        "02.8",
        "switch",
        "Turn CSV files into OMERO.tables.",
        default=True,
        required=True,
        option="csv_tables",
    ),
    Field(
        "5) Attach individual non-image output files",
        "02.85",
        "switch",
        "Attach every other file by itself.",
        default=False,
        option="attach_files",
    ),
    CREATE_ROIS,
    Field(
        "6b) Label image pattern",
        "02.87",
        "text",
        "Part of the names of label images; empty to find them by what they hold.",
        default="",
        option="roi_label_pattern",
    ),
    Field(
        "6c) ROI shape",
        "02.88",
        "text",
        "How to draw an object.",
        default="Polygon",
        values=("Polygon", "Mask"),
        option="roi_shape",
    ),
    Field(
        "6g) ROI color override",
        "02.885",
        "text",
        "Colour of the ROIs, such as #ff0000; empty for one per run.",
        default="",
        option="roi_color",
    ),
    Field(
        "6d) Delete label images after ROI creation",
        "02.89",
        "switch",
        "Do not keep label images as images once their ROIs are drawn.",
        default=False,
        option="roi_delete_label_images",
    ),
    Field(
        "6e) Clear existing ROIs on original images",
        "02.90",
        "switch",
        "Remove the ROIs that are there already.",
        default=False,
        option="roi_clear_existing",
    ),
    Field(
        "6f) Clear existing ROI name filter",
        "02.91",
        "text",
        "Remove only those whose name holds this text.",
        default="",
        option="roi_clear_filter",
    ),
    CLEANUP,
)
"""Every field that does not depend on the workflows, in the order of the dialog."""

BATCH_SIZE = Field(
    "Batch_Size",
    "01.4",
    "number",
    "Images in a batch (plates, where results go into a screen). Each batch is a run of its own.",
    default=32,
    required=True,
)


@dataclass(frozen=True, slots=True)
class Dialog:
    """What one script asks for.

    Parameters
    ----------
    title : str
        Name of the dialog.
    purpose : str
        What it is for, in a sentence.
    fixed : tuple of Field
        Every field that does not depend on the workflows, in their order.
    keeps_optional : bool
        Whether a parameter that its descriptor demands is demanded by OMERO too; otherwise none is.
    """

    title: str
    purpose: str
    fixed: tuple[Field, ...]
    keeps_optional: bool = False

    def field(self, name: str) -> Field | None:
        """The fixed field of that name, if there is one."""
        return next((field for field in self.fixed if field.name == name), None)


RUN = Dialog(TITLE, "Run analyses on the Slurm cluster and bring their results back into OMERO.", FIXED)
"""The dialog of ``SLURM_Run_Workflow.py``."""

_BATCHED_CHANGES: dict[str, tuple[Field, ...]] = {
    DATA_TYPE.name: (replace(DATA_TYPE, default="Image", values=("Dataset", "Image", "Plate")),),
    USE_ZARR.name: (BATCH_SIZE, replace(USE_ZARR, grouping="01.5")),
    ZARR_VERSION.name: (replace(ZARR_VERSION, grouping="01.5.1"),),
    ZIP_TO_PARENT.name: (replace(ZIP_TO_PARENT, default=False),),
    CLEANUP.name: (),
}

BATCHED = Dialog(
    "Slurm Workflow (Batched)",
    "Split a selection into batches, run analyses on each on the Slurm cluster, and bring all results back into OMERO.",
    tuple(changed for field in FIXED for changed in _BATCHED_CHANGES.get(field.name, (field,))),
    keeps_optional=True,
)
"""The dialog of ``SLURM_Run_Workflow_Batched.py``: that of a single run, but for these fields."""

SELECTS_OUTPUT: frozenset[str] = frozenset(
    {
        "zip_to_parent",
        "attach_to_images",
        "new_dataset",
        "new_screen",
        "dataset_id",
        "screen_id",
        "csv_tables",
        "attach_files",
        "create_rois",
    }
)
"""The import options of which at least one must be chosen; the others say how."""


def version_name(workflow: str) -> str:
    """Name of the field with the version of a workflow."""
    return f"{workflow}_Version"


def parameter_name(workflow: str, parameter_id: str) -> str:
    """Name of the field with a parameter of a workflow, by the parameter's id."""
    return f"{workflow}_|_{parameter_id}"


def file_name(workflow: str, parameter_id: str) -> str:
    """Name of the field with the files of a parameter of a workflow, by the parameter's id."""
    return parameter_name(workflow, f"FILE_{parameter_id}")


def workflow_grouping(index: int) -> str:
    """Say where the n-th workflow stands.

    Parameters
    ----------
    index : int
        Its place among the workflows, from 0.

    Returns
    -------
    str
        ``03``, ``04``, … ``98``, then ``99000000``, ``99000001``, …: OMERO.web sorts groupings as text.
    """
    number = index + 3
    return f"{number:02d}" if number < 99 else f"99{number - 99:06d}"
