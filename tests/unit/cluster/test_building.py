"""Building the converter with the real apptainer, on a base from a small registry."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.lab import registry as registries
from worker.cluster import building
from worker.cluster.building import build_converter, definition, inspect_converter
from worker.cluster.pulling import PullOptions
from worker.settings.models import SlurmSettings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.lab.registry import Registry
    from worker.cluster.local import LocalTransport

SETTINGS = SlurmSettings(slurm_converters_path="~/my converters")
IMAGE = "my converters/convert_zarr_to_tiff_latest.sif"


@pytest.fixture
def images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Registry]:
    """A registry that the login trusts, with a base."""
    monkeypatch.setenv("HOME", str(tmp_path))
    with registries.serving() as served:
        served.add("lab/base", "v1", {"data": os.urandom(1000)})
        trust = tmp_path / ".config" / "containers" / "registries.conf"
        trust.parent.mkdir(parents=True)
        trust.write_text(served.trust())
        yield served


def files(images: Registry, tag: str = "v1") -> dict[str, bytes]:
    base = f"{images.source.removeprefix('docker://')}lab/base:{tag}"
    text = f"Bootstrap: docker\nFrom: {base}\n\n%files\n    zarr_to_tiff.py /zarr_to_tiff.py\n"
    return {building.DEFINITION: text.encode(), "zarr_to_tiff.py": b"print()\n"}


def test_it_is_built_once_beside_its_definition(here: LocalTransport, images: Registry, tmp_path: Path) -> None:
    assert inspect_converter(here, SETTINGS).state == "warning"
    foreseen = build_converter(here, SETTINGS, PullOptions(), files=files(images), dry_run=True)
    assert foreseen.state == "changed"
    assert not (tmp_path / "my converters").exists()

    built = build_converter(here, SETTINGS, PullOptions(), files=files(images))
    assert (built.state, built.what) == ("changed", "converter zarr_to_tiff"), built
    listed = subprocess.run(
        ["apptainer", "inspect", "--deffile", str(tmp_path / IMAGE)], capture_output=True, text=True, check=True
    )
    assert "zarr_to_tiff.py /zarr_to_tiff.py" in listed.stdout.lower()
    assert inspect_converter(here, SETTINGS).state == "ok"

    before = (tmp_path / IMAGE).stat()
    assert build_converter(here, SETTINGS, PullOptions(), files=files(images)).state == "ok"
    assert (tmp_path / IMAGE).stat() == before
    assert sorted(path.name for path in (tmp_path / "my converters").iterdir()) == [
        "convert_zarr_to_tiff_latest.sif",
        "convert_zarr_to_tiff_latest.sif.sha256",
        "zarr_to_tiff.def",
        "zarr_to_tiff.py",
    ]


def test_that_it_cannot_be_built_is_told_and_no_more(here: LocalTransport, images: Registry) -> None:
    item = build_converter(here, SETTINGS, PullOptions(), files=files(images, "v2"))
    assert item.state == "warning"
    assert item.detail.startswith("cannot be built: ")
    assert "manifest unknown" in item.detail
    assert item.remedy.startswith("Only conversions on the cluster need it.")


def test_its_base_comes_from_the_mirror_of_the_site() -> None:
    assert b"\nFrom: python:" in definition()[building.DEFINITION]
    assert (
        b"\nFrom: mirror.example.org/library/python:" in definition("docker://mirror.example.org/")["zarr_to_tiff.def"]
    )
