"""An analysis that sleeps, writes and ends as it is told, and the admin of the cluster on which it runs."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import TYPE_CHECKING
from uuid import uuid4

from tests.faults.daemons import context_of
from tests.lab.parts import run
from tests.lab.slurm.configuration import slurm_environment
from worker.cluster import slurm
from worker.cluster.jobscript import JobRequest
from worker.cluster.layout import RunLayout
from worker.engine.watcher import Watcher

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.lab.description import Lab
    from worker.cluster.states import JobReport, JobState
    from worker.cluster.transport import Transport

RUNTIME = """\
#!/bin/bash
# Stands for apptainer: the "image" is a script.
shift
while [ "$1" = --nv ]; do shift; done
shift 2
image=$1
shift
exec bash "$image" "$@"
"""

IMAGE = """\
#!/bin/bash
# SECONDS CODE MEBIBYTES OUTFOLDER
echo "10%"
[ "$3" = 0 ] || memory=$(head -c "$3M" /dev/zero | tr '\\0' x)
# Until its time is over, or somebody wakes it.
sleep "$1" &
until [ -e "$4/wake" ] || ! kill -0 $! 2>/dev/null; do sleep 0.1; done
echo "50%"
echo result >"$4/result.txt"
exit "$2"
"""


@dataclass(slots=True, eq=False)
class Sleeper:
    """Jobs on a cluster, and the watcher that watches them.

    Parameters
    ----------
    lab : Lab
        The lab.
    transport : Transport
        The way to its cluster.
    """

    lab: Lab
    transport: Transport
    watcher: Watcher = field(init=False)
    base: PurePosixPath = field(init=False)
    jobs: list[JobRequest] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.watcher = Watcher(self.transport, min_interval_s=0.3, max_interval_s=1.0)
        self.base = PurePosixPath(str(self.lab.cluster_home)) / f"test {uuid4()}"
        for name, text in {"bin/apptainer": RUNTIME, "images/sleeper_v1.sif": IMAGE}.items():
            path = self.base / name
            command = ["sh", "-c", 'mkdir -p "$1" && cat >"$2" && chmod 755 "$2"', "x", str(path.parent), str(path)]
            self.transport.run(command, stdin=[text.encode()]).check()

    def submit(self, seconds: float = 0, code: int = 0, *, memory_mib: int = 0, **flags: str | None) -> Job:
        """Submit a job and watch it.

        Parameters
        ----------
        seconds : float
            For how long it sleeps.
        code : int
            With what it exits.
        memory_mib : int
            Memory that it takes before it sleeps.
        **flags : str or None
            Options of sbatch.

        Returns
        -------
        Job
            The job.
        """
        layout, task = RunLayout(str(self.base / "data"), uuid4()), uuid4()
        request = JobRequest(
            key=str(task),
            task_id=task,
            workflow="sleeper",
            version="v1",
            image=self.base / "images" / "sleeper_v1.sif",
            arguments=(str(seconds), str(code), str(memory_mib), str(layout.output)),
            layout=layout,
            flags={"mem": "50M", "time": "5", "export": f"ALL,PATH={self.base}/bin:/usr/bin:/bin", **flags},
        )
        self.jobs.append(request)
        number = slurm.submit(self.transport, layout, request)
        self.watcher.add(task, number, layout.exit_file(number), request.key)
        return Job(self, request, number)

    def admin(self, *argv: str) -> str:
        """Do something as the admin of the cluster."""
        return run(list(argv), env=slurm_environment(context_of(self.lab)))

    def close(self) -> None:
        """Take all jobs off the cluster, and remove their files."""
        for job in self.jobs:
            slurm.cancel(self.transport, slurm.find_by_key(self.transport, job.key))
        self.transport.run(["rm", "-rf", "--", str(self.base)]).check()


@dataclass(frozen=True, slots=True, eq=False)
class Job:
    """A job that is watched."""

    sleeper: Sleeper
    request: JobRequest
    number: int

    @property
    def report(self) -> JobReport | None:
        """What the watcher knows of it."""
        return self.sleeper.watcher.report(self.request.task_id)

    def wake(self) -> None:
        """Let it sleep no longer."""
        self.sleeper.transport.run(["touch", "--", f"{self.request.layout.output}/wake"]).check()

    def wait(self, until: JobState | Callable[[JobReport], bool], *, timeout_s: float = 60) -> JobReport:
        """Let the watcher look until a job is in a state, or what is waited for is true.

        Parameters
        ----------
        until : JobState or callable
            What is waited for.
        timeout_s : float
            For how long.

        Returns
        -------
        JobReport
            The report that tells so. An end that is not waited for is an error.
        """
        deadline = time.monotonic() + timeout_s
        while True:
            self.sleeper.watcher.tick()
            report = self.report
            if report is not None:
                if report.state is until or (callable(until) and until(report)):
                    return report
                assert not report.state.terminal, report
            assert time.monotonic() < deadline, (report, self.sleeper.watcher.problem)
            time.sleep(min(0.1, self.sleeper.watcher.due_in_s()))
