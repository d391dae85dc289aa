"""What a lab says of itself."""

from __future__ import annotations

import stat
from pathlib import Path, PurePosixPath

import pytest

from tests.lab.description import Lab, LabNotThere, description_file


def test_a_description_survives_its_file(tmp_path: Path) -> None:
    lab = Lab(
        base=tmp_path,
        checkout=Path("/somewhere"),
        ports={"sshd": 22022},
        ssh_port=22022,
        key=tmp_path / "key",
        data_path=PurePosixPath("/home/someone/data"),
        partitions=("cpu", "gpu"),
        omero_users={"root": "omero"},
    )
    lab.save()
    assert Lab.load(tmp_path) == lab


def test_a_part_that_was_not_started_is_none(tmp_path: Path) -> None:
    lab = Lab.from_facts({"base": tmp_path, "checkout": tmp_path})
    assert lab.omero_port is None
    assert lab.web_port is None


def test_a_fact_without_a_field_is_kept(tmp_path: Path) -> None:
    lab = Lab.from_facts({"base": tmp_path, "checkout": tmp_path, "weather": "fine"})
    lab.save()
    assert Lab.load(tmp_path).other == {"weather": "fine"}
    assert Lab.load(tmp_path).as_facts()["weather"] == "fine"


def test_only_its_owner_can_read_the_passwords(tmp_path: Path) -> None:
    Lab(base=tmp_path, checkout=tmp_path).save()
    assert stat.S_IMODE(description_file(tmp_path).stat().st_mode) == 0o600


def test_a_lab_that_was_never_started_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(LabNotThere, match="make lab-up"):
        Lab.load(tmp_path)
