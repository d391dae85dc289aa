"""Step ``import`` for results in place: archived on the storage of the group, and registered by the importer.

::

    plan ──> archive ──> orders ──> wait ... ──> look up ──> annotate, tables, attachments

The step is taken again and again while the importer works, and holds no thread meanwhile. Whatever it does it finds
done when it is taken anew: the folder is recorded before it is written, and renamed into place as a whole; orders are
known by uuids that follow from the task and the attempt, which is recorded before they are placed; what the importer
has made is looked up in OMERO by the path of each file.

Several runs may import the results of one job: the one that had it, and each that somebody starts later. They take
turns by a lease, so that one finds what another has archived, ordered and written.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Final
from uuid import uuid5

from worker.engine.context import Done, NotYet, Outcome, Pause
from worker.engine.importplan import ImportPlan, plan_of, record
from worker.engine.manifest import manifest_of
from worker.engine.origin import job_of, origin_of
from worker.engine.provenance import provenance_of
from worker.engine.steps.bring_in import Staged, bring_in, conclude, import_staged, staged_results, turn_of
from worker.results.about import describe_results
from worker.results.actions import CrateFile
from worker.results.attachments import zip_chunks
from worker.results.inplace.archive import is_archived, write_archive
from worker.results.inplace.arrivals import Arrivals, find_arrivals
from worker.results.inplace.book import OrderBook
from worker.results.inplace.destinations import find_destinations
from worker.results.inplace.division import Share, divide, zarr_of
from worker.results.inplace.doubles import Doubles, describe_doubles
from worker.results.inplace.judging import (
    SETTLING_S,
    Move,
    Verdict,
    describe_failure,
    in_words,
    judge,
    look_again_s,
    may_order_again,
    next_move,
)
from worker.results.inplace.layout import ArchivedFile
from worker.results.inplace.orders import Order, name_orders, order_uuid
from worker.results.model import ImportOptions, SourceFile

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path
    from uuid import UUID

    from omero.gateway import BlitzGateway

    from worker.engine.context import StepContext
    from worker.results.inplace.orders import OrderHistory
    from worker.settings.importer import ImporterSettings

RENEWALS: Final = 1
"""How often orders that a restart has cut short are placed anew without a person."""

NEXT_LOOK_S: Final = 6.0
"""Within this time an importer sees an order: it looks every 5 s."""

TURN_S: Final = 3.0
"""How long an import waits that finds another one at the same results."""

UNFINISHED_S: Final = 600.0
"""How long OMERO may be at an image whose importer was restarted, before the file is ordered once more."""


@dataclass(frozen=True, slots=True)
class _Work:
    """One look at an import in place."""

    context: StepContext
    settings: ImporterSettings
    book: OrderBook
    plan: ImportPlan
    histories: tuple[OrderHistory, ...]
    move: Move
    silent_s: float
    ended_s: float


def import_results(context: StepContext) -> Outcome:
    """Import the results of a job the way that was chosen when its run was accepted.

    Parameters
    ----------
    context : StepContext
        The step's context.

    Returns
    -------
    Outcome
        As of `bring_in` or `import_in_place`. Of a job that failed there is only the log, which needs no storage.
    """
    origin = origin_of(context)
    job = job_of(origin)
    leases, turn = context.resources.leases, uuid5(origin.run_id, f"import/{job['job_id']}")
    if leases.take(turn) is None:
        context.report("Another run is bringing the results of this job into OMERO; waiting for it.")
        return NotYet(datetime.now(UTC) + timedelta(seconds=TURN_S))
    try:
        if context.request.in_place and job["ok"]:
            return import_in_place(context)
        return bring_in(context)
    finally:
        leases.give_back(turn)


def import_in_place(context: StepContext) -> Outcome:
    """Do the next thing about an import in place.

    Parameters
    ----------
    context : StepContext
        The step's context.

    Returns
    -------
    Done
        With the ``objects`` in OMERO, ``notes`` for the person, and ``problems``: what is missing, for which the branch
        fails.
    NotYet
        While the importer is at work.
    """
    origin = origin_of(context)
    job_id = int(job_of(origin)["job_id"])
    settings = context.resources.importer()
    plan = plan_of(context, origin, job_id)
    if not is_archived(plan.layout):
        _archive(context, settings, plan)
    with OrderBook(settings.database_url) as book:
        work = _look(context, settings, book, plan)
        if work.move is Move.WAIT:
            return _wait(work)
        with context.omero() as gateway:
            context.guard()
            return _act(work, gateway, origin)


def _archive(context: StepContext, settings: ImporterSettings, plan: ImportPlan) -> None:
    """Write the results where they stay."""
    staged = staged_results(context)
    options = ImportOptions.from_json(context.request.output)
    files, size_mib = staged.manifest.files, staged.manifest.size_bytes / 2**20
    context.report(f"Writing {len(files)} result files ({size_mib:.1f} MiB) to {plan.folder}.")
    shares = divide(staged.folder, staged.paths, options, registers_zarr=settings.registers_zarr)
    beside = {str(PurePosixPath(path).parent) for share in shares for path in share.paths if not _within(path)}
    made = [CrateFile(f"data/out/{file.path}", file.size_bytes, file.sha256) for file in files]
    about = describe_results(provenance_of(staged.origin), staged.sources, made, plan.layout.metadata.name)
    members: list[tuple[str, Path | bytes]] = [(f"data/out/{path}", staged.folder / path) for path in staged.paths]
    members += about.items()
    write_archive(
        plan.layout,
        settings.base_dir,
        staged.folder,
        [ArchivedFile(file.path, file.size_bytes, file.sha256) for file in files],
        metadata=about[plan.layout.metadata.name],
        about=about,
        log_file=staged.log,
        zip_chunks=(lambda: zip_chunks(members)) if options.zip_to_parent else None,
        beside=beside,
        guard=context.guard,
    )


def _within(path: str) -> bool:
    """Whether a path is inside an OME-Zarr folder, where nothing of ours belongs."""
    return zarr_of(f"{path}/") not in (None, path)


def _look(context: StepContext, settings: ImporterSettings, book: OrderBook, plan: ImportPlan) -> _Work:
    """See how far the importer is, and decide what to do."""
    task_id = context.own_branch.import_task_id
    histories = book.read(plan.uuids(task_id)) if plan.orders else ()
    if plan.given_up:
        # Somebody wants another attempt. Two orders for one file would become two images, so that one which may still
        # be at work is waited for.
        if may_order_again(histories):
            return _Work(context, settings, book, plan, histories, Move.RENEW, 0.0, UNFINISHED_S)
        plan = plan.taken_up()
        record(context, plan)
    waited_s = plan.waited_s(datetime.now(UTC))
    open_orders = [each for each in histories if not judge(each).ended]
    silent_s = min((waited_s, *(each.silent_s for each in open_orders)))
    ended_s = 0.0
    if not open_orders:
        now = time.monotonic()
        ended_s = now - context.resources.ended_at.setdefault(f"{plan.folder}#{plan.attempt}", now)
    move = Move.PLACE
    if plan.orders:
        move = next_move(
            histories,
            silent_s=silent_s,
            timeout_s=context.settings.worker.importer_timeout_s,
            renewable=plan.renewals < RENEWALS,
            ended_s=ended_s,
        )
    fresh = any(each.importers < 2 and each.silent_s < NEXT_LOOK_S for each in histories)
    if move is Move.FINISH and fresh and book.backlog().shared:
        # The other importer on this table may be about to begin what the first has done.
        move = Move.WAIT
    return _Work(context, settings, book, plan, histories, move, silent_s, ended_s)


def _wait(work: _Work) -> NotYet:
    """Look again later."""
    task = work.context.tracker.task(work.context.own_branch.import_task_id)
    if task.status != "IMPORTING":
        work.context.tracker.update_task_status(task.id, "IMPORTING")
    verdicts = [judge(history) for history in work.histories]
    if any(verdict in (Verdict.WAITING, Verdict.OVERTAKEN) for verdict in verdicts):
        state = "waits for the importer"
    elif all(verdict in (Verdict.DONE, Verdict.COPYING) for verdict in verdicts):
        state = "is done; waiting for what another importer may make of it once more"
    elif all(verdict.ended for verdict in verdicts):
        state = "was cut short; waiting for what may still arrive"
    else:
        state = "is at work"
    work.context.report(
        f"The import in place {state} (order {name_orders([history.uuid for history in work.histories])})."
    )
    return NotYet(datetime.now(UTC) + timedelta(seconds=look_again_s(max(work.silent_s, work.ended_s))))


def _act(work: _Work, gateway: BlitzGateway, origin: StepContext) -> Outcome:
    """Place orders, or bring in what has come of them."""
    context, plan = work.context, work.plan
    staged = _archived(context, plan, origin)
    options = ImportOptions.from_json(context.request.output)
    shares = divide(staged.folder, staged.paths, options, registers_zarr=work.settings.registers_zarr)
    paths = [path for share in shares for path in share.paths]
    parts = {path: those for share in shares for path, those in share.parts.items()}
    others = _orders_of_others(work)
    known = plan.attempt or plan.shared or others
    arrivals = find_arrivals(gateway, plan.layout, paths, parts) if known else Arrivals()
    missing = arrivals.missing(paths)
    if missing and work.move in (Move.PLACE, Move.RENEW):
        if _may_still_arrive(work, arrivals):
            return NotYet(datetime.now(UTC) + timedelta(seconds=look_again_s(work.ended_s)))
        wanted = [share.only(missing) for share in shares]
        return _wait_for_others(work, others) or _order(work, gateway, staged, options, wanted)
    if missing and work.move is Move.GIVE_UP and _arriving(work, arrivals):
        return NotYet(datetime.now(UTC) + timedelta(seconds=look_again_s(work.silent_s)))
    in_place = {path: arrivals.images.get(path, ()) for path in paths}
    doubled = describe_doubles(gateway, arrivals, parts)
    return _bring_in(work, gateway, staged, options, in_place, doubled)


def _may_still_arrive(work: _Work, arrivals: Arrivals) -> bool:
    """Whether what was begun may still come to something, although nobody says that it is at work."""
    timeout_s = work.context.settings.worker.importer_timeout_s
    if work.ended_s >= min(UNFINISHED_S, timeout_s):
        return False
    # An importer that is started marks as failed what another one is at, whose images go on arriving.
    age_s = time.time() - arrivals.newest_ms / 1000
    return bool(arrivals.unfinished) or (work.move is Move.RENEW and age_s < min(SETTLING_S, timeout_s))


def _archived(context: StepContext, plan: ImportPlan, origin: StepContext) -> Staged:
    """The results as they lie in the archive: what was staged is not needed any more."""
    layout = plan.layout
    log = layout.log if layout.log.is_file() else None
    sources = tuple(SourceFile(**source) for source in origin.view.step("export").data["sources"])
    return Staged(origin, job_of(origin), layout.results, manifest_of(context), log, sources)


def _orders_of_others(work: _Work) -> list[UUID]:
    """Name the orders for these results that other imports of them have placed."""
    if work.move not in (Move.PLACE, Move.RENEW):
        return []
    ours, marker = work.plan.uuids(work.context.own_branch.import_task_id), work.plan.layout.marker
    return [uuid for uuid in work.book.about(marker) if uuid not in ours]


def _wait_for_others(work: _Work, others: Sequence[UUID]) -> Outcome | None:
    """Wait for orders that other imports of the same results have placed; None if there are none at work."""
    at_work = [each for each in work.book.read(others) if not may_order_again([each])] if others else []
    if not at_work:
        return None
    names = name_orders([each.uuid for each in at_work])
    silent_s = min(each.silent_s for each in at_work)
    if silent_s >= work.context.settings.worker.importer_timeout_s:
        return Pause(
            f"The importer was asked for these results before, and may still be at work (order {names}), although it "
            f"says nothing for {in_words(silent_s)}. Restart it, which ends the order, then resume the run."
        )
    work.context.report(f"Waiting for the importer, which was asked for these results before (order {names}).")
    return NotYet(datetime.now(UTC) + timedelta(seconds=look_again_s(silent_s)))


def _order(
    work: _Work, gateway: BlitzGateway, staged: Staged, options: ImportOptions, shares: Sequence[Share]
) -> NotYet:
    """Give the importer orders for what is not in OMERO."""
    context, plan = work.context, work.plan
    shares = [share for share in shares if share.paths]
    wanted = [share.what for share in shares]
    if work.move is Move.RENEW or not plan.orders:
        plan = plan.next_attempt(wanted, by_itself=work.move is Move.RENEW and not plan.given_up)
        record(context, plan)
    elif not set(plan.orders) <= set(wanted) and not any(history.rows for history in work.histories):
        # What was planned before a crash has arrived meanwhile: nobody is to wait for an order that is never placed.
        plan = replace(plan, orders=tuple(wanted))
        record(context, plan)
    containers = find_destinations(gateway, staged.sources, options, provenance_of(staged.origin), turn_of(context))
    places = {place.kind: place.object_id for place in containers.all}
    task_id = context.own_branch.import_task_id
    orders = [
        Order(
            order_uuid(task_id, share.what, plan.attempt),
            context.request.group_name,
            context.request.user_name,
            share.destination,
            places[share.destination],
            tuple(str(plan.layout.results / path) for path in share.paths),
        )
        for share in shares
        if share.what in plan.orders
    ]
    context.guard()
    work.book.place(orders)
    context.tracker.update_task_status(task_id, "IMPORTING")
    files = sum(len(order.files) for order in orders)
    context.report(f"The importer is asked for {files} files (order {name_orders([order.uuid for order in orders])}).")
    return NotYet(datetime.now(UTC) + timedelta(seconds=look_again_s(0)))


def _arriving(work: _Work, arrivals: Arrivals) -> bool:
    """Whether images still arrive, so that the importer is at work although it says nothing."""
    if all(judge(history).ended for history in work.histories):
        return False
    age_s = time.time() - arrivals.newest_ms / 1000
    return age_s < work.context.settings.worker.importer_timeout_s


def _bring_in(
    work: _Work,
    gateway: BlitzGateway,
    staged: Staged,
    options: ImportOptions,
    in_place: dict[str, tuple[int, ...]],
    doubled: Doubles,
) -> Done:
    """Bring in everything else, and tell what is missing, and what is there too often."""
    context = work.context
    complete = all(in_place.values())
    failure = "" if complete else describe_failure(work.histories, work.silent_s)
    report = import_staged(context, gateway, staged, options, in_place)
    if complete and work.move is Move.GIVE_UP:
        report = replace(
            report,
            notes=(
                *report.notes,
                f"{describe_failure(work.histories, work.silent_s)} All of its images are in OMERO nevertheless.",
            ),
        )
    if failure and report.problems:
        report = replace(report, problems=(failure, *doubled.fragments, *report.problems))
    shared = [str(history.uuid) for history in work.histories if history.importers > 1]
    why = f"Several importers took order {', '.join(shared)}: an admin should run only one." if shared else ""
    if told := " ".join(filter(None, (doubled.copies, why))):
        report = replace(report, notes=(*report.notes, told))
    failed = bool(report.problems)
    if failed and work.plan.orders:
        record(context, replace(work.plan, given_up=True))
    context.tracker.update_task_status(context.own_branch.import_task_id, "IMPORT_FAILED" if failed else "IMPORTED")
    return conclude(context, report)
