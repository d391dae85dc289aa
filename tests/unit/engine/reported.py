"""Runs in a record of their own, whose steps are played: nothing is exported, submitted or imported."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.clusters import settings_with
from worker.engine.accept import accept
from worker.engine.report.facts import gather
from worker.engine.request import parse_request

if TYPE_CHECKING:
    from uuid import UUID

    from worker.engine.assembly import Record
    from worker.engine.report.model import RunFacts

EVIL = "a | b <script>alert(1)</script> [x](javascript:y) `c` *d*\nnew line \\"

FACTS: dict[str, Any] = {
    "worker": "0.1",
    "settings_sha256": "5" * 64,
    "cluster": "default",
    "command": "sbatch --parsable job.sh",
    "options": {"mem": "4GB", "exclusive": None, "mail-user": "alice@example.org"},
    "script_sha256": "b" * 64,
    "run_by": "container",
    "arguments": ["--diameter=30"],
    "environment": {"DIAMETER": "30"},
    "image": {"file": "images/w_nuclei_v1.sif", "reference": "docker://org/w_nuclei:v1"},
    "parameters": {"diameter": 30, "net": EVIL},
    "defaults": ["diameter"],
    "analysis": {
        "name": "Nuclei",
        "description": "Finds nuclei.",
        "schema": "cytomine-0.1",
        "citations": [
            {"name": "StarDist", "doi": "10.1007/978-3-030-00934-2_30", "license": "BSD-3", "description": ""}
        ],
    },
    "descriptor": {
        "sha256": "d" * 64,
        "source": "https://git.example.org/org/w_nuclei (0123456789) descriptor.json",
        "ref": "v1",
        "commit": "0123456789" * 4,
        "path": "descriptor.json",
        "fetched_at": "2026-01-01T00:00:00+00:00",
        "text": '{"name": "Nuclei"}',
    },
}
SAID = {
    "hosts": ["n1"],
    "start": "2026-01-02T03:05:00Z",
    "end": "2026-01-02T03:06:00Z",
    "image_sha256": "1" * 64,
    "image_source": "docker://org/w_nuclei:v1",
    "runtime": "apptainer version 1.4.5",
    "slurm": "slurm 24.11.5",
    "cluster": "snellius",
}
SOURCES = [{"path": "c.tif", "object_type": "Image", "object_id": 7, "image_id": 7, "name": EVIL}]


def ask(record: Record, run_id: UUID | None = None, **changes: Any) -> UUID:
    """Record a run."""
    asked: dict[str, Any] = {
        "data_type": "Image",
        "ids": [7],
        "workflows": [{"name": "nuclei", "version": "v1", "parameters": {"diameter": 30}}],
        "user_id": 3,
        "user_name": "alice",
        "group_id": 4,
        "group_name": "lab",
    }
    return accept(record.tracker, parse_request(asked | changes), settings_with("nuclei"), run_id=run_id)


def analyse(record: Record, run_id: UUID, *, ok: bool = True, files: int = 1) -> None:
    """Play the steps of an analysis up to the end of its job, or to its results."""
    tracker = record.tracker
    task_id = tracker.run(run_id).tasks[1]
    tracker.start_workflow(run_id)
    step(record, run_id, "export", {"sources": SOURCES})
    submit(record, run_id, 41, str(task_id))
    ended = {"state": "COMPLETED" if ok else "FAILED", "exit_code": 0 if ok else 3, "reason": ""}
    tracker.end_job(task_id, 41, {**ended, **SAID})
    tracker.account_job(task_id, 41, {"elapsed_s": 60, "cpus": 4, "peak_memory_bytes": 2**30})
    step(record, run_id, "watch/0", {"ok": ok, "job_id": 41, "message": "" if ok else "It failed.", **ended})
    if ok:
        made = [{"path": f"m{n}.tif", "size_bytes": 5, "sha256": "a" * 64} for n in range(files)]
        step(record, run_id, "fetch/0", {"files": made, "log": True})
        image = {"kind": "Image", "object_id": 99, "name": "mask"}
        step(record, run_id, "import/0", {"objects": [image], "notes": ["One thing."]})
        tracker.complete_workflow(run_id)
    else:
        tracker.fail_workflow(run_id, "It failed.")


def step(record: Record, run_id: UUID, name: str, data: dict[str, Any]) -> None:
    record.tracker.intend_step(run_id, name, "k")
    record.tracker.complete_step(run_id, name, data)


def submit(record: Record, run_id: UUID, job_id: int, key: str) -> None:
    task_id = record.tracker.run(run_id).tasks[1]
    record.tracker.intend_submission(task_id, key, FACTS)
    record.tracker.add_job_id(task_id, job_id)
    step(record, run_id, "submit/0", {"job_id": job_id, "key": key})


def facts_of(record: Record, run_id: UUID) -> RunFacts:
    return gather(record.tracker, record.reader, run_id)
