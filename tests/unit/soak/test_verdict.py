"""What counts as lost, doubled and false."""

from __future__ import annotations

from collections import Counter

from tests.soak.evidence import Verdict, until_none


def test_each_thing_once_is_nothing_to_talk_about() -> None:
    verdict = Verdict(2)
    verdict.expect_once("jobs", ["a", "b"], Counter("ab"))
    assert verdict.clean
    assert verdict.line == "soak: runs 2, lost 0, doubled 0, false 0"


def test_what_is_not_there_is_lost() -> None:
    verdict = Verdict(2)
    verdict.expect_once("jobs", ["a", "b"], Counter("a"))
    assert verdict.lost == ["jobs: none for b"]
    assert not verdict.clean


def test_what_is_there_twice_is_doubled() -> None:
    verdict = Verdict(1)
    verdict.expect_once("jobs", ["a"], Counter("aa"))
    assert verdict.doubled == ["jobs: 2 for a"]


def test_what_nobody_asked_for_is_doubled() -> None:
    verdict = Verdict(1)
    verdict.expect_once("images", ["a"], Counter("ab"))
    assert verdict.doubled == ["images: 1 for b, which nobody asked for"]


def test_what_comes_to_rest_late_is_waited_for() -> None:
    looks = iter([["job 7"], ["job 7"], []])
    assert until_none(lambda: next(looks)) == []
