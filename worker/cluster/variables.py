"""The variables of a job: what the scripts and templates of a site, and containers, find in their environment.

Those of the system are ``DATA_PATH``, ``IMAGE_PATH``, ``IMAGE_VERSION``, ``SINGULARITY_IMAGE``, ``SCRIPT_PATH``,
``GPU_FLAG`` and ``DO_CONVERT``; those of the analysis are its parameters under their names in upper case. A parameter
that is called like something that programs obey (``PATH``, ``LD_PRELOAD``, ``SLURM_…``) is called ``PARAM_…`` instead.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from worker.cluster.quoting import quote

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import PurePosixPath

LONGEST_BYTES = 100_000
"""A longer value is no variable: the kernel refuses every program whose environment has one of 128 KiB."""

MOST_BYTES = 500_000
"""All values together are no longer than this, for the same reason; what comes later is left out."""

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")

_OBEYED = frozenset(
    {"CDPATH", "DATA_PATH", "DISPLAY", "DO_CONVERT", "EDITOR", "ENV", "EUID", "FPATH", "FUNCNAME", "GCONV_PATH",
     "GLOBIGNORE", "GPU_FLAG", "GROUPS", "HISTFILE", "HOME", "HOSTNAME", "HOSTTYPE", "IFS", "IMAGE_PATH",
     "IMAGE_VERSION", "LANG", "LANGUAGE", "LINENO", "LOCPATH", "LOGNAME", "MACHTYPE", "MAIL", "MANPATH", "MODULEPATH",
     "MODULESHOME", "NLSPATH", "NODE_OPTIONS", "NODE_PATH", "OLDPWD", "OPTARG", "OPTERR", "OPTIND", "OSTYPE", "PAGER",
     "PATH", "PIPESTATUS", "PPID", "PROMPT_COMMAND", "PS0", "PS1", "PS2", "PS3", "PS4", "PWD", "RANDOM", "REPLY",
     "SCRIPT_PATH", "SECONDS", "SHELL", "SHELLOPTS", "SHLVL", "SINGULARITY_IMAGE", "SRANDOM", "TEMP", "TERM",
     "TERMINFO", "TMOUT", "TMP", "TMPDIR", "TZ", "TZDIR", "UID", "USER", "VISUAL", "WF_TYPE"}
)  # fmt: skip
_OBEYED_BEGINNINGS = (
    "APPTAINER", "BASH", "CONDA", "CUDA_", "DYLD_", "FTP_", "GIT_", "GLIBC_", "HTTP", "JAVA_", "KRB5", "LC_", "LD_",
    "LMOD", "MALLOC_", "MKL_", "MODULE", "NO_PROXY", "NVIDIA", "OMP_", "PERL5", "PERLLIB", "PIP_", "PMI", "PYTHON",
    "ROCR_", "RUBYLIB", "RUBYOPT", "SBATCH_", "SCONTROL", "SINGULARITY", "SLURM", "SPANK", "SQUEUE", "SRUN", "SSH_",
    "SUDO_", "XDG_", "_",
)  # fmt: skip


def safe_name(parameter: str) -> str:
    """Name the variable of a parameter.

    Parameters
    ----------
    parameter : str
        Its id.

    Returns
    -------
    str
        The id in upper case, with ``_`` in the place of what no name may have; ``PARAM_…`` where programs would obey
        it, or where it would not be a name.
    """
    name = re.sub(r"[^A-Z0-9_]", "_", parameter.upper(), flags=re.ASCII)
    if not _NAME.fullmatch(name) or name in _OBEYED or name.startswith(_OBEYED_BEGINNINGS):
        return f"PARAM_{name}"
    return name


def job_variables(
    *,
    image: PurePosixPath,
    version: str,
    script_path: str,
    nv: bool,
    parameters: Mapping[str, object] | None = None,
) -> dict[str, str]:
    """List the variables of a job; ``DATA_PATH`` is added by the job itself, which knows where the run really is.

    Parameters
    ----------
    image : PurePosixPath
        The container image on the cluster.
    version : str
        Its version.
    script_path : str
        ``slurm_script_path`` of the settings.
    nv : bool
        Whether the container gets the GPU drivers.
    parameters : Mapping[str, object], optional
        Values of the analysis, by the ids of its parameters.

    Returns
    -------
    dict[str, str]
        The variables. Of two parameters with the same name in upper case the first counts; too long ones are left out.
    """
    found = {
        "IMAGE_PATH": str(image.parent),
        "IMAGE_VERSION": version,
        "SINGULARITY_IMAGE": image.name,
        "SCRIPT_PATH": script_path.removeprefix("~/"),
        "GPU_FLAG": "--nv" if nv else "",
        "DO_CONVERT": "false",
    }
    room_bytes = MOST_BYTES
    for parameter, value in (parameters or {}).items():
        name, text = safe_name(parameter), "" if value is None else str(value)
        size_bytes = len(text.encode("utf-8", "surrogateescape"))
        if name not in found and "\0" not in text and size_bytes <= min(LONGEST_BYTES, room_bytes):
            found[name] = text
            room_bytes -= size_bytes
    return found


def assignments(variables: Mapping[str, str]) -> str:
    """Write variables as lines that any POSIX shell can read, and in which it finds nothing to interpret.

    Parameters
    ----------
    variables : Mapping[str, str]
        From names to values.

    Returns
    -------
    str
        Lines ``export NAME='value'``.

    Raises
    ------
    ValueError
        If a name is none.
    """
    for name in variables:
        if not _NAME.fullmatch(name):
            raise ValueError(f"{name!r} cannot be the name of a variable.")
    return "".join(f"export {name}={quote([value])}\n" for name, value in variables.items())
