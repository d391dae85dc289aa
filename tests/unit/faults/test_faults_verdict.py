"""The verdict of a case can fail: every way in which evidence may be bad is seen."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.faults.evidence import Evidence
from tests.faults.faults import FAULTS
from tests.faults.kinds import KINDS
from tests.faults.verdict import judge

RUN = "6da91332-db3c-4c25-972f-ecdef0048af2"
ORDER = "0d4f4c9e-3c2e-5f0e-9b64-5f6a1c9d3f10"
WELL = Evidence(
    run_id=RUN,
    status="COMPLETED",
    message="",
    makers=(RUN,),
    submissions=("1e421a10-cac6-474e-9412-49b0dead3ae7",),
    recorded_jobs=(17,),
    jobs=(17,),
    images=("abc",),
    expected_image="abc",
    rois=("nuclei__run_1", "nuclei__run_2", "nuclei__run_3"),
    descriptions=(RUN,),
    logs=("omero-17.log",),
)
IN_PLACE = replace(
    WELL, expected=KINDS["in-place"].expected, registered=1, orders=(ORDER,), archives=("20261121_101112",)
)
KILLED, FULL = FAULTS["sigkill"], FAULTS["remote-disk-full"]


def test_a_run_that_is_done_once_is_well() -> None:
    assert judge(KILLED, WELL).clean


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"jobs": (17, 18)}, "Slurm jobs [17, 18] of one submission"),
        ({"images": ("abc", "abc")}, "result images: 2"),
        ({"descriptions": (RUN, RUN)}, "descriptions: 2"),
        ({"logs": ("omero-17.log",) * 2}, "logs of the job: 2"),
        ({"rois": (*WELL.rois, WELL.rois[0])}, "2 ROIs"),
        ({"orders": (ORDER,)}, "1 orders to the importer"),
        ({"registered": 1}, "images that the importer has made: 1 in the place of 0"),
        ({"files": {"data/in/.part": "abc"}}, "left over on the cluster: data/in/.part"),
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
        ({"descriptions": ()}, "descriptions: none"),
        ({"logs": ()}, "logs of the job: none"),
        ({"rois": WELL.rois[1:]}, "2 of 3 objects are drawn"),
        ({"expected_files": {"data/in/a.tif": "abc"}}, "not on the cluster: data/in/a.tif"),
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
        ({"files": {"a": "abc"}, "expected_files": {"a": "xyz"}}, "another file than without faults: a"),
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
        WELL, status="FAILED", message="tar: Cannot write: No space left on device", images=(), descriptions=(), logs=()
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


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"orders": (ORDER, ORDER)}, f"order {ORDER} was placed 2 times"),
        ({"orders": (ORDER, RUN)}, "2 orders to the importer"),
        ({"registered": 2}, "images that the importer has made: 2"),
        ({"archives": ("20261121_101112", ".20261121_101112.1f.part")}, "folders of results that stay: 2"),
    ],
)
def test_results_in_place_are_there_once(change: dict[str, Any], words: str) -> None:
    assert judge(KILLED, IN_PLACE).clean
    assert any(words in sentence for sentence in judge(KILLED, replace(IN_PLACE, **change)).doubled)
    assert judge(KILLED, replace(IN_PLACE, registered=0)).lost
    assert judge(KILLED, replace(IN_PLACE, archives=())).lost


def test_an_importer_that_was_killed_may_be_asked_once_more() -> None:
    assert judge(FAULTS["importer"], replace(IN_PLACE, orders=(ORDER, RUN))).clean
    assert judge(FAULTS["importer"], replace(IN_PLACE, orders=(ORDER, RUN, "a third"))).doubled


def test_whoever_cancels_is_told_what_the_importer_has_been_given() -> None:
    cancelled = replace(IN_PLACE, status="FAILED", message="Cancelled by alice.", images=(), registered=1)
    assert judge(FAULTS["cancel"], cancelled).false
    told = replace(cancelled, message=f"Cancelled by alice. The importer still has order {ORDER}.")
    assert judge(FAULTS["cancel"], told).clean
    assert judge(FAULTS["cancel"], replace(told, left=("/data/biomero_x",))).doubled
