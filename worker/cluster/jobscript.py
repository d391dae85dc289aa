"""The job script: what is run for one task of a run, with an exit file that tells how it ended, whatever ends it.

Options of sbatch, signals, exit code and exit file are always ours. What is run between them is the container of an
analysis, a converter for each of some files, or the site's own job script or template.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import jinja2

from worker.cluster import variables
from worker.cluster.flags import DEFAULT_FLAGS, directive
from worker.cluster.quoting import quote
from worker.errors import RequestError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import PurePosixPath
    from uuid import UUID

    from worker.cluster.layout import RunLayout
    from worker.cluster.sitescript import SiteScript

INPUT_MISSING = 65
"""Exit code of a conversion whose input is not there (EX_DATAERR of sysexits.h)."""

NO_OUTPUT = 66
"""Exit code of a job whose container ended well but wrote nothing (EX_NOINPUT)."""

RUNTIME_MISSING = 69
"""Exit code of a job on a node without apptainer or singularity, or one of the site's modules (EX_UNAVAILABLE)."""

RUN_MISSING = 71
"""Exit code of a job on a node that does not see the run's directory (EX_OSERR)."""

IMAGE_MISSING = 72
"""Exit code of a job whose image is not there (EX_OSFILE)."""

LONGEST_ARGUMENT_BYTES = 131_071
"""No program on Linux can be given a longer argument (MAX_ARG_STRLEN of execve(2))."""

_CODES = {
    "input_missing": INPUT_MISSING,
    "no_output": NO_OUTPUT,
    "runtime_missing": RUNTIME_MISSING,
    "run_missing": RUN_MISSING,
    "image_missing": IMAGE_MISSING,
}
_KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{7,127}")


@dataclass(frozen=True, slots=True)
class ArrayChoice:
    """That a job is an array.

    Parameters
    ----------
    tasks : int
        Its tasks, numbered from 1.
    parallel : int, optional
        How many of them may run at the same time; all if Slurm has room for them.
    """

    tasks: int
    parallel: int | None = None

    def __post_init__(self) -> None:
        if self.tasks < 1 or (self.parallel is not None and self.parallel < 1):
            raise ValueError(f"There is no array of {self.tasks} tasks, {self.parallel} at a time.")

    def __str__(self) -> str:
        return f"1-{self.tasks}" if self.parallel is None else f"1-{self.tasks}%{self.parallel}"


@dataclass(frozen=True, slots=True)
class Conversion:
    """What a converter is run on: once for each file or folder, whose path is its only argument.

    Parameters
    ----------
    inputs : tuple[str, ...]
        Paths below ``data/in``.
    source, target : str
        Formats, such as ``zarr`` and ``tiff``.
    original_test : tuple[str, ...]
        A test of find(1) that is true for what is to be converted.
    """

    inputs: tuple[str, ...]
    source: str
    target: str
    original_test: tuple[str, ...]


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
    array : ArrayChoice, optional
        That it is an array; None: one job.
    modules : tuple[str, ...]
        Modules that are loaded before the container runtime is looked for.
    template : str, optional
        The site's template of what is run; see `worker.cluster.jobtemplate`.
    site_script : SiteScript, optional
        The site's own job script for this analysis.
    environment : Mapping[str, str]
        Variables that the container, template or script finds; see `worker.cluster.variables`.
    env_file : bool
        Whether they are kept in a file beside the job script, and nothing is passed on from where sbatch is called.
    mounts : tuple[tuple[PurePosixPath, str], ...]
        Folders of the run, and where else the container wants to see them.
    conversion : Conversion, optional
        What is to be converted, in the place of an analysis.
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
    array: ArrayChoice | None = None
    modules: tuple[str, ...] = ()
    template: str | None = None
    site_script: SiteScript | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    env_file: bool = False
    mounts: tuple[tuple[PurePosixPath, str], ...] = ()
    conversion: Conversion | None = None

    def __post_init__(self) -> None:
        if self.output is not None and not self.output.is_relative_to(self.layout.output):
            raise ValueError(f"{self.output} is not below {self.layout.output}.")
        if not _KEY.fullmatch(self.key):
            raise ValueError(f"{self.key!r} cannot be the key of a job.")
        for argument in (*self.arguments, *self.modules, self.bind_path, str(self.image)):
            if "\0" in argument:
                raise ValueError(f"An argument must not contain a NUL character: {argument!r}.")
        for source, target in self.mounts:
            if not source.is_relative_to(self.layout.root) or not re.fullmatch(r"/[^:,\0]*", target):
                raise ValueError(f"{source} cannot be mounted at {target!r}.")

    @property
    def name(self) -> str:
        """Name of the job in Slurm. It ends with the key, as accounting keeps names but not always comments."""
        return f"{self.flags.get('job-name') or 'omero-job-' + _word(self.workflow)}-{self.key}"

    @property
    def log_pattern(self) -> str:
        """Where Slurm writes the log, as sbatch takes it."""
        return f"{self.layout.root}/omero-{'%j' if self.array is None else '%A_%a'}.log"


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
    RequestError
        If an argument is longer than any can be.
    """
    layout = job.layout
    directives: dict[str, str | None] = {"output": job.log_pattern, "open-mode": "append", **job.flags}
    body = _has_body(job)
    output = str((job.output or layout.output).relative_to(layout.root))
    section = "body" if body else "conversion" if job.conversion else "container"
    return _template().render(
        directives=[
            directive("job-name", job.name),
            *(directive(name, value) for name, value in directives.items() if name != "job-name"),
        ],
        title=_line(f"{job.workflow} {job.version}"),
        run_id=layout.run_id,
        task_id=job.task_id,
        workflow=_word(job.workflow),
        key=job.key,
        root=str(layout.root),
        image=str(job.image),
        script=str(layout.script(job.task_id)),
        arguments=quoted_arguments(job),
        bind_path=job.bind_path,
        binds=quoted_binds(job),
        modules=job.modules,
        nv=job.nv,
        output=output,
        codes=_CODES,
        section=f"{section}.sh.j2",
        conversion=_conversion(job),
        body=layout.body(job.task_id).name if body else "",
        what="the job script of the site" if job.site_script else "the job template of the site",
        interpreter=job.site_script.interpreter if job.site_script else ("bash",),
        # A script of the site knows of data/out only.
        view=f"task_{job.task_id}" if body and output != "data/out" else "",
        env_file=layout.variables(job.task_id).name if job.env_file else "",
        variables=variables.assignments(job.environment),
    )


def quoted_arguments(job: JobRequest) -> list[str]:
    """Quote the arguments of a job for its script; where the run's folder is relative, ``$run`` stands for it.

    Parameters
    ----------
    job : JobRequest
        The job.

    Returns
    -------
    list[str]
        Words of bash. The run's folder in them is absolute, as a container may start elsewhere.

    Raises
    ------
    RequestError
        If an argument is longer than any can be.
    """
    for argument in job.arguments:
        if len(argument.encode("utf-8", "surrogateescape")) > LONGEST_ARGUMENT_BYTES:
            raise RequestError(
                f"A parameter of {job.workflow} has more than 128 KiB: it begins with {argument[:40]!r}.",
                remedy="No program can be given so much at once; use an attached file, if the analysis takes one.",
            )
    return [_argument(argument, job.layout) for argument in job.arguments]


def quoted_binds(job: JobRequest) -> list[str]:
    """Quote the mounts of a job for its script.

    Parameters
    ----------
    job : JobRequest
        The job.

    Returns
    -------
    list[str]
        Values of ``--bind``, as words of bash.
    """
    root = job.layout.root
    return [f'"$run/"{quote([f"{source.relative_to(root)}:{target}"])}' for source, target in job.mounts]


def sbatch_arguments(job: JobRequest) -> list[str]:
    """List the options that must hold whatever the site's environment (``SBATCH_*``) says.

    The environment of the job is left to Slurm's default, ``--export=ALL``: with ``NONE`` every node would have to run
    a login of ours before the job, which fails on some clusters. A site that forbids the default says so by
    ``env_file_submission``. ``--no-requeue``, because a second start would be the engine's decision.

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
        f"--output={job.log_pattern}",
        "--open-mode=append",
    ]
    if job.array is not None:
        arguments.append(f"--array={job.array}")
    if job.env_file and "export" not in job.flags:
        arguments.append("--export=NONE")
    # Some sites account by comment; there the name alone carries the key.
    return arguments if "comment" in job.flags else [*arguments, f"--comment={job.key}"]


def environment() -> jinja2.Environment:
    """Make a jinja2 environment for scripts: nothing is HTML, an unknown variable is an error, ``q`` quotes a word.

    Returns
    -------
    jinja2.Environment
        The environment, without templates of its own.
    """
    made = jinja2.Environment(
        # Not HTML; what goes into the script goes through `q`.
        autoescape=False,  # noqa: S701
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        # To bash "{#" is the beginning of a length: ${#list[@]}.
        comment_start_string="{##",
        comment_end_string="##}",
    )
    made.filters["q"] = lambda value: quote([str(value)])
    return made


def _template() -> jinja2.Template:
    made = environment()
    made.loader = jinja2.PackageLoader("worker.cluster", "templates")
    return made.get_template("job.sh.j2")


def _has_body(job: JobRequest) -> bool:
    """Whether what is run is the site's own; a converter is always run our way."""
    return job.conversion is None and (job.site_script is not None or job.template is not None)


def _conversion(job: JobRequest) -> Mapping[str, object] | None:
    if job.conversion is None:
        return None
    return {
        "inputs": job.conversion.inputs,
        "stride": 1 if job.array is None else job.array.tasks,
        "original_test": quote(job.conversion.original_test),
    }


def _argument(argument: str, layout: RunLayout) -> str:
    """Quote an argument; the run's directory in it becomes absolute, as a container may start elsewhere."""
    root = str(layout.root)
    if layout.root.is_absolute() or root not in argument:
        return quote([argument])
    # Between the quoted pieces the shell inserts the directory.
    return '"$run"'.join(quote([piece]) if piece else "" for piece in argument.split(root))


def _word(name: str) -> str:
    """Make a name that other programs look for in logs: letters, digits, ``_`` and ``-``."""
    return re.sub(r"[^A-Za-z0-9_-]+", "_", name)[:64] or "workflow"


def _line(text: str) -> str:
    return "".join(character if character.isprintable() else " " for character in text)
