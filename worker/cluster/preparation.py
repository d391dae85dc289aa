"""Folders on the cluster, and the repository of job scripts of a site that has one."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from worker.cluster.pull_problems import remedy_for
from worker.cluster.report import Item
from worker.cluster.scripts import script

if TYPE_CHECKING:
    from collections.abc import Mapping

    from worker.cluster.transport import Transport

CLONE_PATIENCE_S = 330.0
"""Patience with git, which is given up after 300 s."""

_SECRET = re.compile(r"://[^/@]*:[^/@]*@")


def make_folders(transport: Transport, folders: Mapping[str, str], *, dry_run: bool = False) -> list[Item]:
    """See to it that folders are there and that files can be written to them, in one round trip.

    Parameters
    ----------
    transport : Transport
        The way to the cluster.
    folders : Mapping[str, str]
        From what a folder is for to its path; a relative one starts at the login's home.
    dry_run : bool
        Whether to make none.

    Returns
    -------
    list of Item
        One for each.

    Raises
    ------
    TransportError
        If the cluster cannot be asked.
    """
    paths = {what: path.removeprefix("~/") for what, path in folders.items()}
    command = script("make_folders", "look" if dry_run else "make", *paths.values())
    answer = transport.run(command).check().text
    said = [line.split("\t") for line in answer.splitlines()]
    return [_folder(what, path, state, why) for what, (path, state, why) in zip(paths, said, strict=True)]


def _folder(what: str, path: str, state: str, why: str) -> Item:
    if state == "there":
        return Item(what, "ok", path)
    if state == "made":
        return Item(what, "changed", f"{path} was made")
    if state == "missing":
        return Item(what, "changed", f"{path} would be made")
    remedy = "Make the folder by hand, or let the account of the cluster write there, or correct the path."
    if re.search(r"space left|quota", why, re.IGNORECASE):
        remedy = remedy_for([why], 1)
    return Item(what, "failed", f"nothing can be written to {path}: {why}", remedy)


def clone_scripts(transport: Transport, repository: str, folder: str, *, dry_run: bool = False) -> Item:
    """Clone a git repository of job scripts, or bring the clone up to date; another folder is left as it is.

    Parameters
    ----------
    transport : Transport
        The way to the cluster.
    repository : str
        Its address, for git on the cluster.
    folder : str
        Where the clone is to be.
    dry_run : bool
        Whether to change nothing.

    Returns
    -------
    Item
        What became of it.

    Raises
    ------
    TransportError
        If the cluster cannot be asked.
    """
    what = "job scripts"
    if _SECRET.search(repository):
        return Item(
            what,
            "failed",
            "slurm_script_repo holds a password, which everybody on the login node could read",
            "Use a deploy key of the cluster's account (ssh), or a git credential helper there.",
        )
    if repository.startswith("-"):
        return Item(what, "failed", f"{repository!r} is not the address of a repository", "Correct slurm_script_repo.")
    folder = folder.removeprefix("~/").rstrip("/")
    command = script("script_repository", "look" if dry_run else "make", repository, folder)
    answer = transport.run(command, timeout_s=CLONE_PATIENCE_S)
    state, _, about = answer.text.strip().partition("\t")
    if state == "current":
        return Item(what, "ok", f"{folder} is at {about} of {repository}")
    if state == "cloned":
        return Item(what, "changed", f"{folder} is a clone of {repository} at {about}")
    if state == "pulled":
        return Item(what, "changed", f"{folder} went from {about.replace('..', ' to ')}")
    if state == "missing":
        return Item(what, "changed", f"{folder} would be a clone of {repository}")
    if state == "foreign":
        other = f"a clone of {about}" if about else "not a clone of it, and not empty"
        return Item(
            what,
            "failed",
            f"{folder} is {other}; it is left as it is",
            f"Move it away, name another slurm_script_path, or clear slurm_script_repo if {repository} is not meant.",
        )
    why = " ".join(answer.error_text.split()) or about or f"exit status {answer.exit_status}"
    return Item(
        what,
        "failed",
        f"{repository} cannot be brought to {folder}: {why}",
        "Try `git clone` by hand with the account of the cluster: it may need a deploy key or a proxy, or has changes.",
    )
