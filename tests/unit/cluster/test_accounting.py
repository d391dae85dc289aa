"""What jobs have used, as real versions of Slurm have written it down."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from worker.cluster import accounting, answers
from worker.cluster.accounting import JobUsage, expand
from worker.cluster.states import aggregate

SAMPLES = Path(__file__).parent / "samples"
KEY = "0f4cf4b2-1111-4222-8333-444455556666"

BUSY = """\
1|FAILED|4|3:0|2026-11-21T13:12:45|2026-11-21T13:12:45|2026-11-21T13:12:49|cpu|n1|1|billing=1,cpu=1,mem=100M,node=1|4|00:02.249||sbatch
1.batch|FAILED|4|3:0|2026-11-21T13:12:45|2026-11-21T13:12:45|2026-11-21T13:12:49||n1|1|cpu=1,mem=100M,node=1|4|00:02.249|5640K|batch
"""
WITH_GPUS = """\
3|COMPLETED|3|0:0|2026-11-21T13:12:46|2026-11-21T13:12:47|2026-11-21T13:12:50|gpu|n3|2|billing=2,cpu=2,gres/gpu=2,mem=200M,node=1|6|00:00.076||wrap
3.batch|COMPLETED|3|0:0|2026-11-21T13:12:47|2026-11-21T13:12:47|2026-11-21T13:12:50||n3|2|cpu=2,gres/gpu=2,mem=200M,node=1|6|00:00.018|10556K|batch
3.0|COMPLETED|3|0:0|2026-11-21T13:12:47|2026-11-21T13:12:47|2026-11-21T13:12:50||n3|2|cpu=2,gres/gpu=2,mem=200M,node=1|6|00:00.057|56964K|python3
"""
ARRAY = """\
2_0|COMPLETED|1|0:0|2026-11-21T13:12:46|2026-11-21T13:12:47|2026-11-21T13:12:48|cpu|n1|1|billing=1,cpu=1,mem=100M,node=1|1|00:00.003||wrap
2_0.batch|COMPLETED|1|0:0|2026-11-21T13:12:47|2026-11-21T13:12:47|2026-11-21T13:12:48||n1|1|cpu=1,mem=100M,node=1|1|00:00.003|3212K|batch
2_2|FAILED|1|1:0|2026-11-21T13:12:46|2026-11-21T13:12:49|2026-11-21T13:12:50|cpu|n2|1|billing=1,cpu=1,mem=100M,node=1|1|00:00.003||wrap
2_2.batch|FAILED|1|1:0|2026-11-21T13:12:49|2026-11-21T13:12:49|2026-11-21T13:12:50||n2|1|cpu=1,mem=100M,node=1|1|00:00.003|3364K|batch
2_3|COMPLETED|1|0:0|2026-11-21T13:12:46|2026-11-21T13:12:49|2026-11-21T13:12:50|cpu|n1|1|billing=1,cpu=1,mem=100M,node=1|1|00:00.003||wrap
2_3.batch|COMPLETED|1|0:0|2026-11-21T13:12:49|2026-11-21T13:12:49|2026-11-21T13:12:50||n1|1|cpu=1,mem=100M,node=1|1|00:00.003|3428K|batch
"""
REQUEUED = f"""\
7|REQUEUED|2|0:0|2026-11-21T13:14:48|2026-11-21T13:14:49|2026-11-21T13:14:51|cpu|n1|1|billing=1,cpu=1,mem=100M,node=1|2|00:00.758||x-{KEY}
7.batch|CANCELLED|3|0:15|2026-11-21T13:14:49|2026-11-21T13:14:49|2026-11-21T13:14:52||n1|1|cpu=1,mem=100M,node=1|3|00:00.758|4348K|batch
7|CANCELLED by 1015|0|0:0|2026-11-21T13:14:53|None|2026-11-21T13:14:57|cpu|None assigned|1||0|00:00:00||x-{KEY}
"""


def usage(text: str, job: int, **keys: str) -> JobUsage:
    tasks = answers.from_sacct(text.splitlines(), {job: keys["key"]} if keys else {})[job]
    report = aggregate(job, list(tasks.values()))
    assert report.usage is not None
    return report.usage


def at(hour: int, minute: int, second: int) -> datetime:
    return datetime(2026, 11, 21, hour, minute, second, tzinfo=UTC)


def test_memory_stands_at_the_steps_and_the_rest_at_the_job() -> None:
    assert usage(BUSY, 1) == JobUsage(
        elapsed_s=4,
        cpu_s=4,
        gpu_s=0,
        peak_memory_bytes=5640 * 1024,
        exit_code=3,
        nodes=("n1",),
        cpus=1,
        gpus=0,
        partition="cpu",
        started=at(13, 12, 45),
        ended=at(13, 12, 49),
        busy_cpu_s=2.249,
    )


def test_gpus_are_counted_and_the_hungriest_step_is_the_peak() -> None:
    used = usage(WITH_GPUS, 3)
    assert (used.gpus, used.gpu_s, used.cpus, used.cpu_s) == (2, 6, 2, 6)
    assert used.peak_memory_bytes == 56964 * 1024


def test_the_tasks_of_an_array_are_added_up() -> None:
    used = usage(ARRAY, 2)
    assert (used.elapsed_s, used.cpu_s, used.gpu_s) == (3, 3, 0)
    assert used.peak_memory_bytes == 3428 * 1024
    assert (used.nodes, used.exit_code) == (("n1", "n2"), 1)
    assert (used.started, used.ended) == (at(13, 12, 47), at(13, 12, 50))


def test_what_a_job_used_before_it_was_requeued_counts_too() -> None:
    used = usage(REQUEUED, 7, key=KEY)
    assert (used.cpu_s, used.busy_cpu_s, used.peak_memory_bytes) == (2, 0.758, 4348 * 1024)
    assert (used.started, used.ended, used.nodes, used.cpus) == (None, at(13, 14, 57), (), None)


def test_a_job_that_had_the_same_number_does_not_count() -> None:
    other = BUSY.replace("1|", "7|", 1).replace("1.batch", "7.batch")
    used = usage(other + REQUEUED, 7, key=KEY)
    assert (used.cpu_s, used.peak_memory_bytes) == (2, 4348 * 1024)


@pytest.mark.parametrize(
    ("version", "job", "memory", "nodes"),
    [
        ("22.05.8", 1, 3444 * 1024, ("n4",)),
        ("22.05.8", 30, 3452 * 1024, ("n1",)),
        ("24.11.5", 2, 3352 * 1024, ("n1",)),
        ("24.11.5", 5, None, ("n1",)),  # too short to be measured
    ],
)
def test_each_version_of_slurm_is_read(version: str, job: int, memory: int | None, nodes: tuple[str, ...]) -> None:
    used = usage((SAMPLES / version / "sacct.txt").read_text(), job)
    assert (used.peak_memory_bytes, used.nodes) == (memory, nodes)
    assert used.ended is not None


def test_a_job_that_has_not_ended_has_no_usage_yet() -> None:
    found = answers.from_sacct((SAMPLES / "24.11.5" / "sacct.txt").read_text().splitlines(), {})
    assert aggregate(1, list(found[1].values())).usage is None


@pytest.mark.parametrize(
    ("nodes", "names"),
    [
        ("n1", ("n1",)),
        ("n[01-03,7],gpu1", ("n01", "n02", "n03", "n7", "gpu1")),
        ("rack[1-2]n[3-4]-ib", ("rack1n3-ib", "rack1n4-ib", "rack2n3-ib", "rack2n4-ib")),
        ("None assigned", ()),
        ("", ()),
        ("n[1-999999999999]", ("n[1-999999999999]",)),
    ],
)
def test_lists_of_nodes_are_taken_apart(nodes: str, names: tuple[str, ...]) -> None:
    assert expand(nodes) == names


def test_usage_can_be_kept_as_json() -> None:
    kept = json.loads(json.dumps(usage(BUSY, 1).to_json()))
    assert kept["ended"] == "2026-11-21T13:12:49+00:00"
    assert (kept["nodes"], kept["cpu_s"]) == (["n1"], 4)


@pytest.mark.parametrize(
    "row", ["", "7|COMPLETED", "x|y|z", "7.batch|COMPLETED|1|0:0", "7|COMPLETED|a|b|c|d|e|f|[|h|=|j|k|l|"]
)
def test_rows_that_cannot_be_read_tell_nothing_and_break_nothing(row: str) -> None:
    for job in accounting.jobs([row]):
        accounting.usage_of(job, None)
