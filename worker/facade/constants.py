"""Names of scripts, of their fields and of states, as the web plugin imports them from ``biomero.constants``."""

from __future__ import annotations

IMAGE_EXPORT_SCRIPT = "_SLURM_Image_Transfer.py"
FILE_TRANSFER_SCRIPT = "_SLURM_File_Transfer.py"
CONVERSION_SCRIPT = "SLURM_Remote_Conversion.py"
IMAGE_IMPORT_SCRIPT = "SLURM_Get_Results.py"
RUN_WF_SCRIPT = "SLURM_Run_Workflow.py"
RUN_WF_BATCHED_SCRIPT = "SLURM_Run_Workflow_Batched.py"


class workflow:  # noqa: N801 - the web plugin knows it so
    """Fields of ``SLURM_Run_Workflow.py``."""

    EMAIL = "E-mail"
    USE_ZARR_FORMAT = "Use_ZARR_Format"
    SELECT_IMPORT = "Select how to import your results (one or more)"
    OUTPUT_PARENT = "1) Zip attachment to parent"
    OUTPUT_ATTACH = "2) Attach to original images"
    OUTPUT_NEW_DATASET = "3a) Import into NEW Dataset"
    OUTPUT_NEW_SCREEN = "3a) Import into NEW Screen"
    OUTPUT_DUPLICATES = "3b) Allow duplicate dataset (name)?"
    OUTPUT_RENAME = "3c) Rename the imported images"
    OUTPUT_CSV_TABLE = "4) Upload result CSVs as OMERO tables"
    OUTPUT_ATTACH_FILE_OUTPUTS = "5) Attach individual non-image output files"
    OUTPUT_CREATE_ROIS = "6a) Create ROIs from label images"
    ROI_LABEL_PATTERN = "6b) Label image pattern"
    ROI_SHAPE = "6c) ROI shape"
    ROI_DELETE_LABEL_IMAGES = "6d) Delete label images after ROI creation"
    ROI_CLEAR_EXISTING = "6e) Clear existing ROIs on original images"
    ROI_CLEAR_FILTER = "6f) Clear existing ROI name filter"
    ROI_COLOR = "6g) ROI color override"
    NO = "--NO THANK YOU--"


class workflow_batched:  # noqa: N801
    """Fields of ``SLURM_Run_Workflow_Batched.py`` that the other has not."""

    BATCH_SIZE = "Batch_Size"


class transfer:  # noqa: N801
    """Fields of ``_SLURM_Image_Transfer.py``, of which the first are those of the workflows too."""

    DATA_TYPE = "Data_Type"
    DATA_TYPE_DATASET, DATA_TYPE_IMAGE, DATA_TYPE_PLATE = "Dataset", "Image", "Plate"
    DATA_TYPE_PROJECT, DATA_TYPE_SCREEN = "Project", "Screen"
    IDS = "IDs"
    FOLDER = "Folder_Name"
    FORMAT = "Format"
    FORMAT_TIFF, FORMAT_OMETIFF, FORMAT_OMEZARR = "TIFF", "OME-TIFF", "OME-ZARR"
    OME_VERSION = "OME-Zarr_version"


class file_transfer:  # noqa: N801
    """Fields of ``_SLURM_File_Transfer.py``."""

    FILE_ANNOTATION_ID = "Annotation_ID"
    FOLDER = "Folder_Name"
    PARAM_SLOT = "Param_Slot"
    FORMAT = "Allowed_Formats"


class conversion:  # noqa: N801
    """Fields of ``SLURM_Remote_Conversion.py``."""

    INPUT_DATA = "Input data"
    SOURCE_FORMAT = "Source format"
    TARGET_FORMAT = "Target format"
    PARENT_WORKFLOW_ID = "Parent_Workflow_ID"


class workflow_status:  # noqa: N801
    """Words for how far a run is."""

    INITIALIZING = "INITIALIZING"
    TRANSFERRING = "TRANSFERRING"
    CONVERTING = "CONVERTING"
    RUNNING = "RUNNING"
    JOB_STATUS = "JOB_"
    RETRIEVING = "RETRIEVING"
    IMPORTING = "IMPORTING"
    IMPORTED = "IMPORTED"
    DONE = "DONE"
    FAILED = "FAILED"
