"""Why an image could not be pulled, from the last words of apptainer, and what to do about it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

_REMEDIES: tuple[tuple[str, str], ...] = (
    (
        r"no space left|quota exceeded",
        (
            "Make room on that disk, or name another one: slurm_images_path for images, and apptainer_tmpdir for what "
            "a pull needs in between (some times the size of the image; /tmp unless you say otherwise)."
        ),
    ),
    (
        r"manifest unknown|name unknown|not found|does not exist|no such image|(?<![\w:.])404\b",
        (
            "Compare name and tag with what the registry has: the name stands as container-image in the workflow's "
            "descriptor (or in [CONVERTERS]), the tag there or at the end of <workflow>_repo; slurm_image_source "
            "precedes it."
        ),
    ),
    (
        r"unauthorized|is denied|access denied|authentication required|forbidden|(?<![\w:.])(?:401|403)\b",
        (
            "The registry has no such image for everybody. If it is a private one, log in once with the account of the"
            " cluster: `apptainer registry login docker://<registry>`; if not, its name is wrong."
        ),
    ),
    (
        r"toomanyrequests|rate limit|(?<![\w:.])429\b",
        (
            "The registry has had enough of this address. Wait some hours, log in there with `apptainer registry "
            "login`, or pull through a mirror (slurm_image_source)."
        ),
    ),
    (
        r"http response to https client|does not look like a tls handshake",
        (
            "The registry speaks plain HTTP. If that is meant, set APPTAINER_NOHTTPS=1 for the account of the cluster,"
            " or name the registry in its ~/.config/containers/registries.conf with `insecure = true`."
        ),
    ),
    (
        r"certificate|x509",
        (
            "The certificate of the registry is not trusted there: ask the admins of the cluster, or pull through a "
            "mirror."
        ),
    ),
    (
        (
            r"connection refused|no such host|i/o timeout|network is unreachable"
            r"|no route to host|dial tcp|timeout awaiting"
        ),
        (
            "The registry cannot be reached from where the pull ran. Is it up, and is a proxy needed (HTTPS_PROXY in "
            "the account's ~/.bashrc)? If only login nodes, or only compute nodes, reach the internet, change "
            "slurm_image_pull_via_sbatch; slurm_image_source names a mirror."
        ),
    ),
    (
        r"unexpected eof|short read|connection reset|digest|checksum|cut short",
        "The transfer broke off. Run it again.",
    ),
    (
        r"nor do modules give one|cannot be loaded|command not found",
        (
            "Make apptainer or singularity available to non-interactive logins of the account (PATH in ~/.bashrc), or "
            "name the module that has it (slurm_modules); where only compute nodes have it, set "
            "slurm_image_pull_via_sbatch."
        ),
    ),
    (
        r"user namespace|newuidmap|operation not permitted|setuid|fakeroot",
        (
            "Apptainer is not allowed to do its work there: ask the admins of the cluster for user namespaces, or for "
            "a node on which images are to be pulled (slurm_image_pull_via_sbatch)."
        ),
    ),
    (
        r"out.of.memory|oom.kill|cannot allocate memory",
        "Give pulls more memory: slurm_image_pull_via_sbatch with image_pull_mem.",
    ),
    (
        r"\btimeout\b|time limit",
        "Give pulls more time: sbatch_time, or a partition that allows more.",
    ),
    (
        r"cancelled at",
        "Somebody, or Slurm, has ended the job that pulled. Run it again.",
    ),
    (
        r"invalid partition|invalid account|sbatch:",
        "Correct the sbatch_ settings of slurm-config.ini (partition, account, time, memory), which pulls use too.",
    ),
)

_LOST = "Run it again; if it happens again, the machine may end what runs for long: set slurm_image_pull_via_sbatch."
_OTHERWISE = "Pull it by hand with the same words, and show the admins of the cluster what is said."
_PREFIX = re.compile(r"^(?:\x1b\[[0-9;]*m)*(?:FATAL|ERROR|WARNING|INFO|sbatch|error|slurmstepd\S*?)\s*:\s*")
_CHAIN = re.compile(
    r"^While making image from oci registry: (?:error fetching image to cache: )?(?:while building SIF from layers: )?"
    r"(?:failed to get checksum for \S+: )?"
)
"""What apptainer tells of its own inside."""
_NOISE = re.compile(r"^\S*INFO\b")


def last_words(words: Sequence[str]) -> str:
    """Choose what tells most.

    Parameters
    ----------
    words : Sequence[str]
        The last lines of a log.

    Returns
    -------
    str
        The last line that is a complaint, else the last line; without colours and marks.
    """
    lines = [_plain(line) for line in words]
    complaints = [line for line in lines if line and not _NOISE.match(line)]
    chosen = (complaints or [line for line in lines if line] or [""])[-1]
    while (shorter := _PREFIX.sub("", chosen)) != chosen:
        chosen = shorter
    return _CHAIN.sub("", chosen)


def remedy_for(words: Sequence[str], exit_status: int, *, lost: bool = False) -> str:
    """Say what to do about a pull that failed.

    Parameters
    ----------
    words : Sequence[str]
        The last lines of its log.
    exit_status : int
        Its exit status.
    lost : bool
        Whether it has just vanished.

    Returns
    -------
    str
        The remedy.
    """
    text = "\n".join(words)
    for pattern, remedy in _REMEDIES:
        if re.search(pattern, text, re.IGNORECASE):
            return remedy
    if exit_status in (137, 9):
        return "Something killed it, for memory or time: set slurm_image_pull_via_sbatch."
    return _LOST if lost else _OTHERWISE


def _plain(line: str) -> str:
    return "".join(character for character in re.sub(r"\x1b\[[0-9;]*m", "", line) if character.isprintable()).strip()
