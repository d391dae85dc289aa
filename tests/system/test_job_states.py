"""Whatever real Slurm does to a job, the watcher tells what has become of it, and never an end that was none."""

from __future__ import annotations

import json
import shutil
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from tests.faults import daemons
from tests.lab import processes
from tests.lab.parts import run
from tests.lab.slurm.configuration import has_control_groups
from tests.system.sleeper import Sleeper
from worker.cluster import slurm, ssh
from worker.cluster.states import JobState
from worker.settings.models import SshSettings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import PurePosixPath

    from tests.lab.cluster import Cluster
    from tests.lab.description import Lab
    from worker.cluster.states import JobReport

pytestmark = pytest.mark.lab


@pytest.fixture(scope="module")
def sleeper(lab: Lab) -> Iterator[Sleeper]:
    """Jobs on the lab's cluster."""
    assert lab.ssh_config
    pool = ssh.connect_pool(SshSettings(host=str(lab.ssh_alias), ssh_config=lab.ssh_config))
    made = Sleeper(lab, pool)
    yield made
    made.close()
    pool.close()


def test_what_a_job_has_used_comes_with_its_end(sleeper: Sleeper) -> None:
    before = datetime.now(UTC)
    job = sleeper.submit(2.5, 3, memory_mib=30, mem="200M", **{"cpus-per-task": "2"})
    report = job.wait(JobState.FAILED)
    assert (report.exit_code, report.source) == (3, "sacct")
    used = report.usage
    assert used is not None
    assert used.elapsed_s is not None
    assert used.elapsed_s >= 2
    assert (used.cpus, used.gpus, used.gpu_s, used.exit_code) == (2, 0, 0, 3)
    assert used.cpu_s == 2 * used.elapsed_s
    assert used.peak_memory_bytes is not None
    assert 30 * 2**20 < used.peak_memory_bytes < 200 * 2**20
    assert len(used.nodes) == 1
    assert used.partition == "cpu"
    assert used.started is not None
    assert used.ended is not None
    assert before - timedelta(seconds=2) < used.started < used.ended < datetime.now(UTC) + timedelta(seconds=2)


def test_gpu_seconds_are_counted(sleeper: Sleeper, lab: Lab) -> None:
    job = sleeper.submit(1.5, partition=str(lab.gpu_partition), gres="gpu:2")
    used = job.wait(JobState.COMPLETED).usage
    assert used is not None
    assert used.elapsed_s
    assert (used.gpus, used.gpu_s, used.partition) == (2, 2 * used.elapsed_s, lab.gpu_partition)


def test_a_job_that_takes_too_much_memory_has_run_out_of_it(sleeper: Sleeper) -> None:
    job = sleeper.submit(5, memory_mib=150)
    job.wait(JobState.OUT_OF_MEMORY if has_control_groups() else JobState.FAILED)


def test_a_suspended_job_goes_on_later(sleeper: Sleeper) -> None:
    job = sleeper.submit(5)
    job.wait(JobState.RUNNING)
    sleeper.admin("scontrol", "suspend", str(job.number))
    job.wait(JobState.SUSPENDED)
    sleeper.admin("scontrol", "resume", str(job.number))
    assert job.wait(JobState.COMPLETED).exit_code == 0


def test_a_held_job_waits_and_says_why(sleeper: Sleeper) -> None:
    job = sleeper.submit(hold=None)
    assert job.wait(lambda report: bool(report.reason)).reason == "JobHeldUser"
    sleeper.admin("scontrol", "hold", str(job.number))
    assert job.wait(lambda report: report.reason == "JobHeldAdmin").state is JobState.PENDING
    sleeper.admin("scontrol", "release", str(job.number))
    job.wait(JobState.COMPLETED)


def test_a_job_that_an_admin_cancels_is_cancelled(sleeper: Sleeper) -> None:
    waits, runs = sleeper.submit(begin="now+1hour"), sleeper.submit(60)
    runs.wait(JobState.RUNNING)
    sleeper.admin("scancel", str(waits.number), str(runs.number))
    waits.wait(JobState.CANCELLED)
    runs.wait(JobState.CANCELLED)


def test_a_requeued_job_has_not_ended_whatever_its_first_run_has_left(sleeper: Sleeper) -> None:
    job = sleeper.submit(3)
    job.wait(lambda report: report.state is JobState.RUNNING and report.progress is not None)
    # We submit with --no-requeue; an admin can set that aside.
    sleeper.admin("scontrol", "update", f"jobid={job.number}", "Requeue=1")
    sleeper.admin("scontrol", "requeue", str(job.number))
    assert job.wait(lambda report: report.reason == "BeginTime").state is JobState.PENDING
    exit_file = sleeper.transport.run(["cat", str(job.request.layout.exit_file(job.number))]).check()
    assert json.loads(exit_file.stdout)["signal"] == "TERM"
    sleeper.admin("scontrol", "update", f"jobid={job.number}", "StartTime=now")
    report = job.wait(JobState.COMPLETED)
    assert (report.exit_code, report.reason) == (0, "")


def test_an_array_has_failed_if_one_of_its_tasks_has(
    sleeper: Sleeper, cluster: Cluster, scratch: PurePosixPath
) -> None:
    task = uuid4()
    script = "#!/bin/bash\nsleep $SLURM_ARRAY_TASK_ID\n[ $SLURM_ARRAY_TASK_ID != 1 ]\n"
    number = cluster.sbatch(script, "--array=0-3", "--mem=50M", "--output=/dev/null", f"--job-name=x-{task}")
    watcher = sleeper.watcher
    watcher.add(task, number, scratch / "none.json")
    seen: list[JobReport] = []
    deadline = time.monotonic() + 60
    while not seen or not seen[-1].state.terminal:
        watcher.tick()
        if (report := watcher.report(task)) is not None and (not seen or report != seen[-1]):
            seen.append(report)
        assert time.monotonic() < deadline, seen
        time.sleep(0.1)
    assert [report.state for report in seen if report.state.terminal] == [JobState.FAILED]
    used = seen[-1].usage
    assert used is not None
    assert used.cpu_s is not None
    assert 6 <= used.cpu_s <= 14


@pytest.mark.slow
def test_a_job_that_takes_too_long_has_run_out_of_time(sleeper: Sleeper) -> None:
    job = sleeper.submit(600)
    job.wait(lambda report: report.progress is not None)
    sleeper.admin("scontrol", "update", f"jobid={job.number}", "EndTime=now")
    report = job.wait(JobState.TIMEOUT, timeout_s=90)
    assert report.usage is not None


@pytest.mark.slow
def test_a_node_that_is_drained_lets_its_jobs_end_and_one_that_is_down_does_not(sleeper: Sleeper) -> None:
    stays, falls = sleeper.submit(600), sleeper.submit(600, exclusive=None)
    nodes = {}
    for job in (stays, falls):
        job.wait(JobState.RUNNING)
        nodes[job] = sleeper.admin("squeue", "-h", "-j", str(job.number), "-o", "%N").strip()
    assert nodes[stays] != nodes[falls]
    try:
        for node in nodes.values():
            sleeper.admin("scontrol", "update", f"nodename={node}", "state=drain", "reason=test")
        sleeper.admin("scontrol", "update", f"nodename={nodes[falls]}", "state=down", "reason=test")
        falls.wait(JobState.NODE_FAIL)
        waits = sleeper.submit()
        assert waits.wait(lambda report: report.reason not in ("", "None", "Priority")).state is JobState.PENDING
        stays.wake()
        stays.wait(JobState.COMPLETED)
    finally:
        for node in nodes.values():
            sleeper.admin("scontrol", "update", f"nodename={node}", "state=resume")
    waits.wait(JobState.COMPLETED)


@pytest.mark.slow
def test_without_accounting_the_end_of_a_job_is_known_at_once(sleeper: Sleeper, lab: Lab) -> None:
    with daemons.slurmdbd_stopped(lab):
        good, bad = sleeper.submit(1), sleeper.submit(1, 7)
        began = time.monotonic()
        assert good.wait(JobState.COMPLETED).exit_code == 0
        report = bad.wait(JobState.FAILED)
        assert time.monotonic() - began < 40
        assert (report.exit_code, report.reason) == (7, "the container ended with exit code 7")
        assert report.usage is not None
        assert (report.usage.cpu_s, report.usage.exit_code) == (None, 7)
        assert "accounting" in str(sleeper.watcher.problem)


@pytest.mark.slow
def test_a_controller_that_is_away_for_a_while_is_not_taken_for_the_end_of_a_job(sleeper: Sleeper, lab: Lab) -> None:
    ends, goes_on = sleeper.submit(600), sleeper.submit(600)
    for job in (ends, goes_on):
        job.wait(JobState.RUNNING)
    with daemons.slurmctld_stopped(lab):
        ends.wake()
        # The job's own word, while the controller can say nothing.
        assert ends.wait(JobState.COMPLETED).source in ("exit_file", "sacct")
        assert goes_on.report is not None
        assert goes_on.report.state in (JobState.RUNNING, JobState.UNKNOWN)
        assert "controller does not answer" in str(sleeper.watcher.problem)
        assert sleeper.watcher.unknown_for_s(goes_on.request.task_id) == 0
    goes_on.wake()
    assert goes_on.wait(JobState.COMPLETED).exit_code == 0


@pytest.mark.slow
def test_a_job_that_the_controller_has_forgotten_is_lost_and_its_number_another_ones(
    sleeper: Sleeper, lab: Lab
) -> None:
    assert lab.slurm_conf
    state = lab.slurm_conf.parents[1] / "state"
    before = state.with_name("state before")
    with daemons.slurmctld_stopped(lab):
        run(["cp", "-a", str(state), str(before)])
    lost = sleeper.submit(hold=None)
    ctx = daemons.context_of(lab)
    controller = ctx.process("slurmctld")
    assert controller is not None
    processes.kill({controller.pid: controller.start_ticks})
    # As if it had been killed before it wrote down what is new, which it does after 5 s.
    shutil.rmtree(state)
    before.rename(state)
    with daemons.slurmctld_stopped(lab):
        pass  # it is stopped already, and started
    lost.wait(lambda report: report.lost)
    again = sleeper.submit(2)
    assert again.number == lost.number
    again.wait(JobState.COMPLETED)
    assert lost.report is not None
    assert (lost.report.state, lost.report.lost) == (JobState.UNKNOWN, True)
    assert slurm.find_by_key(sleeper.transport, again.request.key) == [again.number]
