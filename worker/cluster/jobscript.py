"""The job script: one analysis in its container, with an exit file that tells how it ended, whatever ends it."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import jinja2
import structlog

from worker.cluster.quoting import quote
from worker.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import PurePosixPath
    from uuid import UUID

    from worker.cluster.layout import RunLayout
    from worker.settings.models import SlurmSettings, WorkflowSettings

log = structlog.get_logger(__name__)

DEFAULT_FLAGS: Mapping[str, str | None] = {"cpus-per-task": "4", "time": "00:45:00", "mem": "5GB"}
"""What a job asks for unless somebody says otherwise."""

RESERVED_FLAGS = frozenset(
    {"array", "chdir", "error", "input", "no-requeue", "open-mode", "output", "parsable", "requeue", "test-only",
     "wait", "wrap"}
)  # fmt: skip
"""What nobody may set: without them a job could not be found again, or its log not be read."""

EXCLUSIVE_FLAGS = (
    frozenset({"mem", "mem-per-cpu", "mem-per-gpu"}),
    frozenset({"cpus-per-task", "cpus-per-gpu"}),
    frozenset({"gres", "gpus", "gpus-per-node", "gpus-per-task"}),
)
"""Of each of these Slurm takes one, so that one from a higher level removes those of lower levels."""

NO_OUTPUT = 66
"""Exit code of a job whose container ended well but wrote nothing (EX_NOINPUT of sysexits.h)."""

RUNTIME_MISSING = 69
"""Exit code of a job on a node without apptainer or singularity (EX_UNAVAILABLE)."""

RUN_MISSING = 71
"""Exit code of a job on a node that does not see the run's directory (EX_OSERR)."""

IMAGE_MISSING = 72
"""Exit code of a job whose image is not there (EX_OSFILE)."""

_CODES = {
    "no_output": NO_OUTPUT,
    "runtime_missing": RUNTIME_MISSING,
    "run_missing": RUN_MISSING,
    "image_missing": IMAGE_MISSING,
}
_KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{7,127}")
_FLAG = re.compile(r"[A-Za-z][A-Za-z0-9-]*")


@dataclass(frozen=True, slots=True)
class JobRequest:
    """What is to be run.

    Parameters
    ----------
    key : str
        By which the job is found again if the reply to its submission is lost: 8 to 128 letters, digits, ``._-``.
    task_id : UUID
        The task; its job script is named after it.
    workflow : str
        Name of the analysis, for persons.
    version : str
        Its version, for persons.
    image : PurePosixPath
        The container image on the cluster; a relative path starts at the login's home.
    arguments : tuple[str, ...]
        Arguments of the container, as they are to reach it.
    layout : RunLayout
        Where the run's files are.
    flags : Mapping[str, str or None]
        Options of sbatch without the leading ``--``; None is an option without a value.
    bind_path : str
        Paths of the cluster that the container must see besides the run's own (``APPTAINER_BINDPATH``).
    nv : bool
        Whether the container gets the GPU drivers (``--nv``).
    output : PurePosixPath, optional
        Where the container writes: ``layout.output`` or a folder in it, where several jobs of a run have one each.
    """

    key: str
    task_id: UUID
    workflow: str
    version: str
    image: PurePosixPath
    arguments: tuple[str, ...]
    layout: RunLayout
    flags: Mapping[str, str | None] = field(default_factory=lambda: dict(DEFAULT_FLAGS))
    bind_path: str = ""
    nv: bool = False
    output: PurePosixPath | None = None

    def __post_init__(self) -> None:
        if self.output is not None and not self.output.is_relative_to(self.layout.output):
            raise ValueError(f"{self.output} is not below {self.layout.output}.")
        if not _KEY.fullmatch(self.key):
            raise ValueError(f"{self.key!r} cannot be the key of a job.")
        for argument in (*self.arguments, self.bind_path, str(self.image)):
            if "\0" in argument:
                raise ValueError(f"An argument must not contain a NUL character: {argument!r}.")

    @property
    def name(self) -> str:
        """Name of the job in Slurm. It ends with the key, as accounting keeps names but not always comments."""
        return f"{self.flags.get('job-name') or 'omero-job-' + _word(self.workflow)}-{self.key}"


def sbatch_flags(
    settings: SlurmSettings, workflow: WorkflowSettings, *, use_gpu: bool | None = None, email: str | None = None
) -> dict[str, str | None]:
    """Merge the options of sbatch from everywhere.

    A later one of these wins: the defaults of the job script, the person's e-mail address, ``sbatch_<flag>``,
    ``slurm_default_partition``, the GPU options (for a GPU workflow), ``<workflow>_job_<flag>``.

    Parameters
    ----------
    settings : SlurmSettings
        Section ``[SLURM]``.
    workflow : WorkflowSettings
        The workflow.
    use_gpu : bool, optional
        What the person chose; counts only with ``inject_gpu_flag``.
    email : str, optional
        Who is told by Slurm when the job ends.

    Returns
    -------
    dict[str, str | None]
        Options without the leading ``--``.

    Raises
    ------
    SettingsError
        If an option is not one.
    """
    flags: dict[str, str | None] = {}
    levels: list[Mapping[str, str | None]] = [DEFAULT_FLAGS]
    if email:
        levels.append({"mail-user": email, "mail-type": "END,FAIL"})
    levels.append(settings.sbatch_flags)
    if settings.slurm_default_partition:
        levels.append({"partition": settings.slurm_default_partition})
    if gpu_active(settings, workflow, use_gpu):
        gpu = {"partition": settings.gpu_partition, "gres": settings.gpu_gres, "gpus": settings.gpu_gpus}
        levels.append({name: value for name, value in gpu.items() if value})
    levels.append(workflow.job_flags)
    for level in levels:
        for name, value in level.items():
            _check_flag(name, value)
            if name in RESERVED_FLAGS:
                log.warning("sbatch_flag_ignored", flag=name, workflow=workflow.name)
                continue
            for group in EXCLUSIVE_FLAGS:
                if name in group:
                    for other in group - {name} - set(level):
                        flags.pop(other, None)
            flags[name] = value
    return flags


def gpu_active(settings: SlurmSettings, workflow: WorkflowSettings, use_gpu: bool | None = None) -> bool:
    """Decide whether a job asks for a GPU.

    Parameters
    ----------
    settings : SlurmSettings
        Section ``[SLURM]``.
    workflow : WorkflowSettings
        The workflow.
    use_gpu : bool, optional
        What the person chose; counts only with ``inject_gpu_flag``.

    Returns
    -------
    bool
        Whether it does.
    """
    if settings.inject_gpu_flag and use_gpu is not None:
        return use_gpu
    return bool(workflow.use_gpu)


def gives_nv(settings: SlurmSettings, workflow: WorkflowSettings, use_gpu: bool | None = None) -> bool:
    """Decide whether a container gets ``--nv``.

    Parameters
    ----------
    settings : SlurmSettings
        Section ``[SLURM]``.
    workflow : WorkflowSettings
        The workflow.
    use_gpu : bool, optional
        What the person chose; counts only with ``inject_gpu_flag``.

    Returns
    -------
    bool
        Always, unless ``inject_gpu_flag`` reserves it to GPU jobs. On a node without GPU it does nothing.
    """
    return gpu_active(settings, workflow, use_gpu) if settings.inject_gpu_flag else True


def render(job: JobRequest) -> str:
    """Write the job script.

    Parameters
    ----------
    job : JobRequest
        The job.

    Returns
    -------
    str
        A bash script with the options of sbatch in it. Nothing of the job is ever read by the shell as a program.

    Raises
    ------
    SettingsError
        If an option of sbatch cannot be written.
    """
    layout = job.layout
    directives = {"job-name": job.name, "output": f"{layout.root}/omero-%j.log", "open-mode": "append", **job.flags}
    directives["job-name"] = job.name
    return _template().render(
        directives=[(name, _directive(name, value)) for name, value in directives.items()],
        title=_line(f"{job.workflow} {job.version}"),
        run_id=layout.run_id,
        task_id=job.task_id,
        workflow=_word(job.workflow),
        key=job.key,
        root=str(layout.root),
        image=str(job.image),
        script=str(layout.script(job.task_id)),
        arguments=[_argument(argument, layout) for argument in job.arguments],
        bind_path=job.bind_path,
        nv=job.nv,
        output=str((job.output or layout.output).relative_to(layout.root)),
        codes=_CODES,
    )


def sbatch_arguments(job: JobRequest) -> list[str]:
    """List the options that must hold whatever the site's environment (``SBATCH_*``) says.

    The environment of the job is left to Slurm's default, ``--export=ALL``: with ``NONE`` every node would have to run
    a login of ours before the job, which fails on some clusters, and an admin who needs it can set
    ``sbatch_export``. ``--no-requeue``, because a second start would be the engine's decision.

    Parameters
    ----------
    job : JobRequest
        The job.

    Returns
    -------
    list[str]
        Arguments of sbatch, without the script.
    """
    arguments = [
        "--parsable",
        "--no-requeue",
        f"--job-name={job.name}",
        f"--output={job.layout.root}/omero-%j.log",
        "--open-mode=append",
    ]
    # Some sites account by comment; there the name alone carries the key.
    return arguments if "comment" in job.flags else [*arguments, f"--comment={job.key}"]


def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("worker.cluster", "templates"),
        # Not HTML; what goes into the script goes through `q`.
        autoescape=False,  # noqa: S701
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["q"] = lambda value: quote([str(value)])
    return environment.get_template("job.sh.j2")


def _argument(argument: str, layout: RunLayout) -> str:
    """Quote an argument; the run's directory in it becomes absolute, as a container may start elsewhere."""
    root = str(layout.root)
    if layout.root.is_absolute() or root not in argument:
        return quote([argument])
    # Between the quoted pieces the shell inserts the directory.
    return '"$run"'.join(quote([piece]) if piece else "" for piece in argument.split(root))


def _check_flag(name: str, value: str | None) -> None:
    if not _FLAG.fullmatch(name):
        raise SettingsError(f"{name!r} is not an option of sbatch.", remedy="See sbatch(1); write it without '--'.")
    if value is not None and not value.isprintable():
        raise SettingsError(f"The value {value!r} of sbatch's --{name} is not a line of text.")


def _directive(name: str, value: str | None) -> str | None:
    """Write a value so that sbatch reads it from the script as it is."""
    _check_flag(name, value)
    if value is None or re.fullmatch(r"[\w./:,=+@%*\[\]^~-]+", value, re.ASCII):
        return value
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _word(name: str) -> str:
    """Make a name that other programs look for in logs: letters, digits, ``_`` and ``-``."""
    return re.sub(r"[^A-Za-z0-9_-]+", "_", name)[:64] or "workflow"


def _line(text: str) -> str:
    return "".join(character if character.isprintable() else " " for character in text)
