"""The verdict of a case can fail: every way in which evidence may be bad is seen."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.faults.evidence import Evidence
from tests.faults.faults import FAULTS
from tests.faults.verdict import judge

RUN = "6da91332-db3c-4c25-972f-ecdef0048af2"
WELL = Evidence(
    run_id=RUN,
    status="COMPLETED",
    message="",
    submission="1e421a10-cac6-474e-9412-49b0dead3ae7",
    recorded_jobs=(17,),
    jobs=(17,),
    images=("abc",),
    expected_image="abc",
    rois=("nuclei__run_1", "nuclei__run_2", "nuclei__run_3"),
    provenances=1,
    logs=1,
)
KILLED, FULL = FAULTS["sigkill"], FAULTS["remote-disk-full"]


def test_a_run_that_is_done_once_is_well() -> None:
    assert judge(KILLED, WELL).clean


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"jobs": (17, 18)}, "Slurm jobs [17, 18] of one submission"),
        ({"images": ("abc", "abc")}, "result images: 2"),
        ({"provenances": 2}, "descriptions: 2"),
        ({"logs": 2}, "logs of the job: 2"),
        ({"other_jobs": ("18 (nuclei-x)",)}, "job of another submission"),
        ({"queued": ("18 PENDING nuclei",)}, "still in the queue"),
        ({"leases": (RUN,)}, "has not expired"),
        ({"left": ("/data/biomero_x",)}, "left over: /data/biomero_x"),
    ],
)
def test_what_is_there_twice_or_left_over_is_doubled(change: dict[str, Any], words: str) -> None:
    verdict = judge(KILLED, replace(WELL, **change))
    assert any(words in sentence for sentence in verdict.doubled)
    assert not verdict.lost


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"status": "STARTED"}, "it has not ended"),
        ({"status": "PAUSED", "message": "No space left on device"}, "the run is PAUSED"),
        ({"jobs": ()}, "Slurm knows no job"),
        ({"images": ()}, "result images: none"),
        ({"provenances": 0}, "descriptions: none"),
        ({"logs": 0}, "logs of the job: none"),
    ],
)
def test_what_is_not_there_is_lost(change: dict[str, Any], words: str) -> None:
    verdict = judge(KILLED, replace(WELL, **change))
    assert any(words in sentence for sentence in verdict.lost)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"recorded_jobs": (16,)}, "the record says job [16], Slurm [17]"),
        ({"recorded_jobs": ()}, "its record names jobs []"),
        ({"images": ("xyz",)}, "not what the job wrote"),
        ({"views": ("worker_run is not what the events give",)}, "not what the events give"),
        ({"pauses": ("The cluster cannot be reached.",)}, "paused for a reason that is not true"),
        ({"status": "FAILED", "message": "No space left on device"}, "a reason that is not true"),
    ],
)
def test_what_is_not_so_is_false(change: dict[str, Any], words: str) -> None:
    verdict = judge(KILLED, replace(WELL, **change))
    assert any(words in sentence for sentence in verdict.false)


def test_a_true_reason_may_be_told() -> None:
    told = replace(WELL, pauses=("The cluster's disk is full.",))
    assert judge(FULL, told).clean
    failed = replace(
        WELL, status="FAILED", message="tar: Cannot write: No space left on device", images=(), provenances=0, logs=0
    )
    assert judge(FULL, failed).clean


def test_a_run_that_failed_truly_may_still_not_have_two_jobs() -> None:
    failed = replace(WELL, status="FAILED", message="No space left on device", jobs=(17, 18))
    assert not judge(FULL, failed).clean


def test_a_full_disk_is_no_defect_of_ours() -> None:
    told = replace(WELL, pauses=("Internal error (OSError: [Errno 28] No space left on device).",))
    assert judge(FULL, told).false


def test_nobody_is_told_that_a_disk_is_full_when_the_network_is_cut() -> None:
    told = replace(WELL, pauses=("No space left on device",))
    assert judge(FAULTS["ssh-cut"], told).false
