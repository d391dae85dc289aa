"""What is put on the cluster for a job: its job script, and what that needs beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from worker.cluster import jobscript, jobtemplate, variables

if TYPE_CHECKING:
    from pathlib import PurePosixPath

    from worker.cluster.jobscript import JobRequest


def files_of(job: JobRequest) -> dict[PurePosixPath, bytes]:
    """Write the files of a job.

    Parameters
    ----------
    job : JobRequest
        The job.

    Returns
    -------
    dict[PurePosixPath, bytes]
        From their paths on the cluster to what they say; the first is the job script.

    Raises
    ------
    SettingsError
        If an option of sbatch cannot be written, or the site's template is broken.
    RequestError
        If an argument is longer than any can be.
    """
    layout, task = job.layout, job.task_id
    files = {layout.script(task): jobscript.render(job)}
    if job.conversion is None:
        if job.site_script is not None:
            files[layout.body(task)] = job.site_script.text
        elif job.template is not None:
            files[layout.body(task)] = jobtemplate.render_template(job.template, job)
    if job.env_file:
        files[layout.variables(task)] = variables.assignments(job.environment)
    return {path: text.encode("utf-8", "surrogateescape") for path, text in files.items()}
