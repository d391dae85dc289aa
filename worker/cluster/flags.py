"""What a job asks Slurm for: options of sbatch from everywhere, merged.

A later level wins over an earlier one:

1. `DEFAULT_FLAGS`,
2. what the analysis says that it needs (``resources`` of its descriptor),
3. ``#SBATCH`` lines of a job script or job template of the site,
4. the person's e-mail address,
5. ``sbatch_<flag>``,
6. ``slurm_default_partition``,
7. ``gpu_partition``, ``gpu_gres`` and ``gpu_gpus``, for a job with a GPU,
8. ``<workflow>_job_<flag>``,
9. what the person has chosen in the dialog.
"""

from __future__ import annotations

import re
from types import MappingProxyType
from typing import TYPE_CHECKING

import structlog

from worker.errors import SettingsError
from worker.settings import amounts
from worker.settings.sbatch_options import EXCLUSIVE, RESERVED

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from worker.settings.models import SlurmSettings, WorkflowSettings

log = structlog.get_logger(__name__)

_NOTHING: Mapping[str, str | None] = MappingProxyType({})

DEFAULT_FLAGS: Mapping[str, str | None] = {"cpus-per-task": "4", "time": "00:45:00", "mem": "5GB"}
"""What a job asks for unless somebody says otherwise."""

_FLAG = re.compile(r"[A-Za-z][A-Za-z0-9-]*")
_SHORT = {
    "A": "account", "a": "array", "b": "begin", "C": "constraint", "c": "cpus-per-task", "D": "chdir",
    "d": "dependency", "e": "error", "F": "nodefile", "G": "gpus", "H": "hold", "h": "help", "I": "immediate",
    "i": "input", "J": "job-name", "k": "no-kill", "L": "licenses", "M": "clusters", "m": "distribution",
    "N": "nodes", "n": "ntasks", "O": "overcommit", "o": "output", "p": "partition", "Q": "quiet", "q": "qos",
    "s": "oversubscribe", "S": "core-spec", "t": "time", "V": "version", "v": "verbose", "W": "wait",
    "w": "nodelist", "x": "exclude",
}  # fmt: skip
"""The options of sbatch with one letter."""

_LOCAL_PART = re.compile(r"[A-Za-z0-9][A-Za-z0-9_%+=-]*(?:\.[A-Za-z0-9_%+=-]+)*")
_DOMAIN_LABEL = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?")


def sbatch_flags(
    settings: SlurmSettings,
    workflow: WorkflowSettings,
    *,
    use_gpu: bool | None = None,
    described_gpu: bool = False,
    email: str | None = None,
    resources: Mapping[str, str | None] = _NOTHING,
    script: Mapping[str, str | None] = _NOTHING,
    chosen: Mapping[str, str | None] = _NOTHING,
) -> dict[str, str | None]:
    """Merge the options of sbatch from everywhere; the module says which wins.

    Parameters
    ----------
    settings : SlurmSettings
        Section ``[SLURM]``.
    workflow : WorkflowSettings
        The workflow.
    use_gpu : bool, optional
        What the person chose; counts only with ``inject_gpu_flag``.
    described_gpu : bool
        Whether the analysis says that it needs a GPU.
    email : str, optional
        Who is told by Slurm when the job ends. What is no address is left out, with a warning: it comes from the
        person's own profile in OMERO.
    resources : Mapping[str, str or None]
        What the analysis needs; see `resource_flags`.
    script : Mapping[str, str or None]
        Options in the site's own job script or template; see `directives_in`.
    chosen : Mapping[str, str or None]
        What the person chose; see `chosen_flags`.

    Returns
    -------
    dict[str, str or None]
        Options without the leading ``--``; None is an option without a value.

    Raises
    ------
    SettingsError
        If an option is not one.
    """
    levels: list[Mapping[str, str | None]] = [DEFAULT_FLAGS, resources, script]
    if email:
        if address := mail_address(email):
            levels.append({"mail-user": address, "mail-type": "END,FAIL"})
        else:
            log.warning("mail_address_ignored", address=email[:80], workflow=workflow.name)
    levels.append(settings.sbatch_flags)
    if settings.slurm_default_partition:
        levels.append({"partition": settings.slurm_default_partition})
    if gpu_active(settings, workflow, use_gpu, described=described_gpu):
        levels.append(
            {
                "partition": settings.gpu_partition or "",
                "gres": settings.gpu_gres or "",
                "gpus": settings.gpu_gpus or "",
            }
        )
    levels += [workflow.job_flags, chosen]
    return merge(levels, workflow=workflow.name)


def merge(levels: Iterable[Mapping[str, str | None]], *, workflow: str = "") -> dict[str, str | None]:
    """Merge levels of options of sbatch, the lowest first.

    Parameters
    ----------
    levels : Iterable[Mapping[str, str or None]]
        Options without the leading ``--``. One that is blank says nothing; None is an option without a value.
    workflow : str
        Whose job it is, for the log.

    Returns
    -------
    dict[str, str or None]
        The options; of those of which Slurm takes one, that of the highest level.

    Raises
    ------
    SettingsError
        If an option is not one.
    """
    flags: dict[str, str | None] = {}
    for level in levels:
        said = {name: value for name, value in level.items() if value is None or value.strip()}
        for name, value in said.items():
            check_flag(name, value)
            if name in RESERVED:
                log.warning("sbatch_flag_ignored", flag=name, workflow=workflow)
                continue
            for group in EXCLUSIVE:
                if name in group:
                    for other in group - {name} - set(said):
                        flags.pop(other, None)
            flags[name] = value
    return flags


def gpu_active(
    settings: SlurmSettings, workflow: WorkflowSettings, use_gpu: bool | None = None, *, described: bool = False
) -> bool:
    """Decide whether a job asks for a GPU.

    Parameters
    ----------
    settings : SlurmSettings
        Section ``[SLURM]``.
    workflow : WorkflowSettings
        The workflow.
    use_gpu : bool, optional
        What the person chose; counts only with ``inject_gpu_flag``.
    described : bool
        Whether the analysis says that it needs one; counts only where ``<workflow>_use_gpu`` is not said.

    Returns
    -------
    bool
        Whether it does.
    """
    if settings.inject_gpu_flag and use_gpu is not None:
        return use_gpu
    return described if workflow.use_gpu is None else workflow.use_gpu


def gives_nv(
    settings: SlurmSettings, workflow: WorkflowSettings, use_gpu: bool | None = None, *, described: bool = False
) -> bool:
    """Decide whether a container gets ``--nv``.

    Parameters
    ----------
    settings : SlurmSettings
        Section ``[SLURM]``.
    workflow : WorkflowSettings
        The workflow.
    use_gpu : bool, optional
        What the person chose; counts only with ``inject_gpu_flag``.
    described : bool
        Whether the analysis says that it needs a GPU.

    Returns
    -------
    bool
        Always, unless ``inject_gpu_flag`` reserves it to GPU jobs. On a node without GPU it does nothing.
    """
    return gpu_active(settings, workflow, use_gpu, described=described) if settings.inject_gpu_flag else True


def resource_flags(*, cores: int | None = None, memory_mib: int | None = None) -> dict[str, str | None]:
    """Write what an analysis needs at least as options of sbatch.

    Parameters
    ----------
    cores : int, optional
        CPU cores.
    memory_mib : int, optional
        Memory, in MiB.

    Returns
    -------
    dict[str, str or None]
        The options. What the default gives anyway is left out: that an analysis can do with less is no reason to give
        it less.
    """
    flags: dict[str, str | None] = {}
    if cores is not None and cores > int(str(DEFAULT_FLAGS["cpus-per-task"])):
        flags["cpus-per-task"] = str(cores)
    if memory_mib is not None and memory_mib > amounts.memory_mib(str(DEFAULT_FLAGS["mem"])):
        flags["mem"] = amounts.write_memory(memory_mib)
    return flags


def chosen_flags(
    *, time_s: int | None = None, memory_mib: int | None = None, partition: str | None = None
) -> dict[str, str | None]:
    """Write what a person has chosen as options of sbatch.

    Parameters
    ----------
    time_s : int, optional
        Time, in seconds.
    memory_mib : int, optional
        Memory, in MiB.
    partition : str, optional
        Partition.

    Returns
    -------
    dict[str, str or None]
        The options.
    """
    flags: dict[str, str | None] = {}
    if time_s is not None:
        flags["time"] = amounts.write_duration(time_s)
    if memory_mib is not None:
        flags["mem"] = amounts.write_memory(memory_mib)
    if partition:
        flags["partition"] = partition
    return flags


def directives_in(text: str) -> dict[str, str | None]:
    """Read the ``#SBATCH`` lines of a job script, as sbatch does.

    Parameters
    ----------
    text : str
        The script. As for sbatch, lines after the first command do not count.

    Returns
    -------
    dict[str, str or None]
        Options without the leading ``--``, those with one letter under their long name. What is reserved to us is
        left out: hand-written scripts do name their log, and so do we.
    """
    flags: dict[str, str | None] = {}
    for line in text.splitlines():
        if match := re.match(r"#SBATCH\s+(.*)", line):
            words = _words(match[1])
            while words:
                word = words.pop(0)
                if word.startswith("--"):
                    name, given, value = word[2:].partition("=")
                    takes = not given and bool(words) and not words[0].startswith("-")
                elif re.fullmatch(r"-[A-Za-z].*", word):
                    name, value = _SHORT.get(word[1], word[1]), word[2:].removeprefix("=")
                    given = "=" if value else ""
                    takes = not given and bool(words) and not words[0].startswith("-")
                else:
                    continue
                if takes:
                    given, value = "=", words.pop(0)
                if _FLAG.fullmatch(name) and name not in RESERVED and value.isprintable():
                    flags[name] = value if given else None
        elif line.strip() and not line.lstrip().startswith("#"):
            break
    return flags


def mail_address(text: str) -> str | None:
    """Take an e-mail address for what it is, or not at all.

    Stricter than RFC 5321: quotation marks, blanks and other signs that a mailer or a shell could take for something
    else are not wanted in an address that somebody has typed.

    Parameters
    ----------
    text : str
        What may be one.

    Returns
    -------
    str or None
        The address, or None.
    """
    address = text.strip()
    local, at, domain = address.rpartition("@")
    labels = domain.split(".")
    if (
        not at
        or len(local) > 64
        or len(address) > 254
        or not _LOCAL_PART.fullmatch(local)
        or len(labels) < 2
        or not all(_DOMAIN_LABEL.fullmatch(label) for label in labels)
        or labels[-1].isdecimal()
    ):
        return None
    return address


def check_flag(name: str, value: str | None) -> None:
    """Insist on a name and a value that can stand in a line of a script.

    Parameters
    ----------
    name : str
        The option, without the leading ``--``.
    value : str or None
        Its value.

    Raises
    ------
    SettingsError
        If they cannot.
    """
    if not _FLAG.fullmatch(name):
        raise SettingsError(f"{name!r} is not an option of sbatch.", remedy="See sbatch(1); write it without '--'.")
    if value is not None and not value.isprintable():
        raise SettingsError(f"The value {value!r} of sbatch's --{name} is not a line of text.")


def directive(name: str, value: str | None) -> str:
    """Write an option so that sbatch reads it from a script as it is.

    Parameters
    ----------
    name : str
        The option, without the leading ``--``.
    value : str or None
        Its value.

    Returns
    -------
    str
        What follows ``#SBATCH``.

    Raises
    ------
    SettingsError
        If it cannot be written.
    """
    check_flag(name, value)
    if value is None:
        return f"--{name}"
    if re.fullmatch(r"[\w./:,=+@%*\[\]^~-]+", value, re.ASCII):
        return f"--{name}={value}"
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'--{name}="{escaped}"'


def _words(line: str) -> list[str]:
    """Split a line as sbatch does: at blanks, except in quotation marks; ``#`` begins a comment."""
    words: list[str] = []
    for match in re.finditer(r"""(?:[^\s"'#]|"(?:\\.|[^"\\])*"|'[^']*')+|\#.*""", line):
        if match[0].startswith("#"):
            break
        words.append(re.sub(r""""((?:\\.|[^"\\])*)"|'([^']*)'""", _unquoted, match[0]))
    return words


def _unquoted(match: re.Match[str]) -> str:
    return re.sub(r"\\(.)", r"\1", match[1]) if match[1] is not None else match[2]
