"""What it takes to learn how jobs are: one question for all of them, against two for each.

The reference asks, for each job at each of its polls, ``sacct`` for the state and ``tail`` for the log's last line.
"""

from __future__ import annotations

import statistics
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any
from uuid import UUID

from tests.bench.meter import MeteredTransport
from tests.bench.report import Row
from tests.bench.submission import BenchFailed
from tests.bench.waiting import held_jobs, some_keys
from worker.cluster.ssh import SshTransport
from worker.engine.watcher import Watcher
from worker.settings.models import SshSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tests.lab.description import Lab

JOBS = (1, 100, 1000)
REFERENCE_JOBS = 100
"""The reference's way is gone for at most so many jobs; its cost grows with their number, and nothing else."""


def measure(lab: Lab, repeat: int, say: Callable[[str, int], None]) -> list[Row]:
    """Measure ticks of the watcher.

    Parameters
    ----------
    lab : Lab
        The lab.
    repeat : int
        Ticks for each number of jobs.
    say : callable
        Is told words, and how many samples were taken.

    Returns
    -------
    list of Row
        One for each number of jobs, in seconds per tick.
    """
    if lab.ssh_alias is None or lab.ssh_config is None:
        raise BenchFailed("this lab has no cluster")
    transport = MeteredTransport(SshTransport.from_settings(SshSettings(host=lab.ssh_alias, ssh_config=lab.ssh_config)))
    rows = []
    try:
        transport.run(["true"])  # the handshake belongs to nobody
        with held_jobs(lab, some_keys(max(JOBS)), report=lambda words: say(words, 0)) as jobs:
            for count in JOBS:
                some = dict(list(jobs.items())[:count])
                rows.append(_row(lab, transport, some, repeat, say))
    finally:
        transport.close()
    return rows


def _row(
    lab: Lab, transport: MeteredTransport, jobs: Mapping[str, int], repeat: int, say: Callable[[str, int], None]
) -> Row:
    count = len(jobs)
    asked = list(jobs.values())[:REFERENCE_JOBS]
    factor = count / len(asked)
    ours: list[dict[str, Any]] = []
    reference: list[dict[str, Any]] = []
    for number in range(repeat):
        say(f"tick {number + 1}/{repeat} with {count} jobs: the reference way", 0)
        transport.take()
        for job_id in asked:
            _ask_as_the_reference(lab, transport, job_id)
        reference.append(_cost(transport, factor))
        say(f"tick {number + 1}/{repeat} with {count} jobs: our way", 0)
        ours.append(_tick(lab, transport, jobs))
        say(f"tick with {count} jobs: {ours[-1]['seconds']:.3f} s, reference {reference[-1]['seconds']:.2f} s", 1)
    return Row(
        name="ticks",
        title=f"asking for {count} job{'s' if count > 1 else ''}",
        ours=[cost["seconds"] for cost in ours],
        reference=[cost["seconds"] for cost in reference],
        unit="s",
        reference_is=f"{2 * count} round trips (ours: {ours[-1]['round_trips']}): sacct and tail for each",
        details={
            "jobs": count,
            "round_trips": {"ours": ours[-1]["round_trips"], "reference": reference[-1]["round_trips"]},
            "bytes": {"ours": _median(ours, "bytes"), "reference": _median(reference, "bytes")},
            "reference_measured_with_jobs": len(asked),
        },
    )


def _tick(lab: Lab, transport: MeteredTransport, jobs: Mapping[str, int]) -> dict[str, Any]:
    watcher = Watcher(transport, min_interval_s=0.0)
    for key, job_id in jobs.items():
        watcher.add(UUID(key), job_id, PurePosixPath(f"{lab.data_path}/biomero_{key}/status/{job_id}.json"))
    transport.take()
    news = watcher.tick()
    if len(news) != len(jobs):
        raise AssertionError(f"the tick told of {len(news)} jobs out of {len(jobs)}: {watcher.problem}")
    return _cost(transport, 1.0)


def _ask_as_the_reference(lab: Lab, transport: MeteredTransport, job_id: int) -> None:
    transport.run(["sacct", "-n", "-o", "JobId,State,End", "-X", "-j", str(job_id)])
    transport.run(["tail", "-n", "1", f"{lab.cluster_home}/omero-{job_id}.log"])


def _cost(transport: MeteredTransport, factor: float) -> dict[str, Any]:
    round_trips, size_bytes, seconds = transport.take()
    return {"round_trips": round(round_trips * factor), "bytes": size_bytes * factor, "seconds": seconds * factor}


def _median(costs: list[dict[str, Any]], name: str) -> int:
    return round(float(statistics.median(cost[name] for cost in costs)))
