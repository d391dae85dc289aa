"""Bringing a lab up and down, with parts that do nothing but sleep."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.lab import lifecycle
from tests.lab.description import CHECKOUT, Lab
from tests.lab.parts import LabContext, Part, PartFailed, load_parts
from tests.lab.ports import PortBlock

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


class Sleeper:
    """A part that runs one process."""

    def __init__(self, name: str, *, fails: bool = False) -> None:
        self.name = name
        self.fails = fails

    def start(self, ctx: LabContext) -> Mapping[str, object]:
        ctx.spawn(self.name, ["sleep", "60"])
        if self.fails:
            raise PartFailed(f"{self.name} has had enough")
        return {f"{self.name}_started": True}

    def stop(self, ctx: LabContext) -> None:
        ctx.end(self.name)

    def status(self, ctx: LabContext) -> str:
        return ctx.statuses(self.name)


@pytest.fixture
def parts() -> list[Part]:
    return [Sleeper("first"), Sleeper("second")]


@pytest.fixture
def base(tmp_path: Path, parts: list[Part]) -> Iterator[Path]:
    base = tmp_path / "lab"
    yield base
    if base.exists():
        (base / "lab.json").unlink(missing_ok=True)
        lifecycle.down(base, parts=parts)


def test_up_starts_every_part_in_order(base: Path, parts: list[Part]) -> None:
    started = lifecycle.up(base, parts=parts)
    assert [name for name, _ in started.parts] == ["first", "second"]
    assert lifecycle.statuses(base, parts=parts) == {"first": "running", "second": "running"}


def test_up_does_nothing_when_everything_runs(base: Path, parts: list[Part]) -> None:
    first = lifecycle.up(base, parts=parts)
    again = lifecycle.up(base, parts=parts)
    assert again.parts == ()
    assert again.lab == first.lab


def test_up_starts_only_what_does_not_run(base: Path, parts: list[Part]) -> None:
    lifecycle.up(base, parts=parts)
    ctx = LabContext(base=base, checkout=CHECKOUT, ports=PortBlock(0))
    ctx.end("second")
    assert lifecycle.statuses(base, parts=parts)["second"] == "stopped"
    started = lifecycle.up(base, parts=parts)
    assert [name for name, _ in started.parts] == ["second"]
    assert started.lab.other == {"first_started": True, "second_started": True}
    assert started.lab.parts == ("first", "second")


def test_down_stops_everything(base: Path, parts: list[Part]) -> None:
    lifecycle.up(base, parts=parts)
    assert lifecycle.down(base, parts=parts) == ("first", "second")
    assert not lifecycle.is_running(base)
    assert lifecycle.down(base, parts=parts) == ()


def test_a_lab_that_fails_to_start_leaves_nothing_running(base: Path) -> None:
    with pytest.raises(PartFailed):
        lifecycle.up(base, parts=[Sleeper("first"), Sleeper("second", fails=True)])
    assert not lifecycle.is_running(base)


def test_a_part_that_runs_already_survives_the_failure_of_another(base: Path) -> None:
    lifecycle.up(base, parts=[Sleeper("first")])
    with pytest.raises(PartFailed):
        lifecycle.up(base, parts=[Sleeper("first"), Sleeper("second", fails=True)])
    assert lifecycle.statuses(base, parts=[Sleeper("first"), Sleeper("second")]) == {
        "first": "running",
        "second": "stopped",
    }


def test_a_lab_of_another_checkout_is_named_and_not_touched(base: Path, parts: list[Part]) -> None:
    started = lifecycle.up(base, parts=parts)
    dataclasses.replace(started.lab, checkout=Path("/another/checkout")).save()
    for command in (lifecycle.up, lifecycle.down):
        with pytest.raises(lifecycle.LabOfAnotherCheckout, match="/another/checkout"):
            command(base, parts=parts)
    assert set(lifecycle.statuses(base, parts=parts).values()) == {"running"}


def test_a_stopped_lab_of_another_checkout_may_be_taken_over(base: Path, parts: list[Part]) -> None:
    started = lifecycle.up(base, parts=parts)
    lifecycle.down(base, parts=parts)
    dataclasses.replace(started.lab, checkout=Path("/another/checkout")).save()
    assert lifecycle.up(base, parts=parts).lab.checkout == CHECKOUT


def test_fresh_wipes_what_was_there(base: Path, parts: list[Part]) -> None:
    lifecycle.up(base, parts=parts)
    (base / "leftover").touch()
    assert [name for name, _ in lifecycle.up(base, fresh=True, parts=parts).parts] == ["first", "second"]
    assert not (base / "leftover").exists()


def test_a_directory_that_is_no_lab_is_never_wiped(tmp_path: Path, parts: list[Part]) -> None:
    precious = tmp_path / "thesis.tex"
    precious.touch()
    with pytest.raises(lifecycle.NotALab):
        lifecycle.up(tmp_path, fresh=True, parts=parts)
    assert precious.exists()


def test_a_lab_that_is_tested_against_can_be_kept_up(base: Path, parts: list[Part]) -> None:
    lifecycle.up(base, parts=parts)
    with lifecycle.in_use(base):
        assert lifecycle.down(base, unless_used=True, parts=parts) == ()
    assert lifecycle.down(base, unless_used=True, parts=parts) == ("first", "second")


def test_ports_stay_the_same_from_one_start_to_the_next(base: Path, parts: list[Part]) -> None:
    before = lifecycle.up(base, parts=parts).lab.ports
    lifecycle.down(base, parts=parts)
    assert lifecycle.up(base, parts=parts).lab.ports == before
    assert Lab.load(base).ports == before


def test_a_part_whose_module_does_not_exist_is_left_out() -> None:
    assert load_parts(["tests.lab.nowhere:Part"]) == []


def test_a_part_whose_module_lacks_something_else_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "broken_part.py").write_text("import no_such_library\n", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="no_such_library"):
        load_parts(["broken_part:Part"])
