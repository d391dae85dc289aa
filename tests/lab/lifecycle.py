"""Bring a lab up, take it down, and say how it is."""

from __future__ import annotations

import fcntl
import os
import shutil
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.lab.description import CHECKOUT, Lab, LabNotThere
from tests.lab.parts import LabContext, Part, load_parts
from tests.lab.ports import PortBlock, find_block

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from tests.lab.processes import Process

MARKER = ".omero-worker-lab"
"""A file that every base directory has; nothing without it is ever wiped."""


class LabOfAnotherCheckout(RuntimeError):
    """The running lab was started from another working tree, and is not ours to touch."""


class NotALab(RuntimeError):
    """The base directory holds something else than a lab."""


@dataclass(frozen=True, slots=True)
class Started:
    """What :func:`up` has done.

    Parameters
    ----------
    lab : Lab
        The running lab.
    parts : tuple of tuple
        Name of each part that was started now, and the seconds it took; empty if everything ran already.
    """

    lab: Lab
    parts: tuple[tuple[str, float], ...]


def up(
    base: Path,
    *,
    fresh: bool = False,
    parts: Sequence[Part] | None = None,
    report: Callable[[str], None] = lambda _: None,
) -> Started:
    """Start every part that does not run.

    Parameters
    ----------
    base : Path
        The lab's directory.
    fresh : bool
        Stop everything and wipe the directory first.
    parts : sequence of Part, optional
        What to start; by default every part there is.
    report : callable
        Called with a line of text before each part.

    Returns
    -------
    Started
        The lab, and what was started.

    Raises
    ------
    LabOfAnotherCheckout
        If a lab of another working tree runs there.
    PartFailed
        If a part could not be started; the parts that were started now are stopped again.
    """
    parts = load_parts() if parts is None else parts
    with _exclusive(base), _readable_files():
        check_owner(base)
        if fresh:
            _down(base, parts, report)
            wipe(base)
        if not is_running(base):
            # Jobs of a cluster whose daemons died, for example.
            _down(base, parts, report)
        base.mkdir(parents=True, exist_ok=True)
        (base / MARKER).touch()
        ctx = _context(base)
        started: list[tuple[str, float]] = []
        touched: list[Part] = []
        try:
            for part in parts:
                if part.status(ctx) == "running" and part.name in ctx.facts["parts"]:
                    continue
                report(f"starting {part.name}")
                touched.append(part)
                part.stop(ctx)
                began = time.monotonic()
                ctx.facts.update(part.start(ctx))
                ctx.facts["parts"] = tuple(dict.fromkeys([*ctx.facts["parts"], part.name]))
                started.append((part.name, time.monotonic() - began))
        except BaseException:
            for part in reversed(touched):
                part.stop(ctx)
            raise
        lab = Lab.from_facts(ctx.facts)
        if started:
            lab.save()
        return Started(lab, tuple(started))


def down(
    base: Path,
    *,
    unless_used: bool = False,
    parts: Sequence[Part] | None = None,
    report: Callable[[str], None] = lambda _: None,
) -> tuple[str, ...]:
    """Stop every part.

    Parameters
    ----------
    base : Path
        The lab's directory; what is in it stays.
    unless_used : bool
        Do nothing if somebody tests against it (:func:`in_use`).
    parts : sequence of Part, optional
        What to stop; by default every part there is.
    report : callable
        Called with a line of text before each part.

    Returns
    -------
    tuple of str
        Names of the processes that ran.

    Raises
    ------
    LabOfAnotherCheckout
        If the lab there was started from another working tree.
    """
    with _exclusive(base):
        check_owner(base)
        # Asked under the lock: whoever comes later waits in up() until we are done, and finds the lab stopped.
        if unless_used and is_in_use(base):
            return ()
        return _down(base, load_parts() if parts is None else parts, report)


def _down(base: Path, parts: Sequence[Part], report: Callable[[str], None]) -> tuple[str, ...]:
    ctx = LabContext(base=base, checkout=CHECKOUT, ports=_last_block(base) or PortBlock(0))
    ran = tuple(process.name for process in ctx.register.living())
    for part in reversed(parts):
        if ran:
            report(f"stopping {part.name}")
        part.stop(ctx)
    leftover = [process.name for process in ctx.register.living()]
    ctx.end(*leftover)
    return ran


def statuses(base: Path, *, parts: Sequence[Part] | None = None) -> dict[str, str]:
    """Say of each part how it is.

    Parameters
    ----------
    base : Path
        The lab's directory.
    parts : sequence of Part, optional
        What to ask; by default every part there is.

    Returns
    -------
    dict
        Status by the part's name: ``"running"``, or what is not.
    """
    parts = load_parts() if parts is None else parts
    ctx = LabContext(base=base, checkout=CHECKOUT, ports=PortBlock(0))
    return {part.name: part.status(ctx) for part in parts}


def running_processes(base: Path) -> list[Process]:
    """Return the processes of the lab in this directory that are alive."""
    return LabContext(base=base, checkout=CHECKOUT, ports=PortBlock(0)).register.living()


def is_running(base: Path) -> bool:
    """Whether any process of a lab in this directory is alive."""
    return bool(running_processes(base))


def check_owner(base: Path) -> None:
    """Make sure that a running lab is ours.

    Parameters
    ----------
    base : Path
        The lab's directory.

    Raises
    ------
    LabOfAnotherCheckout
        If it runs, and was started from another working tree.
    NotALab
        If the directory holds something else.
    """
    if base.exists() and any(base.iterdir()) and not (base / MARKER).exists():
        raise NotALab(f"{base} is not empty and not a lab; choose another directory with OMERO_WORKER_LAB")
    try:
        lab = Lab.load(base)
    except LabNotThere:
        return
    if lab.checkout != CHECKOUT and is_running(base):
        raise LabOfAnotherCheckout(
            f"the lab in {base} was started from {lab.checkout}, and still runs; take it down there "
            "('make lab-down'), or choose another directory for this one with OMERO_WORKER_LAB"
        )


def wipe(base: Path) -> None:
    """Remove the directory of a lab that does not run."""
    if (base / MARKER).exists():
        shutil.rmtree(base)


def _context(base: Path) -> LabContext:
    """Return the context of the running lab, or of a new one with ports that nobody uses."""
    last = _last_block(base)
    if last and is_running(base):
        block, facts = last, Lab.load(base).as_facts()
    else:
        block, facts = find_block(last), {"parts": ()}
    facts |= {"base": base, "checkout": CHECKOUT, "ports": block.as_mapping()}
    return LabContext(base=base, checkout=CHECKOUT, ports=block, facts=facts)


def _last_block(base: Path) -> PortBlock | None:
    """Return the ports that the lab in this directory had last."""
    try:
        return PortBlock.of(Lab.load(base).ports)
    except LabNotThere:
        return None


@contextmanager
def _exclusive(base: Path) -> Iterator[None]:
    """Let nobody else start or stop the lab of this directory meanwhile."""
    with _lock_file(base, "lock") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextmanager
def _readable_files() -> Iterator[None]:
    """Make files as everybody may read them, whatever the caller's umask: daemons run as several accounts."""
    before = os.umask(0o022)
    try:
        yield
    finally:
        os.umask(before)


@contextmanager
def in_use(base: Path) -> Iterator[None]:
    """Say that somebody tests against the lab, so that no other test run takes it down meanwhile."""
    with _lock_file(base, "users") as lock:
        fcntl.flock(lock, fcntl.LOCK_SH)
        yield


def is_in_use(base: Path) -> bool:
    """Whether anybody tests against the lab."""
    with _lock_file(base, "users") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        return False


@contextmanager
def _lock_file(base: Path, kind: str) -> Iterator[int]:
    """Open a lock file beside the base directory, which may itself be wiped."""
    base.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(base.with_name(f".{base.name}.{kind}"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        yield descriptor
    finally:
        os.close(descriptor)
