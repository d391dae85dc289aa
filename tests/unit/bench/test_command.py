"""The command: help, names of rows, and what is said when it cannot measure."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.bench import machine
from tests.bench.__main__ import RowName, main

if TYPE_CHECKING:
    from pathlib import Path


def test_the_help_names_every_row(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    assert ended.value.code == 0
    said = capsys.readouterr().out
    assert all(f"{name}:" in said for name in RowName)


def test_a_row_that_is_not_there_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--only", "speed"])
    assert ended.value.code == 2
    assert "speed" in capsys.readouterr().err


def test_without_a_lab_the_way_to_start_one_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OMERO_WORKER_LAB", str(tmp_path / "lab"))
    output = tmp_path / "bench.json"
    with pytest.raises(SystemExit) as ended:
        main(["--only", "export", "--output", str(output)])
    assert ended.value.code == 1
    assert "make lab-up" in capsys.readouterr().out
    assert not output.exists()


def test_the_facts_tell_the_machine_and_the_versions() -> None:
    facts = json.loads(json.dumps(machine.facts()))
    assert facts["machine"]["cores"] >= 1
    assert facts["machine"]["memory_mib"] > 256
    assert facts["versions"]["omero-py"]
    assert facts["date"].endswith("+00:00")
