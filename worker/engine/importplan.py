"""How the results of a job come into OMERO in place: what is recorded of it before anything is done."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from worker.engine.manifest import manifest_of
from worker.results.inplace.archive import find_archive, is_archived
from worker.results.inplace.layout import ArchivedFile, ArchiveLayout, choose_folder
from worker.results.inplace.orders import name_orders, order_uuid
from worker.results.inplace.storage import storage

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from uuid import UUID

    from worker.engine.context import StepContext
    from worker.history.domain import Task


@dataclass(frozen=True, slots=True)
class ImportPlan:
    """The plan of one task.

    Parameters
    ----------
    job_id : int
        The job whose results they are; another job of the task gets a plan of its own.
    results : str
        Digest of what was fetched; if that was fetched anew and is different, it gets a plan of its own as well.
    folder : str
        Where the results stay: ``<folder of the group>/.analyzed/<run uuid>/<YYYYMMDD_HHMMSS>``.
    attempt : int
        How often the importer was given orders; they are known by this number.
    orders : tuple of str
        What it was given this time: ``images``, ``labels``.
    since : str
        From when on its silence counts (ISO 8601).
    renewals : int
        How often orders were placed anew by themselves since a person last looked at it.
    given_up : bool
        Whether the person was told that it failed: if the step is taken once more, somebody wants another attempt.
    shared : bool
        Whether an earlier import has written the folder, so that images may have been made of what is in it.
    """

    job_id: int
    results: str
    folder: str
    attempt: int = 0
    orders: tuple[str, ...] = ()
    since: str = ""
    renewals: int = 0
    given_up: bool = False
    shared: bool = False

    @property
    def layout(self) -> ArchiveLayout:
        """Where everything is in the folder."""
        return ArchiveLayout(Path(self.folder), self.job_id)

    def uuids(self, task_id: UUID) -> tuple[UUID, ...]:
        """Name the orders of the attempt."""
        return tuple(order_uuid(task_id, what, self.attempt) for what in self.orders)

    def waited_s(self, now: datetime) -> float:
        """How long the importer has been waited for; counted anew when a person has retried the import."""
        return max(0.0, (now - datetime.fromisoformat(self.since)).total_seconds()) if self.since else 0.0

    def next_attempt(self, orders: Iterable[str], *, by_itself: bool) -> ImportPlan:
        """Plan to give the importer other orders."""
        return replace(
            self,
            attempt=self.attempt + 1,
            orders=tuple(orders),
            since=datetime.now(UTC).isoformat(),
            renewals=self.renewals + 1 if by_itself else 0,
            given_up=False,
        )

    def taken_up(self) -> ImportPlan:
        """Plan to go on waiting for orders that were given up."""
        return replace(self, since=datetime.now(UTC).isoformat(), renewals=0, given_up=False)

    def to_json(self) -> dict[str, Any]:
        """Give the plan as JSON values."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> ImportPlan:
        """Read what `to_json` gave."""
        return cls(**{**data, "orders": tuple(data.get("orders", ()))})


def plan_of(context: StepContext, origin: StepContext, job_id: int) -> ImportPlan:
    """Find the plan of an import that begins, or make one: the folder must be known before anything is written.

    Parameters
    ----------
    context : StepContext
        The step's context.
    origin : StepContext
        The step, seen from where the job was made.
    job_id : int
        The job.

    Returns
    -------
    ImportPlan
        The plan, recorded.

    Raises
    ------
    SettingsError
        If the group has no folder for results.
    """
    task = context.tracker.task(context.own_branch.import_task_id)
    if task.state == "CREATED":
        context.tracker.start_task(task.id)
    recorded, results = task.import_plan, _digest(context)
    known = None
    if recorded and (recorded["job_id"], recorded["results"]) == (job_id, results):
        known = ImportPlan.from_json(recorded)
        if is_archived(known.layout):
            return known
    request = context.request
    group_folder = context.resources.importer().group_folder(request.group_name, request.group_id)
    files = [ArchivedFile(file.path, file.size_bytes, file.sha256) for file in manifest_of(context).files]
    # What was imported before has its place in OMERO by its path there: the same place makes no second image.
    found = find_archive(group_folder, origin.run_id, job_id, files)
    with storage(group_folder, request.group_name):
        if known and not found and not known.layout.folder.exists():
            return known
        # Local time: it is a name that people read.
        folder = found or choose_folder(group_folder, origin.run_id, datetime.now().astimezone(), _taken(context))
    plan = ImportPlan(job_id, results, str(folder), shared=found is not None)
    if known:
        # Planned, but not written before another import has archived them, or something else, in this second.
        plan = replace(known, folder=plan.folder, shared=plan.shared)
    elif recorded:
        # Its orders must have other names than those for the results before.
        plan = replace(plan, attempt=int(recorded["attempt"]))
    record(context, plan)
    return plan


def waiting_of(task: Task) -> str:
    """Say, from the record alone, what a task waits for that imports in place.

    Parameters
    ----------
    task : Task
        The task.

    Returns
    -------
    str
        Which orders the importer has, and since when; empty if it has none.
    """
    if task.status != "IMPORTING" or not task.import_plan:
        return ""
    plan = ImportPlan.from_json(task.import_plan)
    # Not for how long: whoever follows a run would be told anew each second.
    since = f"{datetime.fromisoformat(plan.since).astimezone():%H:%M}" if plan.since else ""
    return f"waiting for the importer since {since}, order {name_orders(plan.uuids(task.id))}" if plan.orders else ""


def record(context: StepContext, plan: ImportPlan) -> None:
    """Record a plan.

    Parameters
    ----------
    context : StepContext
        The step's context.
    plan : ImportPlan
        The plan.
    """
    context.tracker.plan_import(context.own_branch.import_task_id, plan.to_json())


def _digest(context: StepContext) -> str:
    """Tell results that were fetched from others, without reading the list of a large number."""
    fetched = context.view.step(context.own_branch.step("fetch")).data
    listed = fetched.get("manifest") or fetched.get("files")
    return hashlib.sha256(json.dumps(listed, sort_keys=True).encode()).hexdigest()


def _taken(context: StepContext) -> list[str]:
    """Folders of the other jobs of the run."""
    tasks = [context.tracker.task(branch.import_task_id) for branch in context.view.branches]
    return [str(task.import_plan["folder"]) for task in tasks if task.import_plan]
