"""Slurm's commands, played by scripts that say what was once seen; real clusters are asked in tests/system."""

from __future__ import annotations

import shutil
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import pytest

from tests.faults.transport import CountingTransport, FaultyTransport
from tests.unit.cluster.programs import RUN, TASK, Cluster
from worker.cluster import folders, slurm
from worker.cluster.jobscript import JobRequest, render
from worker.cluster.layout import RunLayout
from worker.cluster.scripts import script
from worker.cluster.states import JobState
from worker.errors import CommandFailed, NotSent, OutcomeUnknown, SubmissionRefused

if TYPE_CHECKING:
    from worker.cluster.local import LocalTransport

UNREACHABLE = "slurm_load_jobs error: Unable to contact slurm controller (connect failure)"
NO_PARTITION = """\
sbatch: error: invalid partition specified: x
sbatch: error: Batch job submission failed: Invalid partition name specified
"""
NO_DATABASE = (
    "sacct: error: slurm_persist_conn_open_without_init: failed to open persistent connection: Connection refused"
)


class TestSubmit:
    @pytest.mark.parametrize(
        ("said", "number"),
        [
            ("17\n", 17),
            ("17;testcl\n", 17),
            ("Welcome to the cluster\n*** 3 messages ***\n17\n", 17),
            ("sbatch: lua: your job was routed\n17;testcl\n", 17),
        ],
    )
    def test_the_number_is_found_whatever_else_is_said(
        self, cluster: Cluster, here: LocalTransport, job: JobRequest, said: str, number: int
    ) -> None:
        cluster.says("sbatch", said)
        assert slurm.submit(here, job.layout, job) == number

    def test_the_script_is_there_whole_and_the_run_has_its_folders(
        self, cluster: Cluster, here: LocalTransport, job: JobRequest, tmp_path: Path
    ) -> None:
        cluster.says("sbatch", "17\n")
        slurm.submit(here, job.layout, job)
        path = job.layout.script(TASK)
        assert (tmp_path / path).read_text() == render(job)
        assert [entry.name for entry in (tmp_path / path).parent.glob("job_*")] == [path.name]
        assert cluster.arguments("sbatch")[-1] == str(path)
        assert f"--comment={TASK}" in cluster.arguments("sbatch")
        for folder in job.layout.folders:
            assert (tmp_path / folder).is_dir()

    def test_half_a_script_is_not_submitted(
        self, cluster: Cluster, here: LocalTransport, job: JobRequest, tmp_path: Path
    ) -> None:
        class Cutting(CountingTransport):
            def run(self, argv, *, stdin=None, timeout_s=None):  # type: ignore[no-untyped-def]  # as the base class
                if stdin is not None:
                    stdin = [piece[:-10] for piece in stdin]
                return super().run(argv, stdin=stdin, timeout_s=timeout_s)

        cluster.says("sbatch", "17\n")
        with pytest.raises(CommandFailed, match="arrived incomplete"):
            slurm.submit(Cutting(here), job.layout, job)
        assert cluster.arguments("sbatch") == []
        assert list(tmp_path.rglob("job_*")) == []

    @pytest.mark.parametrize(
        ("error", "words"),
        [
            (
                NO_PARTITION,
                "invalid partition specified: x Batch job submission failed: Invalid partition name specified",
            ),
            ("sbatch: error: Invalid --time specification", "Invalid --time specification"),
        ],
    )
    def test_a_refusal_is_told_in_slurms_words(
        self, cluster: Cluster, here: LocalTransport, job: JobRequest, error: str, words: str
    ) -> None:
        cluster.says("sbatch", error=error, status=1)
        with pytest.raises(SubmissionRefused, match=words):
            slurm.submit(here, job.layout, job)

    @pytest.mark.parametrize(
        "error",
        [
            "sbatch: error: Batch job submission failed: Socket timed out on send/recv operation",
            "sbatch: error: Batch job submission failed: Unable to contact slurm controller (connect failure)",
            "sbatch: error: Batch job submission failed: Zero Bytes were transmitted or received",
        ],
    )
    def test_without_an_answer_from_slurm_the_outcome_is_unknown(
        self, cluster: Cluster, here: LocalTransport, job: JobRequest, error: str
    ) -> None:
        cluster.says("sbatch", error=error, status=1)
        with pytest.raises(OutcomeUnknown):
            slurm.submit(here, job.layout, job)

    def test_too_many_jobs_is_a_matter_of_waiting(
        self, cluster: Cluster, here: LocalTransport, job: JobRequest
    ) -> None:
        error = (
            "sbatch: error: AssocMaxSubmitJobLimit\nsbatch: error: Batch job submission failed: Job violates "
            "accounting/QOS policy (job submit limit, user's size and/or time limits)"
        )
        cluster.says("sbatch", error=error, status=1)
        with pytest.raises(NotSent, match="no more jobs"):
            slurm.submit(here, job.layout, job)

    def test_success_without_a_number_is_not_taken_for_one(
        self, cluster: Cluster, here: LocalTransport, job: JobRequest
    ) -> None:
        cluster.says("sbatch", "thank you\n")
        with pytest.raises(OutcomeUnknown, match="gave no number"):
            slurm.submit(here, job.layout, job)

    def test_a_cluster_without_sbatch_refuses(self, cluster: Cluster, here: LocalTransport, job: JobRequest) -> None:
        cluster.says("sbatch", error="sh: 1: sbatch: not found", status=127)
        with pytest.raises(SubmissionRefused, match="sbatch: not found"):
            slurm.submit(here, job.layout, job)

    def test_a_lost_reply_is_passed_on(self, cluster: Cluster, here: LocalTransport, job: JobRequest) -> None:
        cluster.says("sbatch", "17\n")
        faulty = FaultyTransport(here)
        faulty.lose_reply("submit")
        with pytest.raises(OutcomeUnknown):
            slurm.submit(faulty, job.layout, job)
        assert cluster.arguments("sbatch")

    def test_a_job_of_another_run_is_refused(self, here: LocalTransport, job: JobRequest) -> None:
        with pytest.raises(ValueError, match="belongs to run"):
            slurm.submit(here, RunLayout("other", RUN), job)


class TestFindByKey:
    key = str(TASK)

    def test_it_is_found_in_queue_and_accounting(self, cluster: Cluster, here: LocalTransport) -> None:
        cluster.says("squeue", f"7|{self.key}|omero-job-x-{self.key}\n8|other|omero-job-x-other\n")
        cluster.says("sacct", f"5||omero-job-x-{self.key}\n6_1|{self.key}|renamed\n9||x\n")
        assert slurm.find_by_key(here, self.key) == [5, 6, 7]

    def test_it_is_found_by_its_exit_file(
        self, cluster: Cluster, here: LocalTransport, layout: RunLayout, tmp_path: Path
    ) -> None:
        exit_file = tmp_path / layout.exit_file(12)
        exit_file.parent.mkdir(parents=True)
        exit_file.write_text(f'{{"key": "{self.key}"}}\n')
        (exit_file.parent / "13.json").write_text('{"key": "other"}\n')
        assert slurm.find_by_key(here, self.key, layout=layout) == [12]

    def test_the_job_of_another_attempt_is_another_job(
        self, cluster: Cluster, here: LocalTransport, layout: RunLayout, tmp_path: Path
    ) -> None:
        cluster.says("squeue", f"7|{self.key}.2|omero-job-x-{self.key}.2\n")
        cluster.says("sacct", f"7||omero-job-x-{self.key}.2\n8||omero-job-x-{self.key}.20\n")
        (tmp_path / layout.status).mkdir(parents=True)
        (tmp_path / layout.exit_file(7)).write_text(f'{{"key": "{self.key}.2"}}\n')
        assert slurm.find_by_key(here, self.key, layout=layout) == []
        assert slurm.find_by_key(here, f"{self.key}.2", layout=layout) == [7]

    def test_nothing_is_an_answer_only_if_slurm_has_answered(self, cluster: Cluster, here: LocalTransport) -> None:
        assert slurm.find_by_key(here, self.key) == []
        cluster.says("sacct", error=NO_DATABASE, status=1)
        with pytest.raises(NotSent, match=r"accounting does not answer.*Connection refused"):
            slurm.find_by_key(here, self.key)
        cluster.says("sacct")
        cluster.says("squeue", error=UNREACHABLE, status=1)
        with pytest.raises(NotSent, match="controller does not answer"):
            slurm.find_by_key(here, self.key)

    def test_what_is_found_counts_even_if_not_all_have_answered(self, cluster: Cluster, here: LocalTransport) -> None:
        cluster.says("squeue", f"7||omero-job-x-{self.key}\n")
        cluster.says("sacct", error=NO_DATABASE, status=1)
        assert slurm.find_by_key(here, self.key) == [7]

    def test_a_cluster_without_accounting_answers_cleanly(self, cluster: Cluster, here: LocalTransport) -> None:
        cluster.says("sacct", error="Slurm accounting storage is disabled", status=1)
        assert slurm.find_by_key(here, self.key) == []

    def test_an_empty_key_is_refused(self, here: LocalTransport) -> None:
        with pytest.raises(ValueError, match="empty key"):
            slurm.find_by_key(here, "")


class TestQuery:
    def write(self, tmp_path: Path, layout: RunLayout, job: int, *, code: int | None = None, log: str = "") -> None:
        run = tmp_path / layout.root
        (run / "status").mkdir(parents=True, exist_ok=True)
        if code is not None:
            (tmp_path / layout.exit_file(job)).write_text(f'{{"key": "{TASK}", "exit_code": {code}}}\n')
        if log:
            (tmp_path / layout.log(job)).write_text(log)

    def ask(self, here: LocalTransport, layout: RunLayout, *jobs: int) -> slurm.QueryResult:
        return slurm.query(here, jobs, {job: layout.exit_file(job) for job in jobs})

    def test_one_round_trip_answers_for_all(
        self, cluster: Cluster, here: LocalTransport, layout: RunLayout, tmp_path: Path
    ) -> None:
        cluster.says("squeue", "1|RUNNING|0:07|None|x\n2|PENDING|0:00|Resources|x\n")
        cluster.says("sacct", "3|OUT_OF_MEMORY|9|0:125|2026-01-01T00:00:00||||||||||x\n")
        self.write(tmp_path, layout, 1, log="10%\n" * 1000 + "42%\n")
        self.write(tmp_path, layout, 4, code=66)
        counting = CountingTransport(here)
        jobs = (1, 2, 3, 4, 5)
        answer = slurm.query(counting, jobs, {job: layout.exit_file(job) for job in jobs})
        assert counting.commands == {"query": 1}
        assert [answer[job].state.value for job in jobs] == [
            "RUNNING", "PENDING", "OUT_OF_MEMORY", "FAILED", "UNKNOWN",
        ]  # fmt: skip
        assert (answer[1].progress, answer[1].elapsed_s) == ("42%", 7)
        assert answer[2].reason == "Resources"
        assert (answer[4].exit_code, answer[4].source) == (66, "exit_file")
        assert answer.problems == ()
        assert len(answer) == 5

    def test_accounting_is_asked_only_about_those_that_are_not_live(
        self, cluster: Cluster, here: LocalTransport, layout: RunLayout
    ) -> None:
        cluster.says("squeue", "1|RUNNING|0:07|None|x\n2|COMPLETED|0:01|None|x\n")
        self.ask(here, layout, 1, 2, 3)
        arguments = cluster.arguments("sacct")
        assert arguments[arguments.index("-j") + 1] == "2,3"

    def test_accounting_is_not_asked_when_all_are_live(
        self, cluster: Cluster, here: LocalTransport, layout: RunLayout
    ) -> None:
        cluster.says("squeue", "1|RUNNING|0:07|None|x\n")
        self.ask(here, layout, 1)
        assert cluster.arguments("sacct") == []

    def test_an_old_job_is_no_error(self, cluster: Cluster, here: LocalTransport, layout: RunLayout) -> None:
        cluster.says("squeue", error="slurm_load_jobs error: Invalid job id specified\n", status=1)
        cluster.says("sacct", "1|COMPLETED|9|0:0|2026-01-01T00:00:00||||||||||x\n")
        answer = self.ask(here, layout, 1)
        assert (answer[1].state, answer.problems) == (JobState.COMPLETED, ())

    def test_a_controller_that_does_not_answer_is_told_and_nothing_is_guessed(
        self, cluster: Cluster, here: LocalTransport, layout: RunLayout, tmp_path: Path
    ) -> None:
        cluster.says("squeue", error=UNREACHABLE, status=1)
        self.write(tmp_path, layout, 2, code=0)
        answer = self.ask(here, layout, 1, 2)
        assert (answer[1].state, answer[2].state) == (JobState.UNKNOWN, JobState.COMPLETED)
        assert answer.problems == (f"Slurm's controller does not answer (squeue: {UNREACHABLE}).",)

    def test_accounting_that_does_not_answer_is_told(
        self, cluster: Cluster, here: LocalTransport, layout: RunLayout
    ) -> None:
        cluster.says("sacct", error=NO_DATABASE, status=1)
        answer = self.ask(here, layout, 1)
        assert answer[1].state is JobState.UNKNOWN
        assert "accounting does not answer" in answer.problems[0]

    def test_a_number_that_was_handed_out_again_is_not_ours(
        self, cluster: Cluster, here: LocalTransport, layout: RunLayout
    ) -> None:
        cluster.says("squeue", "1|RUNNING|0:07|None|omero-job-x-somebody-else\n")
        answer = slurm.query(here, [1], {1: layout.exit_file(1)}, keys={1: str(TASK)})
        assert answer[1].state is JobState.UNKNOWN

    def test_thousands_of_jobs_are_asked_in_chunks(self, cluster: Cluster, here: LocalTransport) -> None:
        counting = CountingTransport(here)
        answer = slurm.query(counting, range(1, 1202), {})
        assert len(answer) == 1201
        assert counting.commands == {"query": 3}

    def test_accounting_can_be_left_alone(self, cluster: Cluster, here: LocalTransport, layout: RunLayout) -> None:
        answer = slurm.query(here, [1], {1: layout.exit_file(1)}, ask_accounting=False)
        assert cluster.arguments("sacct") == []
        assert (answer.accounting, answer.problems, answer[1].lost) == ("not asked", (), False)

    def test_accounting_that_does_not_answer_is_not_waited_for_again_by_the_next_chunk(
        self, cluster: Cluster, here: LocalTransport
    ) -> None:
        cluster.says("sacct", error=NO_DATABASE, status=1)
        answer = slurm.query(here, range(1, 1202), {})
        arguments = cluster.arguments("sacct")
        assert arguments[arguments.index("-j") + 1].startswith("1,2,3")
        assert (answer.accounting, answer.round_trips) == ("silent", 3)

    def test_slurm_that_hangs_does_not_hang_us(self, cluster: Cluster, here: LocalTransport, layout: RunLayout) -> None:
        cluster.says("timeout", status=124)
        answer = self.ask(here, layout, 1)
        assert answer.problems == (
            "Slurm's controller does not answer (squeue: no answer within 30 s).",
            "Slurm's accounting does not answer (sacct: no answer within 30 s).",
        )


class TestCancelLogRemove:
    def test_jobs_are_cancelled_together(self, cluster: Cluster, here: LocalTransport) -> None:
        slurm.cancel(here, [1, 2])
        assert cluster.arguments("scancel") == ["1", "2"]

    def test_no_job_is_no_command(self, cluster: Cluster, here: LocalTransport) -> None:
        slurm.cancel(here, [])
        assert cluster.arguments("scancel") == []

    def test_a_job_that_has_ended_is_as_good_as_cancelled(self, cluster: Cluster, here: LocalTransport) -> None:
        cluster.says("scancel", error="scancel: error: Kill job error on job id 1: Invalid job id specified", status=1)
        slurm.cancel(here, [1])

    def test_others_jobs_are_refused_and_silence_is_transient(self, cluster: Cluster, here: LocalTransport) -> None:
        cluster.says("scancel", error="scancel: error: Kill job error on job id 1: Access/permission denied", status=1)
        with pytest.raises(CommandFailed, match="permission denied"):
            slurm.cancel(here, [1])
        cluster.says("scancel", error="scancel: error: Unable to contact slurm controller (connect failure)", status=1)
        with pytest.raises(NotSent):
            slurm.cancel(here, [1])

    def test_a_log_is_read_whole_or_its_end(self, here: LocalTransport, layout: RunLayout, tmp_path: Path) -> None:
        (tmp_path / layout.root).mkdir(parents=True)
        (tmp_path / layout.log(5)).write_bytes(b"one\ntwo\xff\nthree\n")
        assert slurm.read_log(here, layout, 5) == b"one\ntwo\xff\nthree\n"
        assert slurm.read_log(here, layout, 5, tail_lines=1) == b"three\n"
        with pytest.raises(CommandFailed, match="omero-6"):
            slurm.read_log(here, layout, 6)

    def test_a_run_is_removed_and_its_neighbours_are_not(
        self, here: LocalTransport, layout: RunLayout, tmp_path: Path
    ) -> None:
        other = tmp_path / "my data" / "biomero_other"
        for folder in (other, *(tmp_path / folder for folder in layout.folders)):
            folder.mkdir(parents=True)
        folders.remove_run(here, layout)
        assert [path.name for path in (tmp_path / "my data").iterdir()] == ["biomero_other"]
        folders.remove_run(here, layout)

    def test_a_link_in_place_of_a_run_does_not_lead_anywhere(
        self, here: LocalTransport, layout: RunLayout, tmp_path: Path
    ) -> None:
        (tmp_path / "precious").mkdir()
        (tmp_path / "precious" / "file").touch()
        (tmp_path / "my data").mkdir()
        (tmp_path / layout.root).symlink_to(tmp_path / "precious")
        folders.remove_run(here, layout)
        assert (tmp_path / "precious" / "file").exists()
        assert not (tmp_path / layout.root).is_symlink()

    @pytest.mark.parametrize("name", ["..", "biomero_/../..", "other", "", "biomero_x/y"])
    def test_the_far_side_refuses_what_is_no_run_too(self, here: LocalTransport, tmp_path: Path, name: str) -> None:
        (tmp_path / "data" / "other").mkdir(parents=True)
        assert here.run(script("remove_run", "data", name, str(RUN))).exit_status == 64
        assert (tmp_path / "data" / "other").exists()


def test_room_on_a_disk_is_what_the_system_says(here: LocalTransport, tmp_path: Path) -> None:
    free = slurm.free_bytes(here, PurePosixPath(tmp_path))
    assert 0 < free <= shutil.disk_usage(tmp_path).total


@pytest.mark.parametrize(
    ("line", "free"),
    [
        ("/dev/sda1 264212084 33590728 72800184 32% /", 72800184),
        ("nas:/my vol 100 40 60 40% /mnt/my share", 60),
        ("tmpfs 8192 8192 0 100% /scratch", 0),
        ("proc 0 0 0 - /proc", 0),
    ],
)
def test_names_with_blanks_do_not_disturb(here: LocalTransport, cluster: Cluster, line: str, free: int) -> None:
    cluster.says("df", f"Filesystem 1024-blocks Used Available Capacity Mounted on\n{line}\n")
    assert slurm.free_bytes(here, PurePosixPath("data")) == free * 1024


def test_room_where_nothing_is_cannot_be_told(here: LocalTransport) -> None:
    with pytest.raises(CommandFailed):
        slurm.free_bytes(here, PurePosixPath("/nothing/here"))
