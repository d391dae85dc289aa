"""What the progress view says of a run, from the name and the state of the task at work."""

from __future__ import annotations

import re
from dataclasses import dataclass

TRANSFER_TASKS = ("_slurm_image_transfer.py", "_slurm_file_transfer.py")
CONVERSION_TASK = "slurm_remote_conversion.py"
LAUNCHER_TASK = "slurm_run_workflow.py"
RETRIEVAL_TASK = "slurm_get_results.py"
IMPORT_TASK = "slurm_import_results.py"

IMPORT_STATUS = {
    "RETRIEVING": "RETRIEVING",
    "IMPORTED": "IMPORTED",
    "FAILED": "IMPORT_FAILED",
    "IMPORT_FAILED": "IMPORT_FAILED",
}

PERCENT = re.compile(r"(\d+(?:\.\d+)?)\s*%")


@dataclass(frozen=True, slots=True)
class Stage:
    """Status word of a run, and the part of the whole that the task at work is."""

    status: str
    start_percent: float
    """Progress of the run when the task begins."""
    end_percent: float
    """Progress of the run when the task ends."""


def is_main_task(task_name: str) -> bool:
    """Whether a task is an analysis that a person chose, and not one of the steps around it.

    Parameters
    ----------
    task_name : str
        Its name.

    Returns
    -------
    bool
        True for an analysis.
    """
    return not task_name.lower().startswith(("_slurm_", "slurm_", "convert_"))


def stage_of(task_name: str, status: str | None) -> Stage | None:
    """Tell how far a run is from the task at work.

    ====================================  ==================================  ===================
    task (in lower case)                  status of the run                   percent of the run
    ====================================  ==================================  ===================
    ``_slurm_image_transfer.py``          TRANSFERRING                        5 to 25
    ``_slurm_file_transfer.py``           TRANSFERRING                        5 to 25
    ``slurm_remote_conversion.py``        CONVERTING                          25 to 50
    ``convert_…``                         CONVERTING                          25 to 50
    ``slurm_run_workflow.py``             RUNNING                             50 to 90
    an analysis                           JOB_<status>; RUNNING before that   50 to 90
    ``slurm_get_results.py``              RETRIEVING                          90
    ``slurm_import_results.py``           IMPORTING, IMPORTED, IMPORT_FAILED  90
    either of these, POSTPROCESSING       POSTPROCESSING                      95
    ====================================  ==================================  ===================

    Parameters
    ----------
    task_name : str
        Name of the task at work.
    status : str or None
        Its status; None before it has any.

    Returns
    -------
    Stage or None
        The stage, or None if the task says nothing about the run.
    """
    name = task_name.lower()
    if name in TRANSFER_TASKS:
        return Stage("TRANSFERRING", 5, 25)
    if name == CONVERSION_TASK or name.startswith("convert_"):
        return Stage("CONVERTING", 25, 50)
    if name == LAUNCHER_TASK:
        return Stage("RUNNING", 50, 90)
    if name in (RETRIEVAL_TASK, IMPORT_TASK):
        if status == "POSTPROCESSING":
            return Stage("POSTPROCESSING", 95, 95)
        word = "RETRIEVING" if name == RETRIEVAL_TASK else IMPORT_STATUS.get(status or "", "IMPORTING")
        return Stage(word, 90, 90)
    if not is_main_task(name):
        return None
    return Stage(f"JOB_{status}" if status else "RUNNING", 50, 90)


def stage_of_step(step: str) -> Stage:
    """Tell how far a run is that goes on with a step after it had failed, before any task is at work again.

    Parameters
    ----------
    step : str
        The first of the steps that are taken anew, such as ``fetch/0``.

    Returns
    -------
    Stage
        The stage of the tasks to which the step belongs.
    """
    match step.partition("/")[0]:
        case "export":
            return Stage("TRANSFERRING", 5, 25)
        case "fetch":
            return Stage("RETRIEVING", 90, 90)
        case "import" | "tidy":
            return Stage("IMPORTING", 90, 90)
    return Stage("RUNNING", 50, 90)


def percent_of(stage: Stage, task_progress: str | None) -> str:
    """Tell the progress of a run from that of its task at work.

    Parameters
    ----------
    stage : Stage
        The stage of the run.
    task_progress : str or None
        What the task reported, such as ``43%``.

    Returns
    -------
    str
        Progress of the run, such as ``67.2%``.
    """
    match = PERCENT.search(task_progress or "")
    share = min(float(match[1]), 100.0) / 100 if match else 0.0
    percent = stage.start_percent + share * (stage.end_percent - stage.start_percent)
    return f"{percent:.1f}".removesuffix(".0") + "%"
