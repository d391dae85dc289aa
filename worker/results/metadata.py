"""``metadata.csv``: where results come from, as the two-column file (key, value; no header) that sites already read."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING

from worker.results.annotations import analysis_pairs, job_pairs, known

if TYPE_CHECKING:
    from worker.results.model import Provenance


def metadata_rows(provenance: Provenance) -> list[tuple[str, str]]:
    """List what ``metadata.csv`` says.

    Parameters
    ----------
    provenance : Provenance
        Where the results come from.

    Returns
    -------
    list of (str, str)
        Keys and values, in the established order.
    """
    task = f"Task_{provenance.workflow}"
    job = f"{task}_Job_{provenance.job_id}"
    return [
        ("Job_ID", str(provenance.job_id)),
        ("Import_Type", "SLURM_Results"),
        ("Import_User", provenance.user_name),
        ("Import_Group", provenance.group_name),
        ("Workflow_ID", provenance.run_id),
        ("Workflow_Name", provenance.run_name or provenance.workflow),
        ("Workflow_Version", provenance.version),
        ("Workflow_Created_On", provenance.started),
        ("Workflow_Modified_On", provenance.modified or provenance.started),
        ("Workflow_Task_IDs", ", ".join(provenance.task_ids or (provenance.task_id,))),
        (f"{task}_ID", provenance.task_id),
        (f"{task}_Name", provenance.workflow),
        (f"{task}_Version", provenance.version),
        (f"{task}_Status", provenance.status),
        (f"{task}_Input_Data", provenance.input_data),
        (f"{task}_Job_IDs", str(provenance.job_id)),
        *((f"{task}_Param_{name}", str(value)) for name, value in provenance.parameters.items()),
        (f"{job}_Result_Message", provenance.result_message),
        (f"{job}_Command", provenance.command),
        *((f"{job}_Env_{name}", value) for name, value in provenance.environment.items()),
        # Ours, behind those that have always been there.
        *known({"Worker_Version": provenance.worker_version, "Settings_SHA256": provenance.settings_digest}).items(),
        *((f"{task}_{name}", value) for name, value in analysis_pairs(provenance).items()),
        *((f"{job}_{name}", value) for name, value in job_pairs(provenance).items()),
    ]


def metadata_name(provenance: Provenance) -> str:
    """Name the file for a place where files of several runs meet.

    Parameters
    ----------
    provenance : Provenance
        Where the results come from.

    Returns
    -------
    str
        ``metadata_<run uuid>.csv``.
    """
    return f"metadata_{provenance.run_id}.csv"


def render(provenance: Provenance) -> bytes:
    """Write the file's content.

    Parameters
    ----------
    provenance : Provenance
        Where the results come from.

    Returns
    -------
    bytes
        CSV, UTF-8, rows of two fields, no header.
    """
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows(metadata_rows(provenance))
    return text.getvalue().encode()
