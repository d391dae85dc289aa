"""Pulling container images onto the cluster: claimed, detached from our login, verified, renamed into place.

A pull belongs to nobody: whoever looks at its claim (``scripts/pulls.sh``) sees how far it is. So one that was begun
before our connection broke is adopted when we come back, and of two who want the same image, one pulls and both wait.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from worker.cluster.layout import lines_of
from worker.cluster.pull_problems import last_words, remedy_for
from worker.cluster.pulls import PATIENCE_S, ClaimState, Pull, duration, ended, look, present
from worker.cluster.report import Item
from worker.cluster.scripts import program, script
from worker.errors import NotSent, OutcomeUnknown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import PurePosixPath

    from worker.cluster.transport import Transport

PARALLEL = 2
"""Images that are pulled at the same time on a login node, which others use too."""

POLL_MIN_S, POLL_MAX_S = 0.5, 10.0
"""Seconds between two looks at pulls: at first, and when nothing has happened for long."""

OUTAGE_S = 600.0
"""For how long a cluster that does not answer is waited for."""

Answer = TypeVar("Answer")
_CLAIMS: dict[ClaimState, str] = {"queued": "waits for its turn", "pulling": "begins"}


@dataclass(frozen=True, slots=True)
class PullOptions:
    """How images are pulled.

    Parameters
    ----------
    sbatch : tuple of str, optional
        Arguments of sbatch, if a job is to pull each; by default they are pulled on the login node.
    tmpdir : str
        Folder for what a pull needs in between; empty for the runtime's own choice.
    cachedir : str
        Cache of layers; empty for none.
    modules : tuple of str
        Modules to load before the runtime is looked for.
    parallel : int
        How many at the same time on the login node.
    """

    sbatch: tuple[str, ...] | None = None
    tmpdir: str = ""
    cachedir: str = ""
    modules: tuple[str, ...] = ()
    parallel: int = PARALLEL


def start(
    transport: Transport, pulls: Sequence[Pull], options: PullOptions, *, force: bool = False
) -> dict[PurePosixPath, tuple[str, str]]:
    """Claim images and begin to pull them; they go on without us. May be repeated.

    Parameters
    ----------
    transport : Transport
        The way to the cluster.
    pulls : Sequence[Pull]
        The images.
    options : PullOptions
        How they are pulled.
    force : bool
        Whether to replace images that are there.

    Returns
    -------
    dict[PurePosixPath, tuple[str, str]]
        For each ``started``, ``there``, ``busy`` (somebody else pulls it) or ``failed``, and why.

    Raises
    ------
    TransportError
        If the cluster cannot be asked.
    """
    table = "".join(
        f"{address}\t{file}\n" for address, file in zip(_addresses(pulls), lines_of(p.file for p in pulls), strict=True)
    )
    command = script(
        "start_pulls",
        "direct" if options.sbatch is None else "sbatch",
        str(options.parallel),
        "force" if force else "",
        options.tmpdir,
        options.cachedir,
        " ".join(options.modules),
        program("run_pulls"),
        program("pull_image"),
        *(options.sbatch or ()),
    )
    stdin = [table.encode("utf-8", "surrogateescape")]
    answer = transport.run(command, stdin=stdin, timeout_s=PATIENCE_S).check().text
    said = {row[0]: (row[1], row[2]) for row in (line.split("\t") for line in answer.splitlines()) if len(row) == 3}
    return {pull.file: said.get(str(pull.file), ("failed", "the cluster said nothing about it")) for pull in pulls}


def _addresses(pulls: Iterable[Pull]) -> list[str]:
    for pull in pulls:
        if not pull.address.isprintable():
            raise ValueError(f"{pull.address!r} is not an address.")
    return [pull.address for pull in pulls]


def pull_images(
    transport: Transport,
    pulls: Sequence[Pull],
    options: PullOptions,
    *,
    force: bool = False,
    dry_run: bool = False,
    report: Callable[[str], None] = lambda _: None,
) -> list[Item]:
    """See to it that images are on the cluster, and wait until they are, or cannot be.

    Whoever is interrupted meanwhile leaves pulls that go on; the next call waits for them.

    Parameters
    ----------
    transport : Transport
        The way to the cluster.
    pulls : Sequence[Pull]
        The images, each file once.
    options : PullOptions
        How they are pulled.
    force : bool
        Whether to pull what is there anew.
    dry_run : bool
        Whether to change nothing, and say what would be done.
    report : callable
        Told what goes on.

    Returns
    -------
    list of Item
        One for each image, in their order.

    Raises
    ------
    TransportError
        If the cluster does not answer, or not for long while images are pulled.
    """
    states = look(transport, [pull.file for pull in pulls])
    items: dict[PurePosixPath, Item] = {}
    waiting: dict[PurePosixPath, Pull] = {}
    wanted: list[Pull] = []
    for pull in pulls:
        state = states[pull.file]
        if state.going_on:
            report(f"{pull.name}: somebody pulls it already, since {duration(state.since_s)}")
            waiting[pull.file] = pull
        elif state.image == "absent" or force:
            wanted.append(pull)
        else:
            items[pull.file] = present(pull, state)
    if dry_run:
        items |= {pull.file: Item(pull.name, "changed", f"would be pulled from {pull.address}") for pull in wanted}
        items |= {file: Item(pull.name, "ok", f"being pulled to {file}") for file, pull in waiting.items()}
    elif wanted:
        waiting |= _begin(transport, wanted, options, force, items, report)
    if not dry_run:
        _wait(transport, waiting, items, report)
    return [items[pull.file] for pull in pulls]


def _begin(
    transport: Transport,
    wanted: Sequence[Pull],
    options: PullOptions,
    force: bool,
    items: dict[PurePosixPath, Item],
    report: Callable[[str], None],
) -> dict[PurePosixPath, Pull]:
    """Start pulls; give those to wait for."""
    waiting = {}
    where = "in jobs" if options.sbatch is not None else f"on the login node, {options.parallel} at a time"
    report(f"Pulling {len(wanted)} image{'s' if len(wanted) > 1 else ''} {where}.")
    for pull, (outcome, why) in zip(
        wanted, _patiently(lambda: start(transport, wanted, options, force=force), report).values(), strict=True
    ):
        if outcome == "failed":
            items[pull.file] = Item(
                pull.name, "failed", f"cannot be pulled to {pull.file}: {why}", remedy_for([why], 1)
            )
        else:
            waiting[pull.file] = pull
    return waiting


def _wait(
    transport: Transport,
    waiting: Mapping[PurePosixPath, Pull],
    items: dict[PurePosixPath, Item],
    report: Callable[[str], None],
) -> None:
    """Look again and again until nobody pulls any more."""
    left, told = dict(waiting), dict.fromkeys(waiting, "")
    pause_s = POLL_MIN_S
    while left:
        states = _patiently(lambda: look(transport, list(left)), report)
        quiet = True
        for file, state in states.items():
            pull = left[file]
            if not state.going_on:
                items[file] = ended(pull, state)
                report(f"{pull.name}: {items[file].detail}")
                del left[file]
            elif (news := last_words(state.words[-1:]) or _CLAIMS[state.claim]) != told[file]:
                told[file], quiet = news, False
                report(f"{pull.name}: {news} ({duration(state.since_s)})")
        pause_s = min(pause_s * 1.5, POLL_MAX_S) if quiet else POLL_MIN_S
        if left:
            time.sleep(pause_s)


def _patiently(
    ask: Callable[[], dict[PurePosixPath, Answer]], report: Callable[[str], None]
) -> dict[PurePosixPath, Answer]:
    """Ask until there is an answer; pulls go on while we have no connection."""
    deadline, pause_s = time.monotonic() + OUTAGE_S, POLL_MIN_S
    while True:
        try:
            return ask()
        except (NotSent, OutcomeUnknown) as error:
            if time.monotonic() > deadline:
                raise
            report(f"The cluster does not answer, pulls go on: {error.message}")
        time.sleep(pause_s)
        pause_s = min(pause_s * 2, POLL_MAX_S)
