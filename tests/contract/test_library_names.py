"""The names that OMERO.biomero and existing scripts import from ``biomero``, written out on purpose."""

from __future__ import annotations

import biomero
import pytest
from biomero import constants

from worker.dialogs import fields
from worker.engine import accept

FIELDS = {
    "workflow_batched.BATCH_SIZE": "Batch_Size",
    "workflow.EMAIL": "E-mail",
    "workflow.SELECT_IMPORT": "Select how to import your results (one or more)",
    "workflow.OUTPUT_PARENT": "1) Zip attachment to parent",
    "workflow.OUTPUT_ATTACH": "2) Attach to original images",
    "workflow.OUTPUT_NEW_DATASET": "3a) Import into NEW Dataset",
    "workflow.OUTPUT_NEW_SCREEN": "3a) Import into NEW Screen",
    "workflow.OUTPUT_DUPLICATES": "3b) Allow duplicate dataset (name)?",
    "workflow.OUTPUT_RENAME": "3c) Rename the imported images",
    "workflow.OUTPUT_CSV_TABLE": "4) Upload result CSVs as OMERO tables",
    "workflow.USE_ZARR_FORMAT": "Use_ZARR_Format",
    "transfer.DATA_TYPE": "Data_Type",
    "transfer.IDS": "IDs",
}


@pytest.mark.parametrize("name", FIELDS)
def test_a_field_has_the_name_that_the_plugin_sends(name: str) -> None:
    group, _, key = name.partition(".")
    assert getattr(getattr(constants, group), key) == FIELDS[name]
    assert fields.RUN.field(FIELDS[name]) or fields.BATCHED.field(FIELDS[name])


def test_every_field_of_the_workflows_is_one_that_the_dialogs_have() -> None:
    named = {value for key, value in vars(constants.workflow).items() if key.isupper() and key != "NO"}
    assert named <= {field.name for field in fields.FIXED}
    assert constants.workflow.NO == fields.NO == "--NO THANK YOU--"


def test_the_scripts_have_the_names_under_which_they_are_looked_for() -> None:
    assert constants.RUN_WF_SCRIPT == accept.BATCH_TASK == "SLURM_Run_Workflow.py"
    assert constants.RUN_WF_BATCHED_SCRIPT == "SLURM_Run_Workflow_Batched.py"
    assert constants.IMAGE_EXPORT_SCRIPT == accept.EXPORT_TASK == "_SLURM_Image_Transfer.py"
    assert constants.IMAGE_IMPORT_SCRIPT == accept.IMPORT_TASK == "SLURM_Get_Results.py"
    assert constants.CONVERSION_SCRIPT == "SLURM_Remote_Conversion.py"
    assert constants.FILE_TRANSFER_SCRIPT == "_SLURM_File_Transfer.py"


def test_what_is_imported_is_there() -> None:
    names = {
        "SlurmClient",
        "WorkflowTracker",
        "JobAccounting",
        "JobProgress",
        "WorkflowProgress",
        "WorkflowAnalytics",
        "WorkflowRun",
        "Task",
        "NoOpWorkflowTracker",
    }
    assert names == set(biomero.__all__)
    for name in ("from_config", "validate", "initialize_analytics_system", "pull_descriptor_from_github"):
        assert callable(getattr(biomero.SlurmClient, name))
