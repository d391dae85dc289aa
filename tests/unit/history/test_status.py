"""The progress view says how far a run is, from its task at work."""

from __future__ import annotations

import pytest

from worker.history.status import Stage, is_main_task, percent_of, stage_of


@pytest.mark.parametrize(
    ("task_name", "status", "word", "percent"),
    [
        ("_SLURM_Image_Transfer.py", None, "TRANSFERRING", "5%"),
        ("_SLURM_File_Transfer.py", None, "TRANSFERRING", "5%"),
        ("SLURM_Remote_Conversion.py", None, "CONVERTING", "25%"),
        ("CONVERT_ZARR_TO_TIFF", "RUNNING", "CONVERTING", "25%"),
        ("SLURM_Run_Workflow.py", "0", "RUNNING", "50%"),
        ("cellpose", None, "RUNNING", "50%"),
        ("cellpose", "PENDING", "JOB_PENDING", "50%"),
        ("cellpose", "InProgress", "JOB_InProgress", "50%"),
        ("SLURM_Get_Results.py", None, "RETRIEVING", "90%"),
        ("SLURM_Get_Results.py", "POSTPROCESSING", "POSTPROCESSING", "95%"),
        ("SLURM_Import_Results.py", None, "IMPORTING", "90%"),
        ("SLURM_Import_Results.py", "RETRIEVING", "RETRIEVING", "90%"),
        ("SLURM_Import_Results.py", "IMPORTING", "IMPORTING", "90%"),
        ("SLURM_Import_Results.py", "IMPORTED", "IMPORTED", "90%"),
        ("SLURM_Import_Results.py", "FAILED", "IMPORT_FAILED", "90%"),
    ],
)
def test_task_name_and_status_give_the_status_of_the_run(
    task_name: str, status: str | None, word: str, percent: str
) -> None:
    stage = stage_of(task_name, status)
    assert stage is not None
    assert (stage.status, percent_of(stage, None)) == (word, percent)


def test_a_helper_task_says_nothing_about_the_run() -> None:
    assert stage_of("_SLURM_Result_Normalizer", "RUNNING") is None


@pytest.mark.parametrize(
    ("task_progress", "percent"),
    [("43%", "67.2%"), ("0%", "50%"), ("100%", "90%"), ("50%", "70%"), ("250%", "90%"), ("soon", "50%"), (None, "50%")],
)
def test_progress_of_the_job_moves_the_run_from_50_to_90_percent(task_progress: str | None, percent: str) -> None:
    assert percent_of(Stage("JOB_RUNNING", 50, 90), task_progress) == percent


def test_progress_never_goes_back_from_one_stage_to_the_next() -> None:
    names = ["_SLURM_Image_Transfer.py", "convert_zarr_to_tiff", "cellpose", "SLURM_Get_Results.py"]
    stages = [stage for name in names if (stage := stage_of(name, None))]
    assert [stage.end_percent for stage in stages[:-1]] == [stage.start_percent for stage in stages[1:]]


@pytest.mark.parametrize("name", ["cellpose", "W_Nuclei", "stardist"])
def test_an_analysis_is_a_main_task(name: str) -> None:
    assert is_main_task(name)


@pytest.mark.parametrize("name", ["_SLURM_Image_Transfer.py", "SLURM_Get_Results.py", "CONVERT_ZARR_TO_TIFF"])
def test_steps_around_an_analysis_are_no_main_tasks(name: str) -> None:
    assert not is_main_task(name)
