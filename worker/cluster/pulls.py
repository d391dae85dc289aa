"""Images that are to be on a cluster: whether they are, and how far the pulls of those are that are not."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, cast

from worker.cluster.layout import lines_of
from worker.cluster.pull_problems import last_words, remedy_for
from worker.cluster.report import Item
from worker.cluster.scripts import script

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import PurePosixPath

    from worker.cluster.transport import Transport

PATIENCE_S = 100.0
"""Patience with our scripts, which give up on Slurm's commands after 60 s."""

ImageState = Literal["absent", "whole", "spoilt"]
ClaimState = Literal["none", "queued", "pulling", "failed", "lost"]


@dataclass(frozen=True, slots=True)
class Pull:
    """An image that is to be on the cluster.

    Parameters
    ----------
    name : str
        What it is, for persons.
    address : str
        Where it comes from, for ``apptainer pull``.
    file : PurePosixPath
        Where it is to be.
    """

    name: str
    address: str
    file: PurePosixPath


@dataclass(frozen=True, slots=True)
class PullState:
    """How an image, and the pull of it, are.

    Parameters
    ----------
    image : {"absent", "whole", "spoilt"}
        What is in place.
    size_bytes : int
        Its size.
    claim : {"none", "queued", "pulling", "failed", "lost"}
        How the pull is. A lost one has given no sign of life for a minute.
    exit_status : int
        Of one that failed.
    since_s : int
        Seconds since it was claimed.
    words : tuple of str
        What is wrong with the image, then the last lines of the pull.
    """

    image: ImageState
    size_bytes: int = 0
    claim: ClaimState = "none"
    exit_status: int = 0
    since_s: int = 0
    words: tuple[str, ...] = ()

    @property
    def going_on(self) -> bool:
        """Whether somebody pulls it."""
        return self.claim in ("queued", "pulling")


def look(transport: Transport, files: Sequence[PurePosixPath]) -> dict[PurePosixPath, PullState]:
    """See which images are in place and how far pulls are, in one round trip.

    Parameters
    ----------
    transport : Transport
        The way to the cluster.
    files : Sequence[PurePosixPath]
        The images.

    Returns
    -------
    dict[PurePosixPath, PullState]
        For each.

    Raises
    ------
    TransportError
        If the cluster cannot be asked.
    """
    if not files:
        return {}
    lines = "".join(f"{line}\n" for line in lines_of(files)).encode("utf-8", "surrogateescape")
    answer = transport.run(script("look_at_pulls"), stdin=[lines], timeout_s=PATIENCE_S).check().text
    states: dict[PurePosixPath, PullState] = {}
    for part in re.split(r"^== ", answer, flags=re.MULTILINE)[1:]:
        head, *words = part.splitlines()
        number, image, size, claim, status, since = head.split()
        states[files[int(number)]] = PullState(
            cast("ImageState", image),
            int(size),
            cast("ClaimState", claim),
            int(status),
            int(since),
            tuple(word.removeprefix("|") for word in words),
        )
    return states


def as_it_is(pull: Pull, state: PullState, known: str) -> Item:
    """Say how an image is, without doing anything about it.

    Parameters
    ----------
    pull : Pull
        The image.
    state : PullState
        How it is.
    known : str
        What is said of it if all is well, or if another version is there; empty if there is none.

    Returns
    -------
    Item
        The line.
    """
    if state.image == "whole":
        return Item(pull.name, "ok", known or str(pull.file))
    if state.image == "spoilt":
        return present(pull, state)
    if state.going_on:
        detail = f"{pull.file.name} is being pulled, since {duration(state.since_s)}"
        return Item(pull.name, "warning", detail, "Wait; `omero-worker cluster init` shows how far it is.")
    if state.claim != "none":
        return ended(pull, state)
    if known:
        detail = f"{pull.file.name} is not there; {known}"
        return Item(pull.name, "warning", detail, "Run `omero-worker cluster init` for the version of the settings.")
    return Item(pull.name, "failed", f"no image {pull.file}", "Run `omero-worker cluster init`.")


def present(pull: Pull, state: PullState) -> Item:
    """Say what is in place, and was there before us.

    Parameters
    ----------
    pull : Pull
        The image.
    state : PullState
        How it is.

    Returns
    -------
    Item
        The line.
    """
    if state.image == "whole":
        return Item(pull.name, "ok", f"{pull.file}, {_amount(state.size_bytes)}")
    return Item(
        pull.name,
        "failed",
        f"{pull.file} is there, but {last_words(state.words[:1])}",
        "Look at it, then remove it, or replace it with `omero-worker cluster init --force`.",
    )


def ended(pull: Pull, state: PullState) -> Item:
    """Say how a pull has ended.

    Parameters
    ----------
    pull : Pull
        The image.
    state : PullState
        How it is.

    Returns
    -------
    Item
        The line.
    """
    if state.claim in ("failed", "lost"):
        lost = state.claim == "lost"
        why = last_words(state.words) or ("nobody works at it any more" if lost else f"exit status {state.exit_status}")
        detail = f"cannot be pulled from {pull.address}: {why.rstrip('.')}"
        return Item(pull.name, "failed", detail, remedy_for(state.words, state.exit_status, lost=lost))
    if state.image == "whole":
        return Item(pull.name, "changed", f"pulled from {pull.address}: {pull.file}, {_amount(state.size_bytes)}")
    if state.image == "spoilt":
        return present(pull, state)
    return Item(pull.name, "failed", f"{pull.file} was pulled, and is gone", "Run it again.")


def _amount(size_bytes: int) -> str:
    for unit, size in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if size_bytes >= size:
            return f"{size_bytes / size:.1f} {unit}"
    return f"{size_bytes} bytes"


def duration(seconds: int) -> str:
    """Write a span of time for persons.

    Parameters
    ----------
    seconds : int
        Its length.

    Returns
    -------
    str
        Seconds or minutes.
    """
    return f"{seconds} s" if seconds < 120 else f"{seconds // 60} min"
