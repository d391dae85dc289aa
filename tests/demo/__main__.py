"""``python -m tests.demo``: select, run, watch, ask OMERO again, and say what happened."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.live import Live
from rich.table import Table

from tests.demo.story import RunStory, tell
from tests.demo.verdict import Verdict, ask, draw_overlay
from tests.lab import samples
from tests.lab.description import CHECKOUT, Lab
from tests.lab.omero.images import import_image
from tests.lab.person import RunningScript, ScriptOutcome, logged_in, start_script
from worker.engine.assembly import Record, open_record

if TYPE_CHECKING:
    from uuid import UUID

    from omero.gateway import BlitzGateway

USER = "alice"
OUTPUT = CHECKOUT / "var" / "demo"


def main() -> int:
    """Run the demo; exit status 0 only if OMERO itself holds the results."""
    console = Console()
    lab = Lab.load()
    environ = {str(name): str(value) for name, value in lab.other["worker_environment"].items()}
    started = time.monotonic()
    with open_record(environ) as record:
        with logged_in(lab, USER) as gateway:
            dataset_id, sources = import_samples(gateway)
            console.print(f"{USER} has imported {len(sources)} micrographs into dataset {dataset_id} and presses Run.")
            before = {row.run_id for row in record.reader.list_runs(limit=1000)}
            script = start_script(gateway, dialog(lab, dataset_id))
            run_id, outcome = watch(console, record, script, before)
        if run_id is None:
            console.print(f"The script did not start a run. It says: {outcome.message}\n{outcome.stderr}", markup=False)
            return 1
        story = tell(record, run_id)
    verdict = ask(lab, USER, story.objects, sources)
    if verdict.labels is not None:
        draw_overlay(OUTPUT / "overlay.png", verdict.labels)
    seconds = time.monotonic() - started
    write_summary(story, verdict, outcome, seconds)
    report(console, story, verdict, outcome, environ)
    return 0 if story.status == "DONE" and not verdict.problems and outcome.exit_status == 0 else 1


def import_samples(gateway: BlitzGateway) -> tuple[int, list[int]]:
    """Import the sample micrograph, whole and in two crops, into a new dataset.

    Parameters
    ----------
    gateway : BlitzGateway
        An ordinary user's connection.

    Returns
    -------
    tuple of int and list of int
        The dataset, and the images; the whole micrograph, whose truth is known, comes first.
    """
    from omero.gateway import DatasetWrapper
    from omero.model import DatasetI

    dataset = DatasetWrapper(gateway, DatasetI())
    dataset.setName("Nuclei")
    dataset.save()
    whole = samples.nuclei_image()
    height, width = whole.shape
    crops = {
        "nuclei.tif": whole,
        "nuclei top left.tif": whole[: height // 2, : width // 2],
        "nuclei bottom right.tif": whole[height // 2 :, width // 2 :],
    }
    ids = [import_image(gateway, crop, name, dataset_id=dataset.getId()) for name, crop in crops.items()]
    return int(dataset.getId()), ids


def dialog(lab: Lab, dataset_id: int) -> dict[str, object]:
    """What the person fills in."""
    return {
        "Data_Type": "Dataset",
        "IDs": [dataset_id],
        "E-mail": False,
        "Use_ZARR_Format": True,
        "OME-Zarr_version": "0.4",
        "Select how to import your results (one or more)": True,
        "1) Zip attachment to parent": False,
        "2) Attach to original images": False,
        "3a) Import into NEW Dataset": "Nuclei labels",
        "4) Upload result CSVs as OMERO tables": True,
        "nuclei": True,
        "nuclei_Version": lab.nuclei_version,
    }


def watch(
    console: Console, record: Record, script: RunningScript, before: set[UUID]
) -> tuple[UUID | None, ScriptOutcome]:
    """Show how far the run is until the script has ended."""
    run_id: UUID | None = None
    with Live(console=console, refresh_per_second=4) as live:

        def look() -> None:
            nonlocal run_id
            if run_id is None:
                new = [row.run_id for row in record.reader.list_runs(limit=20) if row.run_id not in before]
                run_id = new[0] if new else None
            if run_id is not None:
                live.update(progress_table(tell(record, run_id)))

        outcome = script.wait(each=look)
        look_again = [row.run_id for row in record.reader.list_runs(limit=20) if row.run_id not in before]
        run_id = run_id or (look_again[0] if look_again else None)
        if run_id is not None:
            live.update(progress_table(tell(record, run_id), outcome.message))
    console.print()
    return run_id, outcome


def progress_table(story: RunStory, message: str = "") -> Table:
    """The steps and tasks of a run so far."""
    at_work = [f"{task['name']}: {task['status']} {task['progress'] or ''}" for task in story.tasks if task["jobs"]]
    caption = message or "; ".join(at_work)
    table = Table("Step", "State", "Seconds", title=story.status, caption=caption, min_width=72)
    for step in story.steps:
        table.add_row(step.name, step.state, "" if step.seconds is None else f"{step.seconds:.2f}")
    return table


def write_summary(story: RunStory, verdict: Verdict, outcome: ScriptOutcome, seconds: float) -> None:
    """Write ``summary.json``."""
    summary: dict[str, Any] = {
        "workflow_id": str(story.run_id),
        "status": story.status,
        "message": outcome.message,
        "steps": [
            {"name": step.name, "state": step.state, "seconds": step.seconds, "attempts_failed": step.attempts_failed}
            for step in story.steps
        ],
        "slurm_jobs": story.jobs,
        "images": verdict.images,
        "annotations": verdict.annotations,
        "events": story.events,
        "f1_at_iou_0.5": verdict.f1,
        "problems": verdict.problems,
        "seconds": round(seconds, 2),
    }
    OUTPUT.mkdir(parents=True, exist_ok=True)
    (OUTPUT / "summary.json").write_text(json.dumps(summary, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def report(
    console: Console, story: RunStory, verdict: Verdict, outcome: ScriptOutcome, environ: dict[str, str]
) -> None:
    """Say what happened."""
    table = Table("Step", "Seconds", "Slurm job", "State", "In OMERO", title=f"Run {story.run_id}: {story.status}")
    for step in story.steps:
        objects = step.data.get("objects", [])
        kinds = {item["kind"] for item in objects}
        made = ", ".join(f"{sum(item['kind'] == kind for item in objects)} {kind}" for kind in sorted(kinds))
        state = str(step.data.get("state", step.state))
        job = str(step.data.get("job_id", ""))
        table.add_row(step.name, "" if step.seconds is None else f"{step.seconds:.2f}", job, state, made)
    table.add_row("events", str(story.events), "", "", "", style="dim")
    console.print(table)
    console.print(f"OMERO.web says: {outcome.message}", markup=False, highlight=False)
    for image in verdict.images:
        console.print(
            f"  image {image['id']} '{image['name']}' in dataset '{image['dataset']}': {image['objects']} nuclei",
            markup=False,
            highlight=False,
        )
    if verdict.f1 is not None:
        console.print(f"Labels against the truth that comes with the micrograph: F1 {verdict.f1:.2f} at IoU 0.5")
    for problem in verdict.problems:
        console.print(f"PROBLEM: {problem}", style="bold red", markup=False)
    console.print(f"Summary: {OUTPUT / 'summary.json'}", highlight=False, soft_wrap=True)
    console.print(f"Picture: {OUTPUT / 'overlay.png'}", highlight=False, soft_wrap=True)
    settings = " ".join(
        f"{name}={environ[name]}" for name in sorted(environ) if name.startswith(("OMERO_WORKER", "SQL"))
    )
    console.print("Look around with:", highlight=False)
    console.print(
        f"  env {settings} {Path(sys.executable).parent}/omero-worker runs show {story.run_id}",
        markup=False,
        highlight=False,
        soft_wrap=True,
    )


if __name__ == "__main__":
    raise SystemExit(main())
