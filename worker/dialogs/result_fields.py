"""The fields of the dialogs "Slurm Get Results" and "BIOMERO.SLURM_Import_Results": names, kinds, groupings, defaults.

The names are a contract, as those of `worker.dialogs.fields` are.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from worker.dialogs.fields import Dialog, Field

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from worker.dialogs.looking import Kind

OWN = "(of the analysed images)"
"""First choice of each list of projects, datasets and plates: OMERO.web has always one of them chosen."""

COMPLETED = Field("Completed Job", "01", "switch", "Import the results of a job that has ended.", True, required=True)
JOB_ID = Field("SLURM Job Id", "01.1", "text", "One of your jobs whose results are on the cluster.", required=True)
WORKFLOW_UUID = Field(
    "workflow_uuid", "01.2", "text", "The run whose job it is, where two of your jobs have the same number."
)
TASK_ID = Field("Task_ID", "01.3", "text", "The analysis whose job it is, where that is needed to tell jobs apart.")
LOG_TARGET = Field(
    "Log_Fallback_Target",
    "01.4",
    "text",
    "Where the job's log goes if it can be attached to nothing else, such as Dataset:42.",
)
ROI_TARGETS = Field(
    "ROI_Target_Image_IDs",
    "01.5",
    "objects",
    "Draw ROIs on these of the analysed images only. Empty: on each that has a label image.",
)
ZIP_TO: Mapping[Kind, tuple[Field, Field]] = {
    "Project": (
        Field(
            "Output - Attach as zip to project?", "03", "switch", "Attach all results as one zip.", True, required=True
        ),
        Field(
            "Project",
            "03.1",
            "texts",
            "Projects to attach it to, else that of the analysed images; their dataset, if they are in no project.",
        ),
    ),
    "Dataset": (
        Field(
            "Output - Attach as zip to dataset?", "04", "switch", "Attach all results as one zip.", False, required=True
        ),
        Field("Dataset_Attach", "04.1", "texts", "Datasets to attach it to, else that of the analysed images."),
    ),
    "Plate": (
        Field(
            "Output - Attach as zip to plate?", "05", "switch", "Attach all results as one zip.", False, required=True
        ),
        Field("Plate", "05.1", "texts", "Plates to attach it to, else that of the analysed images."),
    ),
}
ATTACH = Field(
    "Output - Add as attachment to original images",
    "06",
    "switch",
    "Attach result images, as files, to the images they were made from.",
    True,
    required=True,
    option="attach_to_images",
)
NEW_DATASET = Field(
    "Output - Add as new images in NEW dataset",
    "06",
    "switch",
    "Import result images into a dataset.",
    False,
    required=True,
)
DATASET_NAME = Field("New Dataset", "06.1", "text", "Name of that dataset.", "My_Results")
DATASET_DUPLICATE = Field(
    "Allow duplicate?",
    "06.2",
    "switch",
    "Create the dataset even if you have one with this name; otherwise import into that one.",
    True,
    option="allow_duplicate_dataset",
)
DATASET_ID = Field(
    "Dataset_ID", "06.25", "object", "Id of an existing dataset to import into; beats the name.", option="dataset_id"
)
RENAMES = Field("Rename imported files?", "06.3", "switch", "Name the imported images as below.", False)
RENAME = Field(
    "Rename",
    "06.4",
    "text",
    "Pattern for their names. Variables: {original_file}, {original_ext}, {file}, {ext}.",
    "{original_file}NucleiLabels.{ext}",
)
NEW_SCREEN = Field(
    "Output - Add as new images in NEW screen",
    "06",
    "switch",
    "Import results of the wells of plates, as plates, into a screen.",
    False,
    required=True,
)
SCREEN_NAME = Field("New Screen", "06.1", "text", "Name of that screen.", "Imported_Results")
SCREEN_DUPLICATE = Field(
    "Allow duplicate screen name?",
    "06.2",
    "switch",
    "Create the screen even if you have one with this name; otherwise import into that one.",
    False,
    option="allow_duplicate_screen",
)
SCREEN_ID = Field(
    "Screen_ID", "06.25", "object", "Id of an existing screen to import into; beats the name.", option="screen_id"
)
LABEL_ZARRS = Field(
    "Import_Label_Zarrs", "07", "switch", "Import the label images inside OME-Zarr results.", True, option="label_zarrs"
)
ONLY_LABELS = Field(
    "Import_Only_Labels",
    "07.1",
    "switch",
    "Leave out the image around these labels, which is the one that was analysed.",
    True,
    option="only_labels",
)
TABLES = Field(
    "Output - Add csv files as OMERO.table",
    "07",
    "switch",
    "Turn CSV files into OMERO.tables.",
    False,
    required=True,
    option="csv_tables",
)
TABLES_TO: Mapping[Kind, tuple[Field, Field]] = {
    "Dataset": (
        Field("Attach table to dataset", "07.1", "switch", "Attach them to the datasets below.", True),
        Field("Dataset for table", "07.2", "texts", "The datasets, else those of the analysed images."),
    ),
    "Plate": (
        Field("Attach table to plate", "07.3", "switch", "Attach them to the plates below.", False),
        Field("Plate for table", "07.4", "texts", "The plates, else those of the analysed images."),
    ),
}
FILES = Field(
    "Output - Attach non-image output files as annotations",
    "08",
    "switch",
    "Attach every other file by itself.",
    False,
    option="attach_files",
)
FILES_TO: Mapping[Kind, tuple[Field, Field]] = {
    "Dataset": (
        Field("Attach file outputs to dataset", "08.1", "switch", "Attach them to the datasets below.", True),
        Field("Dataset for file outputs", "08.2", "texts", "The datasets, else those of the analysed images."),
    ),
    "Plate": (
        Field("Attach file outputs to plate", "08.3", "switch", "Attach them to the plates below.", False),
        Field("Plate for file outputs", "08.4", "texts", "The plates, else those of the analysed images."),
    ),
}
ROIS = (
    Field(
        "Create_ROIs",
        "08.5",
        "switch",
        "Draw the objects of label images as ROIs on the images they were made from.",
        False,
        option="create_rois",
    ),
    Field(
        "ROI_Label_Pattern",
        "08.6",
        "text",
        "Which result files are label images, such as *_mask.tif; empty to find them by what they hold.",
        "",
        option="roi_label_pattern",
    ),
    Field(
        "ROI_Shape", "08.7", "text", "How to draw an object.", "Polygon", values=("Polygon", "Mask"), option="roi_shape"
    ),
    Field(
        "ROI_Delete_Label_Images",
        "08.8",
        "switch",
        "Do not keep the label images as images.",
        False,
        option="roi_delete_label_images",
    ),
    Field(
        "ROI_Name_Prefix",
        "08.9",
        "text",
        "What the names of the ROIs begin with; empty for workflow and run.",
        "",
        option="roi_name_prefix",
    ),
    Field(
        "ROI_Color",
        "08.95",
        "text",
        "Colour of the ROIs, such as #ff0000; empty for one per run.",
        "",
        option="roi_color",
    ),
    # OMERO.web sorts groupings as text: 08.10 would come before 08.2.
    Field(
        "ROI_Clear_Existing",
        "08.96",
        "switch",
        "Remove the ROIs that are there already.",
        False,
        option="roi_clear_existing",
    ),
    Field(
        "ROI_Clear_Filter",
        "08.97",
        "text",
        "Remove only those whose name holds this text.",
        "",
        option="roi_clear_filter",
    ),
)
CLEANUP = Field(
    "Cleanup?", "09", "switch", "Remove the data from the cluster once the results are in OMERO.", default=True
)
TEST_ONLY = Field(
    "Test_Write_Permissions_Only",
    "10.1",
    "switch",
    "Import nothing: only say whether results could be stored and imported.",
    False,
)

GET = Dialog(
    "Slurm Get Results",
    "Bring the results of a job of yours into OMERO, once more or in another way.",
    (
        COMPLETED,
        JOB_ID,
        WORKFLOW_UUID,
        TASK_ID,
        LOG_TARGET,
        ROI_TARGETS,
        *(each for pair in ZIP_TO.values() for each in pair),
        ATTACH,
        NEW_DATASET,
        DATASET_NAME,
        DATASET_DUPLICATE,
        DATASET_ID,
        RENAMES,
        RENAME,
        TABLES,
        *(each for pair in TABLES_TO.values() for each in pair),
        FILES,
        *(each for pair in FILES_TO.values() for each in pair),
        *ROIS,
        CLEANUP,
    ),
)
"""The dialog of ``SLURM_Get_Results.py``."""


def _moved(fields: Sequence[Field], **prefixes: str) -> tuple[Field, ...]:
    """Give fields another first number in their grouping."""
    return tuple(
        replace(
            each,
            grouping=each.grouping.replace(
                each.grouping[:2], prefixes.get(f"_{each.grouping[:2]}", each.grouping[:2]), 1
            ),
        )
        for each in fields
    )


_ZIPS = _moved(
    [replace(each, default=False) if each.kind == "switch" else each for pair in ZIP_TO.values() for each in pair],
    _03="02",
    _04="03",
    _05="04",
)
IMPORT = Dialog(
    "BIOMERO.SLURM_Import_Results",
    "Bring the results of a job of yours into OMERO, in place, through the importer.",
    (
        COMPLETED,
        JOB_ID,
        WORKFLOW_UUID,
        TASK_ID,
        LOG_TARGET,
        ROI_TARGETS,
        *_ZIPS,
        *_moved(
            (
                replace(ATTACH, default=False),
                replace(NEW_DATASET, default=True),
                replace(DATASET_NAME, default="Imported_Results"),
                replace(DATASET_DUPLICATE, default=False),
                DATASET_ID,
                replace(RENAMES, default=True),
                replace(RENAME, default="{original_file}_IMPORTED.{ext}"),
            ),
            _06="05",
        ),
        NEW_SCREEN,
        SCREEN_NAME,
        SCREEN_DUPLICATE,
        SCREEN_ID,
        LABEL_ZARRS,
        ONLY_LABELS,
        *_moved((replace(TABLES, default=True), *(each for pair in TABLES_TO.values() for each in pair)), _07="08"),
        *_moved((FILES, *(each for pair in FILES_TO.values() for each in pair), *ROIS), _08="09"),
        replace(CLEANUP, grouping="10"),
        TEST_ONLY,
    ),
)
"""The dialog of ``SLURM_Import_Results.py``."""
