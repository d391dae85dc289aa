"""Arrays: what is true about all tasks together, whoever has forgotten some of them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Literal

import pytest

from tests.unit.cluster.programs import TASK, Cluster
from worker.cluster import slurm, verdict
from worker.cluster.jobscript import ArrayChoice
from worker.cluster.states import JobReport, JobState

if TYPE_CHECKING:
    from pathlib import Path

    from worker.cluster.answers import Accounting, Tasks
    from worker.cluster.layout import RunLayout
    from worker.cluster.local import LocalTransport

STATES = {"PD": "PENDING", "R": "RUNNING", "CD": "COMPLETED", "F": "FAILED", "CA": "CANCELLED", "OOM": "OUT_OF_MEMORY"}


def said(source: Literal["squeue", "sacct", "exit_file"], **tasks: str) -> Tasks:
    """Reports by task: ``_1="CD"`` is task 1, ``rest="PD"`` those that wait."""
    found = {}
    for name, word in tasks.items():
        code = {"CD": 0, "F": 1}.get(word)
        job = "11_[3-94+" if name == "rest" else f"11{name}"
        found[job] = JobReport(11, JobState[STATES[word]], code, source=source)
    return found


def judged(
    live: dict[str, str],
    accounted: dict[str, str],
    left: dict[str, str],
    *,
    tasks: int | None = 3,
    accounting: Accounting = "answered",
) -> JobReport:
    return verdict.judge(
        11,
        said("squeue", **live),
        said("sacct", **accounted),
        said("exit_file", **left),
        tasks=tasks,
        queue_answered=True,
        accounting=accounting,
    )


class TestWhatIsTrue:
    @pytest.mark.parametrize(
        ("live", "accounted", "left", "state"),
        [
            # Accounting alone.
            ({}, {"_1": "F", "_2": "CD", "_3": "CD"}, {}, "FAILED"),
            ({}, {"_1": "CD", "_2": "CD", "_3": "F"}, {}, "FAILED"),
            ({}, {"_1": "CD", "_2": "CD", "_3": "CD"}, {"_1": "CD"}, "COMPLETED"),
            ({}, {"_1": "CD", "_2": "CD", "rest": "PD"}, {"_1": "CD"}, "UNKNOWN"),
            # Cancelled while two of them waited.
            ({}, {"_1": "CD", "rest": "CA"}, {"_1": "CD"}, "CANCELLED"),
            # One that waits or runs keeps the array going, whatever the others have come to.
            ({"_1": "F", "rest": "PD"}, {}, {"_1": "F"}, "PENDING"),
            ({"_1": "CD", "_2": "R", "_3": "CD"}, {"_1": "CD"}, {"_1": "CD"}, "RUNNING"),
            # squeue has forgotten the first, which was killed and left nothing; accounting knows.
            (
                {"_2": "CD", "_3": "CD"},
                {"_1": "OOM", "_2": "CD", "_3": "CD"},
                {"_2": "CD", "_3": "CD"},
                "OUT_OF_MEMORY",
            ),
            # Exit files alone.
            ({}, {}, {"_1": "CD", "_2": "CD", "_3": "CD"}, "COMPLETED"),
            ({}, {}, {"_1": "CD", "_2": "F", "_3": "CD"}, "FAILED"),
            ({}, {}, {"_1": "CD", "_3": "CD"}, "UNKNOWN"),
            # Each task has a witness, though not the same.
            ({"_3": "CD"}, {"_2": "CD"}, {"_1": "CD"}, "COMPLETED"),
        ],
    )
    def test_it_is_about_all_tasks(
        self, live: dict[str, str], accounted: dict[str, str], left: dict[str, str], state: str
    ) -> None:
        assert judged(live, accounted, left).state.value == state

    def test_a_task_that_nobody_lists_any_more_is_not_taken_for_a_good_one(self) -> None:
        # Without accounting, after squeue has forgotten the first task, which was killed.
        report = judged({"_2": "CD", "_3": "CD"}, {}, {"_2": "CD", "_3": "CD"}, accounting="disabled")
        assert report.state is JobState.UNKNOWN
        assert not report.lost

    def test_how_many_failed_and_the_first_of_them_are_told(self) -> None:
        report = judged({}, {"_1": "CD", "_2": "OOM", "_3": "F"}, {"_1": "CD"})
        assert report.reason == "2 of 3 tasks failed, the first is task 2: OUT_OF_MEMORY"

    def test_an_array_of_which_no_task_has_left_word_is_judged_by_its_rows(self) -> None:
        assert judged({}, {"_1": "CD", "_2": "F"}, {}, tasks=None).state is JobState.FAILED
        assert judged({"rest": "PD"}, {}, {}, tasks=None).state is JobState.PENDING


class TestAsTheClusterAnswers:
    def leave(self, folder: Path, number: int, code: int = 0, tasks: int = 4, key: str = str(TASK)) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        content = {"key": key, "exit_code": code, "signal": "", "reason": "why" if code else "", "tasks": tasks}
        (folder / f"11_{number}.json").write_text(json.dumps(content) + "\n")

    def ask(self, here: LocalTransport, layout: RunLayout) -> JobReport:
        return slurm.query(here, [11], {11: layout.exit_file(11)}, keys={11: str(TASK)})[11]

    def test_progress_is_the_part_of_the_tasks_that_have_ended(
        self, cluster: Cluster, here: LocalTransport, layout: RunLayout, tmp_path: Path
    ) -> None:
        cluster.says("squeue", f"11_[3-4]|PENDING|0:00|Resources|c-{TASK}\n11_2|RUNNING|0:05|None|c-{TASK}\n")
        assert self.ask(here, layout).progress is None
        self.leave(tmp_path / layout.status, 1)
        report = self.ask(here, layout)
        assert (report.state, report.progress) == (JobState.RUNNING, "25%")

    def test_without_accounting_their_exit_files_tell(
        self, cluster: Cluster, here: LocalTransport, layout: RunLayout, tmp_path: Path
    ) -> None:
        cluster.says("sacct", error="Slurm accounting storage is disabled\n", status=1)
        for number in (1, 2, 3):
            self.leave(tmp_path / layout.status, number, code=7 if number == 2 else 0)
        assert self.ask(here, layout).state is JobState.UNKNOWN
        self.leave(tmp_path / layout.status, 4)
        report = self.ask(here, layout)
        assert (report.state, report.exit_code) == (JobState.FAILED, 7)
        assert report.reason == "1 of 4 tasks failed, the first is task 2: why"

    def test_those_of_an_earlier_array_with_the_same_number_tell_nothing(
        self, cluster: Cluster, here: LocalTransport, layout: RunLayout, tmp_path: Path
    ) -> None:
        cluster.says("squeue", f"11_[1-4]|PENDING|0:00|Resources|c-{TASK}\n")
        self.leave(tmp_path / layout.status, 1, key="somebody-else")
        assert self.ask(here, layout).progress is None
        cluster.says("squeue")
        assert self.ask(here, layout).state is JobState.UNKNOWN


def test_an_array_is_written_as_slurm_takes_it() -> None:
    assert str(ArrayChoice(7)) == "1-7"
    assert str(ArrayChoice(7, parallel=2)) == "1-7%2"
    for wrong in ((0, None), (3, 0)):
        with pytest.raises(ValueError, match="no array"):
            ArrayChoice(*wrong)
