"""The site's own template of what a job runs (``slurm_job_template``), in the place of our call of the container.

It is a jinja2 template of a bash script. Options of sbatch, signals, exit code and exit file are around it whatever it
says, so that no template can lose a job. ``#SBATCH`` lines in it count as in a job script of the site.

=================  ====================================================================================
variable           what it is
=================  ====================================================================================
``workflow``       name of the analysis in slurm-config.ini
``version``        its version
``image``          path of its container image
``arguments``      arguments of the container, each quoted already: not to be passed through ``q``
``nv``             whether the container is to get the GPU drivers
``binds``          values of ``--bind`` that it needs besides the run's folder, each quoted already
``bind_path``      ``slurm_data_bind_path``, or nothing; ``APPTAINER_BINDPATH`` is set already
``modules``        ``slurm_modules``; they are loaded already
``environment``    variables of the job by name; they are exported already
``run_id``         uuid of the run
``task_id``        uuid of the analysis in it
``output``         folder to write to, below ``$run``
=================  ====================================================================================

The filter ``q`` quotes a value for the shell. When the script runs, ``$run`` is the folder of the run.
"""

from __future__ import annotations

import subprocess
import traceback
from pathlib import PurePosixPath
from typing import TYPE_CHECKING
from uuid import UUID

import jinja2

from worker.cluster import jobscript
from worker.cluster.flags import directives_in
from worker.cluster.jobscript import JobRequest
from worker.cluster.layout import RunLayout
from worker.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_REMEDY = "Correct slurm_job_template; docs/jobs.md lists the variables, and 'omero-worker config check' tries it."
_NAME = "slurm_job_template"


def read_template(path: Path) -> str:
    """Read the site's template, and try it.

    Parameters
    ----------
    path : Path
        ``slurm_job_template`` of the settings.

    Returns
    -------
    str
        The template.

    Raises
    ------
    SettingsError
        If it cannot be read, or is broken, with the line and what is wrong there.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise SettingsError(f"The job template {path} cannot be read: {why}.", remedy=_REMEDY) from error
    check_template(text, name=str(path))
    return text


def check_template(text: str, *, name: str = _NAME) -> None:
    """Try a template with all that a job can have, and let bash look at the outcome.

    Parameters
    ----------
    text : str
        The template.
    name : str
        What it is called in messages.

    Raises
    ------
    SettingsError
        If it is broken, with the line and what is wrong there.
    """
    for job in _samples():
        rendered = render_template(text, job, name=name)
        # The same bash as on any cluster, as far as syntax goes.
        looked = subprocess.run(["bash", "-n"], input=rendered.encode(), capture_output=True, check=False, timeout=30)
        if looked.returncode != 0:
            said = looked.stderr.decode("utf-8", "replace").strip().splitlines()
            raise SettingsError(
                f"The job template {name} does not give a script that bash can read: {'; '.join(said[:2])}.",
                remedy=_REMEDY,
            )


def render_template(text: str, job: JobRequest, *, name: str = _NAME) -> str:
    """Write what a job runs.

    Parameters
    ----------
    text : str
        The template.
    job : JobRequest
        The job.
    name : str
        What the template is called in messages.

    Returns
    -------
    str
        A bash script.

    Raises
    ------
    SettingsError
        If the template is broken, with the line and what is wrong there.
    """
    layout = job.layout
    values: dict[str, object] = {
        "workflow": job.workflow,
        "version": job.version,
        "image": str(job.image),
        "arguments": jobscript.quoted_arguments(job),
        "nv": job.nv,
        "binds": jobscript.quoted_binds(job),
        "bind_path": job.bind_path,
        "modules": job.modules,
        "environment": dict(job.environment),
        "run_id": str(layout.run_id),
        "task_id": str(job.task_id),
        "output": str((job.output or layout.output).relative_to(layout.root)),
    }
    try:
        return jobscript.environment().from_string(text).render(values)
    except jinja2.TemplateSyntaxError as error:
        raise SettingsError(
            f"Line {error.lineno} of the job template {name} is wrong: {error.message}.", remedy=_REMEDY
        ) from error
    except jinja2.UndefinedError as error:
        # "'imgae' is undefined"
        raise SettingsError(
            f"Line {_line_of(error)} of the job template {name} uses what there is not: {error.message}. "
            f"There are: {', '.join(values)}.",
            remedy=_REMEDY,
        ) from error
    except Exception as error:  # an expression of a template can raise whatever Python can
        raise SettingsError(
            f"Line {_line_of(error)} of the job template {name} fails: {type(error).__name__}: {error}.", remedy=_REMEDY
        ) from error


def template_flags(text: str) -> Mapping[str, str | None]:
    """Read the options of sbatch that stand in a template.

    Parameters
    ----------
    text : str
        The template.

    Returns
    -------
    Mapping[str, str or None]
        Options of its ``#SBATCH`` lines, except for those that jinja2 would have to fill in first.
    """
    return directives_in("\n".join(line for line in text.splitlines() if "{" not in line))


def _line_of(error: BaseException) -> str:
    """Find the line of a template at which rendering failed: jinja2 puts it into the traceback."""
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == "<template>"]
    return str(lines[-1]) if lines else "?"


def _samples() -> list[JobRequest]:
    """Make jobs as different as they can be."""
    task = UUID(int=1)
    layout = RunLayout("data", UUID(int=2))
    image = PurePosixPath("images/w_nuclei_v1.0.0.sif")
    plain = JobRequest(str(task), task, "nuclei", "v1.0.0", image, ("--infolder", "data/in"), layout)
    full = JobRequest(
        key=str(task),
        task_id=task,
        workflow="nuclei",
        version="v1.0.0",
        image=PurePosixPath("/images/w_nuclei_v1.0.0.sif"),
        arguments=("--infolder", str(layout.input), "--text", 'it\'s $(here)\n"two" lines'),
        layout=layout,
        bind_path="/scratch,/projects",
        nv=True,
        modules=("apptainer/1.2",),
        environment={"DIAMETER": "30"},
        mounts=((layout.input, "/input"),),
        output=layout.output / "0",
    )
    return [plain, full]
