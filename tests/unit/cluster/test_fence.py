"""Whoever comes late to the cluster is turned away, and a submission in flight is waited for."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import pytest

from worker.cluster import folders, slurm
from worker.errors import CommandFailed, Fenced

if TYPE_CHECKING:
    from pathlib import Path

    from tests.unit.cluster.programs import Cluster
    from worker.cluster.jobscript import JobRequest
    from worker.cluster.local import LocalTransport


class TestFence:
    @pytest.fixture(autouse=True)
    def exported(self, job: JobRequest, tmp_path: Path) -> None:
        """Make the folder that an exported run has."""
        (tmp_path / job.layout.root).mkdir(parents=True)

    def test_a_look_up_does_not_bring_back_a_run_that_was_removed(
        self, cluster: Cluster, here: LocalTransport, job: JobRequest, tmp_path: Path
    ) -> None:
        folders.remove_run(here, job.layout)
        assert slurm.find_by_key(here, job.key, layout=job.layout, fence=8) == []
        assert not (tmp_path / job.layout.root).exists()

    def test_nothing_is_submitted_under_a_smaller_number_than_somebody_has_looked_with(
        self, cluster: Cluster, here: LocalTransport, job: JobRequest
    ) -> None:
        cluster.says("sbatch", "17\n")
        slurm.find_by_key(here, job.key, layout=job.layout, fence=8)
        with pytest.raises(Fenced, match="8"):
            slurm.submit(here, job.layout, job, fence=7)
        assert cluster.arguments("sbatch") == []

    def test_the_one_who_has_looked_submits(self, cluster: Cluster, here: LocalTransport, job: JobRequest) -> None:
        cluster.says("sbatch", "17\n")
        slurm.find_by_key(here, job.key, layout=job.layout, fence=8)
        assert slurm.submit(here, job.layout, job, fence=9) == 17

    def test_whoever_comes_late_is_not_answered_either(
        self, cluster: Cluster, here: LocalTransport, job: JobRequest
    ) -> None:
        cluster.says("sbatch", "17\n")
        slurm.submit(here, job.layout, job)
        slurm.submit(here, job.layout, job, fence=9)
        with pytest.raises(Fenced):
            slurm.find_by_key(here, job.key, layout=job.layout, fence=8)

    def test_a_damaged_fence_keeps_nobody_out_for_ever(
        self, cluster: Cluster, here: LocalTransport, job: JobRequest, tmp_path: Path
    ) -> None:
        cluster.says("sbatch", "17\n")
        (tmp_path / job.layout.status).mkdir()
        (tmp_path / job.layout.fence).write_text("")
        assert slurm.submit(here, job.layout, job, fence=1) == 17

    def test_a_request_that_arrives_after_its_run_was_removed_submits_nothing(
        self, cluster: Cluster, here: LocalTransport, job: JobRequest
    ) -> None:
        cluster.says("sbatch", "17\n")
        slurm.find_by_key(here, job.key, layout=job.layout, fence=8)
        folders.remove_run(here, job.layout)
        with pytest.raises(CommandFailed, match="folder of the run is gone"):
            slurm.submit(here, job.layout, job, fence=7)
        assert cluster.arguments("sbatch") == []

    def test_a_submission_in_flight_is_waited_for(
        self, cluster: Cluster, here: LocalTransport, job: JobRequest, tmp_path: Path
    ) -> None:
        # sbatch takes its time, and squeue lists the job from then on.
        begun = tmp_path / "begun"
        listed = cluster.bin / "squeue.out"
        (cluster.bin / "sbatch").write_text(
            f"#!/bin/sh\n: >'{begun}'\nsleep 1\necho '17|{job.key}|job' >'{listed}'\necho 17\n"
        )
        numbers: list[int] = []
        thread = threading.Thread(target=lambda: numbers.append(slurm.submit(here, job.layout, job, fence=7)))
        thread.start()
        while not begun.exists():
            time.sleep(0.01)
        assert slurm.find_by_key(here, job.key, layout=job.layout, fence=8) == [17]
        thread.join()
        assert numbers == [17]

    def test_without_locks_a_job_that_nobody_can_have_seen_is_taken_back(
        self, cluster: Cluster, here: LocalTransport, job: JobRequest, tmp_path: Path
    ) -> None:
        (cluster.bin / "flock").write_text("#!/bin/sh\nexit 71\n")
        (cluster.bin / "flock").chmod(0o755)
        (tmp_path / job.layout.status).mkdir()
        # While sbatch runs, somebody looks for the job under a greater number.
        (cluster.bin / "sbatch").write_text(
            f"#!/bin/sh\necho 8 >'{tmp_path / job.layout.fence}'\necho 'hi'\necho '17;c'\n"
        )
        with pytest.raises(Fenced):
            slurm.submit(here, job.layout, job, fence=7)
        assert cluster.arguments("scancel") == ["17"]
