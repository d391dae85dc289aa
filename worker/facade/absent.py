"""What `SlurmClient` of old had and this one has not, and what to use in its place."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_RUN = (
    "it would start a job that no record knows, which nobody follows, retries or brings back; run the script "
    "SLURM_Run_Workflow.py (gateway.c.sf.getScriptService().runScript), which records the run and returns at once"
)
_DATA = "the engine moves the data of each run itself, verified; see 'omero-worker runs show <uuid>'"
_LOGS = "the log is attached in OMERO; the script SLURM_Get_Update.py shows its end while the job runs"
_SHELL = "no shell is given text here; use run_commands([['squeue', '--me']]), a list of argument lists"
_SCRIPTS = "job scripts are made anew for each run; slurm_job_template in slurm-config.ini names your own template"
_SETUP = "use setup_slurm(), or 'omero-worker cluster init'"

INSTEAD: Mapping[str, str] = {
    "run_workflow": _RUN,
    "run_workflow_job": _RUN,
    "run_conversion_workflow_job": "run the script SLURM_Remote_Conversion.py",
    "get_workflow_command": _RUN,
    "get_conversion_command": "run the script SLURM_Remote_Conversion.py",
    "get_cellpose_command": _RUN,
    "run": _SHELL,
    "run_commands_split_out": _SHELL,
    "put": _DATA,
    "get": _DATA,
    "transfer_data": "run the script _SLURM_Image_Transfer.py",
    "unpack_data": _DATA,
    "zip_data_on_slurm_server": _DATA,
    "copy_zip_locally": _DATA,
    "cleanup_tmp_files": _DATA,
    "extract_data_location_from_log": "the record knows where the data of a run are, and never reads it from a log",
    "get_logfile_from_slurm": _LOGS,
    "get_conversion_logfile_from_slurm": _LOGS,
    "update_slurm_scripts": _SCRIPTS,
    "generate_slurm_job_for_workflow": _SCRIPTS,
    "setup_directories": _SETUP,
    "setup_job_scripts": _SETUP,
    "setup_converters": _SETUP,
    "setup_container_images": _SETUP,
    "list_available_converter_versions": "use 'omero-worker cluster check'",
    "get_jobs_info_command": "use list_all_jobs(), or 'omero-worker runs list'",
    "get_job_status_command": "use check_job_status()",
}


def explain(name: str, known: Iterable[str]) -> str:
    """Say what to use in the place of an attribute that is not there.

    Parameters
    ----------
    name : str
        Its name.
    known : iterable of str
        The attributes that are there.

    Returns
    -------
    str
        A sentence or two.
    """
    if name in INSTEAD:
        return f"SlurmClient.{name} is not offered: {INSTEAD[name]}."
    near = get_close_matches(name, [one for one in known if not one.startswith("_")], n=1)
    hint = f" Did you mean {near[0]}?" if near else " docs/notebooks.md lists what there is."
    return f"SlurmClient has no attribute {name!r}.{hint}"
