"""What the engine adds to a run: its wall time without the time that Slurm has the job, and where it goes.

Slurm's time is that from sbatch's return to the end of the job script, by the time of its exit file: accounting counts
in whole seconds, which is longer than these jobs run.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests.bench.report import Figure
from tests.bench.submission import BenchFailed
from tests.lab.cluster import Cluster
from tests.soak.engine import Engine
from tests.soak.stage import staged
from worker.cluster.layout import RunLayout

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from uuid import UUID

    from tests.lab.description import Lab
    from tests.soak.stage import Stage
    from worker.engine.assembly import Record
    from worker.history.reader import EventRow

MANY = 50
TIMEOUT_S = 300.0
SETTLED_S = 3.0
"""How long an engine runs before it is given something to do."""


@dataclass(frozen=True, slots=True)
class RunTimes:
    """How long a run took, in seconds."""

    wall_s: float
    """From its acceptance to its end."""
    slurm_s: float
    """From sbatch's return to the end of the job script."""
    parts_s: Mapping[str, float]
    """What the engine did in the rest: each step, and the gaps between them."""

    @property
    def overhead_s(self) -> float:
        """What is not Slurm's."""
        return self.wall_s - self.slurm_s


def measure(lab: Lab, repeat: int, say: Callable[[str, int], None], *, many: int = MANY) -> list[Figure]:
    """Run one analysis, a few times; and many at once.

    Parameters
    ----------
    lab : Lab
        The lab.
    repeat : int
        How often one run is made by itself.
    say : callable
        Is told words, and how many samples were taken.
    many : int
        How many runs are made at once.

    Returns
    -------
    list of Figure
        Seconds per run.
    """
    with (
        tempfile.TemporaryDirectory(prefix="omero-worker-bench-") as directory,
        staged(lab) as stage,
        stage.deployment.record() as record,
    ):
        engine = Engine(stage.deployment, Path(directory))
        try:
            engine.start()
            time.sleep(SETTLED_S)
            alone = []
            for number in range(repeat):
                say(f"overhead {number + 1}/{repeat}: one run", 0)
                alone.append(_one(stage, record))
                say(f"one run: {alone[-1].overhead_s:.2f} s besides {alone[-1].slurm_s:.2f} s of Slurm", 1)
            engine.look()
            before_s = engine.life.cpu_s
            say(f"overhead: {many} runs at once", 0)
            wall_s = _many(stage, record, many)
            engine.look()
        finally:
            engine.stop()
    parts = {name: statistics.median(times.parts_s.get(name, 0.0) for times in alone) for name in alone[0].parts_s}
    details = {"slurm_s": [times.slurm_s for times in alone], "parts_s": parts}
    return [
        Figure("overhead", "one run, without Slurm's time", [times.overhead_s for times in alone], "s", details),
        *(Figure("overhead", f"... of it: {name}", [seconds], "s") for name, seconds in parts.items()),
        Figure("overhead", f"one of {many} runs at once: wall time of all / {many}", [wall_s / many], "s"),
        Figure("overhead", "... processor time of the engine", [(engine.life.cpu_s - before_s) / many], "s"),
    ]


def _one(stage: Stage, record: Record) -> RunTimes:
    # Its exit file is looked at before the run is tidied away.
    run_id = stage.accept(record, 0, cleanup=False)
    _wait(record, {run_id})
    events = record.reader.events(run_id)
    task = record.tracker.task(record.tracker.run(run_id).tasks[1])
    layout = RunLayout(str(stage.lab.data_path), run_id)
    cluster = Cluster(stage.lab)
    job_ended_s = float(cluster.run("stat", "-c", "%.9Y", str(layout.exit_file(task.job_ids[-1]))))
    cluster.run("rm", "-rf", "--", str(layout.root))
    return times_of(events, job_ended_s)


def _many(stage: Stage, record: Record, many: int) -> float:
    """From the first acceptance to the last end, in seconds."""
    run_ids = {stage.accept(record, number) for number in range(many)}
    _wait(record, run_ids)
    times = [event.at for run_id in run_ids for event in record.reader.events(run_id)]
    return (max(times) - min(times)).total_seconds()


def _wait(record: Record, run_ids: set[UUID]) -> None:
    deadline = time.monotonic() + TIMEOUT_S
    left = set(run_ids)
    while left:
        for run_id in list(left):
            run = record.reader.run(run_id)
            if run.state == "COMPLETED":
                left.discard(run_id)
            elif run.state == "FAILED" or run.paused:
                raise BenchFailed(f"run {run_id} is {run.state}: {run.message}")
        if time.monotonic() > deadline:
            raise BenchFailed(f"{len(left)} runs have not ended within {TIMEOUT_S:.0f} s")
        time.sleep(0.5)


def times_of(events: list[EventRow], job_ended_s: float) -> RunTimes:
    """Split the wall time of a run.

    Parameters
    ----------
    events : list of EventRow
        Everything that happened to the run and its tasks.
    job_ended_s : float
        When its job ended, in seconds since the epoch.

    Returns
    -------
    RunTimes
        Slurm's time, and the parts of what is left. The parts add up to it.
    """
    at = {event.name: event.at.timestamp() for event in events}
    steps = {(event.name, event.data.get("step")): event.at.timestamp() for event in events}
    first, last = events[0].at.timestamp(), at["WorkflowCompleted"]
    submitted = at["JobIdAdded"]
    parts = {"until it is begun": steps["StepIntended", "export"] - first}
    ended = steps["StepIntended", "export"]
    for name in ("export", "submit/0", "watch/0", "fetch/0", "import/0"):
        began, done = steps["StepIntended", name], steps["StepCompleted", name]
        between = parts.get("between steps", 0.0) + began - ended
        parts["between steps"] = between
        parts[name] = done - began
        ended = done
    # Slurm has the job from within the step submit until somewhere in the step watch.
    own_of_watch = max(0.0, steps["StepCompleted", "watch/0"] - job_ended_s)
    slurm_s = job_ended_s - submitted
    after_submission = steps["StepCompleted", "submit/0"] - submitted
    parts["submit/0"] -= after_submission
    parts["between steps"] -= steps["StepIntended", "watch/0"] - steps["StepCompleted", "submit/0"]
    del parts["watch/0"]
    parts["until the end of the job is noticed"] = own_of_watch
    parts["end"] = last - ended
    return RunTimes(last - first, slurm_s, parts)
