"""The fields of the script dialogs, which OMERO.biomero, OMERO.web and people's habits rely on.

They are written out here on purpose: a name that is changed in the code must fail the tests beside this.
"""

from __future__ import annotations

from omero.rtypes import RBoolI, RIntI, RListI, RLongI, RStringI

NO = "--NO THANK YOU--"

Row = tuple[str, type, str, bool, object, list[str] | None]
"""Name, type, grouping, optional, default, values."""

# Section 1.1 of the reference.
FIXED: list[Row] = [
    ("Data_Type", RStringI, "01.1", False, "Dataset", ["Dataset", "Image", "Plate", "Screen"]),
    ("IDs", RListI, "01.2", False, None, None),
    ("E-mail", RBoolI, "01.3", True, True, None),
    ("Use_ZARR_Format", RBoolI, "01.4", True, False, None),
    ("OME-Zarr_version", RStringI, "01.4.1", True, "0.4", ["0.4", "0.5"]),
    # Ours; it takes no place that another field has.
    ("Cancel run with script?", RBoolI, "01.6", True, False, None),
    ("Select how to import your results (one or more)", RBoolI, "02", False, True, None),
    ("1) Zip attachment to parent", RBoolI, "02.2", True, True, None),
    ("2) Attach to original images", RBoolI, "02.4", True, False, None),
    ("3a) Import into NEW Dataset", RStringI, "02.5", True, NO, None),
    ("3a) Import into NEW Screen", RStringI, "02.5.1", True, NO, None),
    ("3b) Allow duplicate dataset (name)?", RBoolI, "02.6", True, False, None),
    ("Dataset_ID", RLongI, "02.61", True, None, None),
    ("Screen_ID", RLongI, "02.62", True, None, None),
    ("3c) Rename the imported images", RStringI, "02.7", True, NO, None),
    ("4) Upload result CSVs as OMERO tables", RBoolI, "02.8", False, True, None),
    ("5) Attach individual non-image output files", RBoolI, "02.85", True, False, None),
    ("6a) Create ROIs from label images", RBoolI, "02.86", True, False, None),
    ("6b) Label image pattern", RStringI, "02.87", True, "", None),
    ("6c) ROI shape", RStringI, "02.88", True, "Polygon", ["Polygon", "Mask"]),
    ("6g) ROI color override", RStringI, "02.885", True, "", None),
    ("6d) Delete label images after ROI creation", RBoolI, "02.89", True, False, None),
    ("6e) Clear existing ROIs on original images", RBoolI, "02.90", True, False, None),
    ("6f) Clear existing ROI name filter", RStringI, "02.91", True, "", None),
    ("Cleanup?", RBoolI, "02.9", True, True, None),
]

# Section 1.2: what is not as above, and where it comes.
_BATCHED_CHANGES: dict[str, list[Row]] = {
    "Data_Type": [("Data_Type", RStringI, "01.1", False, "Image", ["Dataset", "Image", "Plate"])],
    "Use_ZARR_Format": [
        ("Batch_Size", RIntI, "01.4", False, 32, None),
        ("Use_ZARR_Format", RBoolI, "01.5", True, False, None),
    ],
    "OME-Zarr_version": [("OME-Zarr_version", RStringI, "01.5.1", True, "0.4", ["0.4", "0.5"])],
    "1) Zip attachment to parent": [("1) Zip attachment to parent", RBoolI, "02.2", True, False, None)],
    "Cleanup?": [],
}
BATCHED = [changed for row in FIXED for changed in _BATCHED_CHANGES.get(row[0], [row])]

_Z, _T = "Default-Z (last-viewed)", "Default-T (last-viewed)"
_OTHER = "Other (see below)"


def _zips(first: int, *, project: bool) -> list[Row]:
    rows: list[Row] = []
    for number, (kind, places) in enumerate(
        (("project", "Project"), ("dataset", "Dataset_Attach"), ("plate", "Plate"))
    ):
        grouping = f"{first + number:02d}"
        rows.append(
            (f"Output - Attach as zip to {kind}?", RBoolI, grouping, False, project and kind == "project", None)
        )
        rows.append((places, RListI, f"{grouping}.1", True, None, None))
    return rows


def _dataset(number: str, *, on: bool, name: str, rename: str) -> list[Row]:
    return [
        ("Output - Add as attachment to original images", RBoolI, number, False, not on, None),
        ("Output - Add as new images in NEW dataset", RBoolI, number, False, on, None),
        ("New Dataset", RStringI, f"{number}.1", True, name, None),
        ("Allow duplicate?", RBoolI, f"{number}.2", True, not on, None),
        ("Dataset_ID", RLongI, f"{number}.25", True, None, None),
        ("Rename imported files?", RBoolI, f"{number}.3", True, on, None),
        ("Rename", RStringI, f"{number}.4", True, rename, None),
    ]


def _tables_and_files(table: str, other: str, *, on: bool) -> list[Row]:
    return [
        ("Output - Add csv files as OMERO.table", RBoolI, table, False, on, None),
        ("Attach table to dataset", RBoolI, f"{table}.1", True, True, None),
        ("Dataset for table", RListI, f"{table}.2", True, None, None),
        ("Attach table to plate", RBoolI, f"{table}.3", True, False, None),
        ("Plate for table", RListI, f"{table}.4", True, None, None),
        ("Output - Attach non-image output files as annotations", RBoolI, other, True, False, None),
        ("Attach file outputs to dataset", RBoolI, f"{other}.1", True, True, None),
        ("Dataset for file outputs", RListI, f"{other}.2", True, None, None),
        ("Attach file outputs to plate", RBoolI, f"{other}.3", True, False, None),
        ("Plate for file outputs", RListI, f"{other}.4", True, None, None),
        ("Create_ROIs", RBoolI, f"{other}.5", True, False, None),
        ("ROI_Label_Pattern", RStringI, f"{other}.6", True, "", None),
        ("ROI_Shape", RStringI, f"{other}.7", True, "Polygon", ["Polygon", "Mask"]),
        ("ROI_Delete_Label_Images", RBoolI, f"{other}.8", True, False, None),
        ("ROI_Name_Prefix", RStringI, f"{other}.9", True, "", None),
        ("ROI_Color", RStringI, f"{other}.95", True, "", None),
        # The reference has .10 and .11, which OMERO.web sorts before .2.
        ("ROI_Clear_Existing", RBoolI, f"{other}.96", True, False, None),
        ("ROI_Clear_Filter", RStringI, f"{other}.97", True, "", None),
    ]


_JOB: list[Row] = [
    ("Completed Job", RBoolI, "01", False, True, None),
    ("SLURM Job Id", RStringI, "01.1", False, None, None),
    ("workflow_uuid", RStringI, "01.2", True, None, None),
    ("Task_ID", RStringI, "01.3", True, None, None),
    ("Log_Fallback_Target", RStringI, "01.4", True, None, None),
    ("ROI_Target_Image_IDs", RListI, "01.5", True, None, None),
]

# Sections 1.6 and 1.7.
RESULTS: dict[str, tuple[str, str, list[Row]]] = {
    "SLURM_Get_Results.py": (
        "_data",
        "Slurm Get Results",
        [
            *_JOB,
            *_zips(3, project=True),
            *_dataset("06", on=False, name="My_Results", rename="{original_file}NucleiLabels.{ext}"),
            *_tables_and_files("07", "08", on=False),
            ("Cleanup?", RBoolI, "09", True, True, None),
        ],
    ),
    "SLURM_Import_Results.py": (
        "_data",
        "BIOMERO.SLURM_Import_Results",
        [
            *_JOB,
            *_zips(2, project=False),
            *_dataset("05", on=True, name="Imported_Results", rename="{original_file}_IMPORTED.{ext}"),
            ("Output - Add as new images in NEW screen", RBoolI, "06", False, False, None),
            ("New Screen", RStringI, "06.1", True, "Imported_Results", None),
            ("Allow duplicate screen name?", RBoolI, "06.2", True, False, None),
            ("Screen_ID", RLongI, "06.25", True, None, None),
            ("Import_Label_Zarrs", RBoolI, "07", True, True, None),
            ("Import_Only_Labels", RBoolI, "07.1", True, True, None),
            *_tables_and_files("08", "09", on=True),
            ("Cleanup?", RBoolI, "10", True, True, None),
            ("Test_Write_Permissions_Only", RBoolI, "10.1", True, False, None),
        ],
    ),
}

# Sections 1.3 to 1.5: by script, its folder and title, and its fields.
TRANSFERS: dict[str, tuple[str, str, list[Row]]] = {
    "_SLURM_Image_Transfer.py": (
        "_data",
        "_SLURM_Image_Transfer",
        [
            ("Data_Type", RStringI, "1", False, "Image", ["Dataset", "Image", "Plate"]),
            ("IDs", RListI, "2", False, None, None),
            ("Cleanup?", RBoolI, "4", True, True, None),
            ("Image settings (Required)", RBoolI, "5", False, True, None),
            ("Format", RStringI, "5.1", True, "OME-ZARR", ["TIFF", "OME-TIFF", "OME-ZARR"]),
            ("OME-Zarr_version", RStringI, "5.2", True, "0.4", ["0.4", "0.5"]),
            ("Export_Merged_Image", RBoolI, "5.5", True, True, None),
            ("Export_Individual_Channels", RBoolI, "5.6", True, False, None),
            ("Individual_Channels_Grey", RBoolI, "5.6.1", True, False, None),
            ("Channel_Names", RListI, "5.6.2", True, None, None),
            ("Choose_Z_Section", RStringI, "5.7", True, _Z, [_Z, "ALL Z planes", "Max projection", _OTHER]),
            ("OR_specify_Z_index", RIntI, "5.7.1", True, None, None),
            ("OR_specify_Z_start_AND...", RIntI, "5.7.2", True, None, None),
            ("...specify_Z_end", RIntI, "5.7.3", True, None, None),
            ("Choose_T_Section", RStringI, "5.8", True, _T, [_T, "ALL T planes", _OTHER]),
            ("OR_specify_T_index", RIntI, "5.8.1", True, None, None),
            ("OR_specify_T_start_AND...", RIntI, "5.8.2", True, None, None),
            ("...specify_T_end", RIntI, "5.8.3", True, None, None),
            ("Zoom", RStringI, "5.9", True, "100%", ["25%", "50%", "100%", "200%", "300%", "400%"]),
        ],
    ),
    "_SLURM_File_Transfer.py": (
        "_data",
        "_SLURM_File_Transfer",
        [
            ("Annotation_ID", RLongI, "1", False, None, None),
            ("Folder_Name", RStringI, "2", False, None, None),
            ("Param_Slot", RStringI, "2.1", True, None, None),
            ("Cleanup?", RBoolI, "3", True, True, None),
            ("Allowed_Formats", RStringI, "4", True, None, None),
        ],
    ),
    "SLURM_Remote_Conversion.py": (
        "_data",
        "SLURM Remote Conversion",
        [
            ("Input data", RStringI, "01", True, None, None),
            ("Source format", RStringI, "02.1", True, "zarr", ["zarr"]),
            ("Target format", RStringI, "02.2", True, "tiff", ["tiff", "zarr"]),
            ("Cleanup?", RBoolI, "03", True, True, None),
            ("Parent_Workflow_ID", RStringI, "04", True, None, None),
            ("Log_Fallback_Target", RStringI, "05", True, None, None),
        ],
    ),
    **RESULTS,
    # Section 1.9 gives no groupings.
    "SLURM_Init_environment.py": (
        "admin",
        "Slurm Init (Admin Only)",
        [
            ("Init Slurm", RBoolI, "01", True, True, None),
            ("Extra Config file (optional!)", RStringI, "01.1", True, None, None),
            ("Rebuild Analytics Views (skip if only adding new workflows!)", RBoolI, "02", True, True, None),
            ("Rebuild From Days Ago", RIntI, "02.1", True, None, None),
            ("Rebuild From Date", RStringI, "02.2", True, None, None),
        ],
    ),
    "SLURM_check_setup.py": ("admin", "Slurm Check Setup (Admin Only)", []),
}

# Sections 1.8 and 1.9 of the reference.
OTHERS: dict[str, tuple[str, list[tuple[str, type, str, bool, object]]]] = {
    "SLURM_Get_Update.py": (
        "Slurm Get Update",
        [
            ("Running Job", RBoolI, "01", True, True),
            ("SLURM Job Id", RStringI, "01.1", True, None),
            ("Completed Job", RBoolI, "02", True, False),
            ("SLURM Job Id (old)", RStringI, "02.1", True, None),
            # Demanded only of those who have projects.
            ("Project", RListI, "02.5", True, None),
        ],
    ),
    "Tail_logs.py": (
        "Tail Biomero Log (Admin Only)",
        [("Log_Path", RStringI, "01", True, None), ("Tail_Lines", RLongI, "02", True, 5000)],
    ),
}
