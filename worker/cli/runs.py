"""``omero-worker runs``: what became of each run."""

from __future__ import annotations

import getpass
import json
import time
from dataclasses import asdict
from pathlib import Path  # noqa: TC003 - typer reads it
from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID

import typer
from rich.console import Console
from rich.table import Table

from worker.cli.run_report import ReportFormat, write_report
from worker.engine import interventions
from worker.engine.assembly import open_record
from worker.engine.beat import service_alive
from worker.engine.children import children_of, results_of
from worker.engine.circuits import what_does_not_answer
from worker.engine.view import view_of
from worker.errors import RequestError

if TYPE_CHECKING:
    from worker.engine.assembly import Record

app = typer.Typer(no_args_is_help=True)
RunId = Annotated[UUID, typer.Argument(help="The run's uuid.")]
By = Annotated[str | None, typer.Option("--by", help="Who wants it, for the record; by default whoever types it.")]
Wait = Annotated[bool, typer.Option("--wait", help="Wait until the run has ended.")]
TimeoutS = Annotated[float, typer.Option("--timeout", min=0, help="How many seconds to wait at most.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]


@app.command("list")
def list_runs(
    user: Annotated[int | None, typer.Option(help="Only the runs of the OMERO user with this id.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many, the newest first.")] = 50,
    as_json: AsJson = False,
) -> None:
    """List runs, the newest first."""
    with open_record() as record:
        rows = record.reader.list_runs(user=user, limit=limit)
    if as_json:
        _print_json([asdict(row) for row in rows])
        return
    table = Table("Run", "Workflow", "User", "Status", "Progress", "Started", "Message")
    for row in rows:
        started = row.created_at.strftime("%Y-%m-%d %H:%M:%S")
        table.add_row(
            str(row.run_id),
            row.main_task_name or row.name,
            str(row.user),
            row.status,
            row.progress,
            started,
            row.message,
        )
    Console().print(table)


@app.command("show")
def show(run_id: RunId, as_json: AsJson = False) -> None:
    """Show one run: its steps, its jobs and what they led to."""
    with open_record() as record:
        picture = describe_run(record, run_id)
    if as_json:
        _print_json(picture)
        return
    console = Console(soft_wrap=True)
    console.print(f"Run {run_id}: {picture['status']}", style="bold", highlight=False)
    console.print(str(picture["description"]), markup=False, highlight=False)
    if picture["message"]:
        console.print(str(picture["message"]), style="red", markup=False, highlight=False)
    tasks = Table("Task", "Version", "State", "Progress", "Slurm jobs", title="Tasks", title_justify="left")
    for task in picture["tasks"]:
        tasks.add_row(
            task["name"],
            task["version"],
            f"{task['state']} (job {task['status']})" if task["jobs"] else task["state"],
            str(task["progress"] or ""),
            " ".join(str(job) for job in task["jobs"]),
        )
    console.print(tasks)
    for task in picture["tasks"]:
        for number, earlier in enumerate(task["earlier_attempts"], 1):
            console.print(f"{task['name']}, attempt {number}: {earlier['reason']}", markup=False, highlight=False)
    table = Table("Step", "State", "Attempts failed", "Note", title="Steps", title_justify="left")
    for step in picture["steps"]:
        table.add_row(step["name"], step["state"], str(step["attempts"]), step["note"])
    console.print(table)
    if picture["batches"]:
        batches = Table("Batch", "Run", "Status", "Progress", "Message", title="Batches", title_justify="left")
        for batch in picture["batches"]:
            batches.add_row(
                f"{batch['number']} of {batch['total']}",
                batch["run_id"],
                batch["status"],
                batch["progress"],
                batch["message"].partition("\n")[0],
            )
        console.print(batches)
    if picture["objects"]:
        objects = Table("Kind", "Id", "Name", title="In OMERO", title_justify="left")
        for item in picture["objects"]:
            objects.add_row(item["kind"], str(item["object_id"]), item["name"])
        console.print(objects)


def describe_run(record: Record, run_id: UUID) -> dict[str, Any]:
    """Everything that is worth telling about a run, as plain data.

    Parameters
    ----------
    record : Record
        The record of runs.
    run_id : UUID
        The run.

    Returns
    -------
    dict
        ``run_id, status, description, message, user, group, parent, tasks[], steps[], batches[], objects[]``;
        ``parent`` is the run whose batch it is, ``batches`` are the runs into which its own selection was split, and
        their objects are its own.

    Raises
    ------
    RunNotFound
        If there is no such run.
    """
    row = record.reader.run(run_id)
    run = record.tracker.run(run_id)
    view = view_of(run)
    tasks = [record.tracker.task(task_id) for task_id in run.tasks]
    return {
        "run_id": str(run_id),
        "status": row.status,
        "description": run.description,
        "message": run.error_message
        or run.paused_reason
        or ("" if run.ended else " ".join(what_does_not_answer(record.database))),
        "user": run.user,
        "group": run.group,
        "tasks": [
            {
                "task_id": str(task.id),
                "name": task.task_name,
                "version": task.task_version,
                "state": task.state,
                "status": task.status,
                "progress": task.progress,
                "jobs": task.job_ids,
                "attempt": task.attempt,
                "earlier_attempts": task.earlier_attempts,
                "flags": task.flags,
            }
            for task in tasks
        ],
        "steps": [
            {
                "name": name,
                "state": step.progress.value,
                "attempts": step.attempts,
                "note": step.message if step.progress.value != "done" else "",
            }
            for name, step in view.steps.items()
        ],
        "parent": str(row.parent_id) if row.parent_id else None,
        "batches": [
            {
                "number": child.batch_index,
                "total": child.batch_total,
                "run_id": str(child.run_id),
                "status": child.status,
                "progress": child.progress,
                "message": child.message,
            }
            for child in record.reader.batches(run_id)
        ],
        "objects": results_of(run, children_of(record.tracker, run).values())[0],
    }


@app.command("report")
def report(
    run_id: RunId,
    form: Annotated[ReportFormat, typer.Option("--format", "-f", help="How to write it.")] = ReportFormat.MARKDOWN,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Where to write it; of an RO-Crate a new folder, or a name with .zip."),
    ] = None,
) -> None:
    """Report what a run was: images, analysis, values, image, cluster, results, and what nobody knows."""
    with open_record() as record:
        write_report(record, run_id, form, output)


@app.command("events")
def events(run_id: RunId, as_json: AsJson = False) -> None:
    """List the events of one run and its tasks, in the order in which they were recorded."""
    with open_record() as record:
        rows = record.reader.events(run_id)
    if as_json:
        _print_json([asdict(row) for row in rows])
        return
    console = Console(soft_wrap=True)
    for row in rows:
        subject = row.task_name or "run"
        data = json.dumps(row.data, ensure_ascii=False, default=str)
        console.print(
            f"{row.position:>6}  {row.at:%Y-%m-%d %H:%M:%S.%f}  {subject:<28} {row.name:<20} {data}",
            markup=False,
            highlight=False,
        )


@app.command("cancel")
def cancel(run_id: RunId, wait: Wait = False, timeout_s: TimeoutS = 300.0, by: By = None) -> None:
    """Cancel a run: its jobs are taken off the cluster, and then its data there."""
    with open_record() as record:
        typer.echo(interventions.cancel(record.tracker, run_id, by=by or _who()))
        if wait:
            typer.echo(_wait_for_end(record, run_id, timeout_s))
        elif not record.tracker.run(run_id).ended:
            _say_who_does_it(record)


@app.command("resume")
def resume(run_id: RunId) -> None:
    """Resume a run that is paused."""
    with open_record() as record:
        typer.echo(interventions.resume(record.tracker, run_id))
        _say_who_does_it(record)


@app.command("retry")
def retry(
    run_id: RunId,
    start: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="STEP",
            help="The step to begin with: export, submit, watch, fetch or import, of all analyses that failed, "
            "or of one of them, such as submit/1. By default, the steps that failed.",
        ),
    ] = None,
    by: By = None,
) -> None:
    """Let a run go on that has failed or was cancelled, from the step that failed or an earlier one."""
    with open_record() as record:
        typer.echo(interventions.retry(record.tracker, run_id, by=by or _who(), start=start))
        _say_who_does_it(record)


def _who() -> str:
    """Who types this command, for the record."""
    return f"{getpass.getuser()} (command line)"


def _say_who_does_it(record: Record) -> None:
    if not service_alive(record.database):
        typer.echo("No engine service is alive: it is done once 'omero-worker serve' is started.", err=True)


def _wait_for_end(record: Record, run_id: UUID, timeout_s: float) -> str:
    """Wait until a run has ended; return how.

    Raises
    ------
    RequestError
        If it has not in time.
    """
    deadline = time.monotonic() + timeout_s
    while True:
        run = record.tracker.run(run_id)
        if run.ended:
            return f"Run {run_id} has ended. {run.error_message}".strip()
        if time.monotonic() > deadline:
            raise RequestError(
                f"Run {run_id} has not ended within {timeout_s:g} s.",
                remedy=f"See how far it is: omero-worker runs show {run_id}",
            )
        time.sleep(0.5)


def _print_json(data: object) -> None:
    typer.echo(json.dumps(data, indent=2, ensure_ascii=False, default=str))
