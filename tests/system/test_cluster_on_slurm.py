"""The way to the cluster on real Slurm: submit, find again, watch, cancel, transfer, remove."""

from __future__ import annotations

import hashlib
import json
import os
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import PurePosixPath
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

import pytest

from tests.faults.transport import CountingTransport, FaultyTransport
from worker.cluster import folders, images, jobscript, listing, slurm, ssh, streams, uploads
from worker.cluster.jobscript import JobRequest
from worker.cluster.layout import RunLayout
from worker.cluster.states import JobReport, JobState
from worker.errors import Fenced, OutcomeUnknown, SubmissionRefused
from worker.settings.models import SshSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.lab.description import Lab
    from worker.cluster.ssh import SshPool

pytestmark = pytest.mark.lab

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
# SECONDS CODE OUTFOLDER
echo "10%"
sleep "$1"
echo "50%"
[ -z "$3" ] || echo result >"$3/result.txt"
exit "$2"
"""


@pytest.fixture(scope="module", params=["alias", "jump"])
def way(request: pytest.FixtureRequest, lab: Lab) -> Iterator[SshPool]:
    """The cluster, directly and through a host in between."""
    assert lab.ssh_config
    host = lab.ssh_alias if request.param == "alias" else lab.ssh_jump_alias
    pool = ssh.connect_pool(SshSettings(host=str(host), ssh_config=lab.ssh_config))
    yield pool
    pool.close()


@pytest.fixture(scope="module")
def transport(lab: Lab) -> Iterator[SshPool]:
    """The cluster."""
    assert lab.ssh_config
    pool = ssh.connect_pool(SshSettings(host=str(lab.ssh_alias), ssh_config=lab.ssh_config))
    yield pool
    pool.close()


@pytest.fixture(scope="module")
def base(transport: SshPool, lab: Lab) -> Iterator[PurePosixPath]:
    """A folder of the cluster with a runtime and an image of our own."""
    folder = PurePosixPath(str(lab.cluster_home)) / f"test {uuid4()}"
    for name, text in {"bin/apptainer": RUNTIME, "images/sleeper_v1.sif": IMAGE}.items():
        path = folder / name
        command = ["sh", "-c", 'mkdir -p "$1" && cat >"$2" && chmod 755 "$2"', "x", str(path.parent), str(path)]
        transport.run(command, stdin=[text.encode()]).check()
    yield folder
    transport.run(["rm", "-rf", "--", str(folder)]).check()


@pytest.fixture
def make_job(transport: SshPool, base: PurePosixPath) -> Iterator[Callable[..., JobRequest]]:
    """Make a job that sleeps, writes and ends as it is told; it is cancelled at the end of the test."""
    made: list[JobRequest] = []

    def make(seconds: float = 0, code: int = 0, *, writes: bool = True, **flags: str | None) -> JobRequest:
        layout = RunLayout(str(base / "data"), uuid4())
        task = uuid4()
        job = JobRequest(
            key=str(task),
            task_id=task,
            workflow="sleeper",
            version="v1",
            image=base / "images" / "sleeper_v1.sif",
            arguments=(str(seconds), str(code), str(layout.output) if writes else ""),
            layout=layout,
            # The site's PATH may have a real runtime; ours comes first.
            flags={"mem": "50M", "time": "5", "export": f"ALL,PATH={base}/bin:/usr/bin:/bin", **flags},
        )
        made.append(job)
        return job

    yield make
    for job in made:
        slurm.cancel(transport, slurm.find_by_key(transport, job.key))


def wait(
    transport: SshPool, job: JobRequest, number: int, until: Callable[[JobReport], bool] | None = None
) -> JobReport:
    """Ask until a job has ended, or what is waited for is true."""
    deadline = time.monotonic() + 90
    while True:
        answer = slurm.query(transport, [number], {number: job.layout.exit_file(number)}, keys={number: job.key})
        report = answer[number]
        if report.state.terminal or (until is not None and until(report)):
            return report
        assert time.monotonic() < deadline, report
        time.sleep(0.2)


def test_a_job_runs_to_its_good_end(way: SshPool, make_job: Callable[..., JobRequest]) -> None:
    job = make_job(2)
    number = slurm.submit(way, job.layout, job)
    running = wait(way, job, number, lambda report: report.progress is not None)
    assert (running.state, running.progress, running.source) == (JobState.RUNNING, "10%", "squeue")
    report = wait(way, job, number)
    assert (report.state, report.exit_code) == (JobState.COMPLETED, 0)
    log = slurm.read_log(way, job.layout, number).decode()
    assert "Running sleeper Job w/ " in log
    assert log.endswith(f"Job {number} completed\n")
    exit_file = json.loads(way.run(["cat", str(job.layout.exit_file(number))]).check().text)
    assert (exit_file["key"], exit_file["exit_code"]) == (job.key, 0)


def test_the_code_of_the_container_is_the_code_of_the_job(
    transport: SshPool, make_job: Callable[..., JobRequest]
) -> None:
    job = make_job(0, 37)
    report = wait(transport, job, slurm.submit(transport, job.layout, job))
    assert (report.state, report.exit_code) == (JobState.FAILED, 37)
    assert report.reason == "the container ended with exit code 37"


def test_a_job_without_output_has_failed(transport: SshPool, make_job: Callable[..., JobRequest]) -> None:
    job = make_job(writes=False)
    report = wait(transport, job, slurm.submit(transport, job.layout, job))
    assert (report.state, report.exit_code) == (JobState.FAILED, jobscript.NO_OUTPUT)
    assert "wrote nothing" in report.reason


def test_a_cancelled_job_leaves_an_exit_file(transport: SshPool, make_job: Callable[..., JobRequest]) -> None:
    job = make_job(60)
    number = slurm.submit(transport, job.layout, job)
    wait(transport, job, number, lambda report: report.state is JobState.RUNNING and report.progress is not None)
    slurm.cancel(transport, [number])
    report = wait(transport, job, number)
    assert report.state is JobState.CANCELLED
    # 143 is SIGTERM's; where Slurm tracks processes without cgroups, the container is told first and says 255.
    assert report.exit_code in (143, 255)
    exit_file = json.loads(transport.run(["cat", str(job.layout.exit_file(number))]).check().stdout)
    assert exit_file["signal"] == "TERM"
    slurm.cancel(transport, [number])


def test_a_waiting_job_can_be_cancelled(transport: SshPool, make_job: Callable[..., JobRequest]) -> None:
    job = make_job(begin="now+1hour")
    number = slurm.submit(transport, job.layout, job)
    report = wait(transport, job, number, lambda report: report.state is JobState.PENDING and bool(report.reason))
    assert report.reason == "BeginTime"
    slurm.cancel(transport, [number])
    assert wait(transport, job, number).state is JobState.CANCELLED


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ({"partition": "no-such-partition"}, "[Ii]nvalid partition"),
        ({"mem": "900G"}, "not available"),
        ({"time": "tomorrow"}, "Invalid --time"),
        ({"no-such-option": None}, "unrecognized option"),
    ],
)
def test_a_refusal_is_told_in_slurms_words(
    transport: SshPool, make_job: Callable[..., JobRequest], flags: dict[str, str | None], words: str
) -> None:
    job = make_job(**flags)
    with pytest.raises(SubmissionRefused, match=words):
        slurm.submit(transport, job.layout, job)


def test_a_job_whose_reply_was_lost_is_found_and_not_submitted_twice(
    transport: SshPool, make_job: Callable[..., JobRequest]
) -> None:
    faulty = FaultyTransport(transport)
    faulty.lose_reply("submit")
    job = make_job(1)
    with pytest.raises(OutcomeUnknown):
        slurm.submit(faulty, job.layout, job)
    found = slurm.find_by_key(transport, job.key)
    assert len(found) == 1
    assert wait(transport, job, found[0]).state is JobState.COMPLETED
    # Long after it has ended, and by its exit file alone.
    assert slurm.find_by_key(transport, job.key, layout=job.layout) == found


def test_a_key_that_was_never_submitted_is_not_found(transport: SshPool) -> None:
    assert slurm.find_by_key(transport, str(uuid4())) == []


def test_the_key_is_found_even_if_the_site_sets_name_and_comment(
    transport: SshPool, make_job: Callable[..., JobRequest]
) -> None:
    job = make_job(**{"job-name": "our project", "comment": 'account "7" # really'})
    number = slurm.submit(transport, job.layout, job)
    assert slurm.find_by_key(transport, job.key) == [number]
    wait(transport, job, number)
    assert slurm.find_by_key(transport, job.key) == [number]


def test_one_round_trip_tells_about_all_jobs(transport: SshPool, make_job: Callable[..., JobRequest]) -> None:
    jobs = [make_job(20), make_job(0, 3), make_job(begin="now+1hour")]
    numbers = [slurm.submit(transport, job.layout, job) for job in jobs]
    wait(transport, jobs[1], numbers[1])
    wait(transport, jobs[0], numbers[0], lambda report: report.progress is not None)
    counting = CountingTransport(transport)
    files = {number: job.layout.exit_file(number) for number, job in zip(numbers, jobs, strict=True)}
    answer = slurm.query(counting, [*numbers, 99_999_999], files)
    assert counting.commands == {"query": 1}
    states = [answer[number].state for number in (*numbers, 99_999_999)]
    assert states == [JobState.RUNNING, JobState.FAILED, JobState.PENDING, JobState.UNKNOWN]
    assert answer.problems == ()


def test_many_threads_submit_at_the_same_time(transport: SshPool, make_job: Callable[..., JobRequest]) -> None:
    jobs = [make_job() for _ in range(8)]
    with ThreadPoolExecutor(4) as executor:
        numbers = list(executor.map(lambda job: slurm.submit(transport, job.layout, job), jobs))
    assert len(set(numbers)) == 8
    for job, number in zip(jobs, numbers, strict=True):
        assert wait(transport, job, number).state is JobState.COMPLETED


def test_a_relative_data_path_works_too(transport: SshPool, make_job: Callable[..., JobRequest]) -> None:
    layout = RunLayout(f"relative {uuid4()}/data", uuid4())
    job = replace(make_job(), layout=layout, arguments=("0", "0", str(layout.output)))
    try:
        number = slurm.submit(transport, layout, job)
        assert wait(transport, job, number).state is JobState.COMPLETED
        assert [file.path for file in listing.list_tree(transport, layout.output).files] == ["result.txt"]
    finally:
        transport.run(["rm", "-rf", "--", str(layout.data_path.parent)]).check()


def test_files_go_there_and_come_back(way: SshPool, base: PurePosixPath, tmp_path: Path) -> None:
    layout = RunLayout(str(base / "data"), uuid4())
    files = {f"plate.zarr/{index % 5}/{index}": os.urandom(20_000) for index in range(200)}
    with uploads.TarUpload(way, layout.input) as upload:
        for name, data in files.items():
            upload.add(name, data)
    listed = listing.list_tree(way, layout.input).files
    assert {file.path: file.sha256 for file in listed} == {
        name: hashlib.sha256(data).hexdigest() for name, data in files.items()
    }
    streams.download_tree(way, layout.input, listed, tmp_path / "home")
    assert {name: (tmp_path / "home" / name).read_bytes() for name in files} == files


def test_a_removed_run_is_gone(transport: SshPool, make_job: Callable[..., JobRequest]) -> None:
    job = make_job()
    number = slurm.submit(transport, job.layout, job)
    wait(transport, job, number)
    folders.remove_run(transport, job.layout)
    assert transport.run(["test", "-e", str(job.layout.root)]).exit_status == 1
    assert transport.run(["test", "-d", str(job.layout.data_path)]).exit_status == 0


def test_the_images_of_the_lab_are_found(transport: SshPool, lab: Lab) -> None:
    files = images.list_images(transport, str(lab.images_path), {"nuclei": "nuclei"})
    assert lab.nuclei_version in images.versions_of(files["nuclei"], "lab/w_nuclei")


def test_hours_of_polling_take_one_handshake(lab: Lab) -> None:
    assert lab.ssh_config
    pool = ssh.connect_pool(SshSettings(host=str(lab.ssh_alias), ssh_config=lab.ssh_config))
    layout = RunLayout("data", UUID(int=1))
    try:
        for _ in range(10):
            slurm.query(pool, [1], {1: layout.exit_file(1)})
        assert pool.handshakes == 1
    finally:
        pool.close()


class TestFence:
    @pytest.fixture
    def exported(self, transport: SshPool, make_job: Callable[..., JobRequest]) -> JobRequest:
        """A job whose run has been exported: it has a folder."""
        job = make_job(60)
        transport.run(["mkdir", "-p", "--", str(job.layout.root)]).check()
        return job

    def test_a_request_that_was_held_up_submits_nothing(self, transport: SshPool, exported: JobRequest) -> None:
        assert slurm.find_by_key(transport, exported.key, layout=exported.layout, fence=2) == []
        with pytest.raises(Fenced):
            slurm.submit(transport, exported.layout, exported, fence=1)
        assert slurm.find_by_key(transport, exported.key, layout=exported.layout, fence=2) == []

    def test_of_a_submission_and_a_look_up_at_once_one_knows_of_the_other(
        self, transport: SshPool, exported: JobRequest
    ) -> None:
        outcomes = set()
        for number in range(0, 60, 2):
            # Each round a key of its own, and now the one and now the other starts a little earlier.
            job = replace(exported, key=f"{exported.key}.{number}")
            lead_s = (number % 12 - 6) / 50

            def submit(job: JobRequest = job, number: int = number, lead_s: float = lead_s) -> int | None:
                time.sleep(max(0.0, -lead_s))
                try:
                    return slurm.submit(transport, job.layout, job, fence=number)
                except Fenced:
                    return None

            def look_up(job: JobRequest = job, number: int = number, lead_s: float = lead_s) -> list[int]:
                time.sleep(max(0.0, lead_s))
                return slurm.find_by_key(transport, job.key, layout=job.layout, fence=number + 1)

            with ThreadPoolExecutor(2) as executor:
                submitted, found = executor.submit(submit), executor.submit(look_up)
            job_id = submitted.result()
            assert found.result() == ([] if job_id is None else [job_id])
            outcomes.add(job_id is None)
            if job_id is not None:
                slurm.cancel(transport, [job_id])
        assert outcomes == {True, False}  # both came about
