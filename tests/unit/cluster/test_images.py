"""Container images on the cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.faults.transport import CountingTransport
from worker.cluster import images
from worker.errors import CommandFailed, SettingsError

if TYPE_CHECKING:
    from pathlib import Path

    from worker.cluster.local import LocalTransport


@pytest.mark.parametrize(
    "image",
    [
        "w_nuclei",
        "org/w_nuclei",
        "org/w_nuclei:1.0.0",
        "ghcr.io/org/w_nuclei",
        "localhost:5000/org/w_nuclei:v3",
        "docker://org/w_nuclei",
        "org/w_nuclei@sha256:0123",
    ],
)
def test_an_image_has_one_file_name_however_it_is_written(image: str) -> None:
    assert images.sif_name(image, "v1.2") == "w_nuclei_v1.2.sif"


@pytest.mark.parametrize("image", ["", "org/", "../..", "a b", "org/$(x)"])
def test_what_is_no_image_is_refused(image: str) -> None:
    with pytest.raises(SettingsError, match="not the name of a container image"):
        images.sif_name(image, "v1")


@pytest.mark.parametrize("version", ["", "../v1", "v 1", "-v"])
def test_a_version_cannot_leave_the_folder(version: str) -> None:
    with pytest.raises(SettingsError, match="not the version"):
        images.sif_name("org/name", version)


@pytest.mark.parametrize(
    ("file", "version"),
    [
        ("w_nuclei_v1.0.sif", "v1.0"),
        ("w_nuclei-viewer_v1.0.sif", "v1.0"),
        ("w_nuclei_v1.0_gpu.sif", "v1.0_gpu"),
        ("name_latest.simg", "latest"),
        ("name-v2.sif", "v2"),
        ("name_1.0.0.sif", "1.0.0"),
        ("name_2024-05-01.sif", "2024-05-01"),
        ("w_very_vivid_0.3.sif", "0.3"),
    ],
)
def test_a_version_is_read_from_the_name_of_a_file(file: str, version: str) -> None:
    assert images.versions_of([file]) == (version,)


@pytest.mark.parametrize(
    "version", ["v1.0", "1.0.0", "latest", "v0.1-rc2", "v1.0_gpu", "2.0_gpu", "main", "dev_v2_x", "1"]
)
def test_what_images_are_called_is_read_back(version: str) -> None:
    assert images.versions_of([images.sif_name("org/w_a-b", version)], "registry.org/org/w_a-b:v3") == (version,)


def test_what_cannot_be_run_is_no_version_of_a_known_image() -> None:
    files = ["w_a_v1.sif", "w_a_v2.simg", "w_ab_v3.sif", "a_v4.sif", "w_a_.sif", "w_a_v1.sif.part"]
    assert images.versions_of(files, "org/w_a") == ("v1",)


def test_other_files_have_no_version() -> None:
    assert images.versions_of(["README.md", "plain.sif", "sing.log"]) == ()


def test_versions_are_sorted_as_a_person_would() -> None:
    assert images.newest_first(["v1.9", "v1.10", "v1.10", "v1.2", "latest", "v2.0-rc1", "v2.0", "1.11", "v2.0.1"]) == (
        "v2.0.1", "v2.0", "v2.0-rc1", "1.11", "v1.10", "v1.9", "v1.2", "latest",
    )  # fmt: skip


def test_images_of_all_workflows_take_one_command(here: LocalTransport, tmp_path: Path) -> None:
    for name in ("nuclei/w_nuclei_v1.9.sif", "nuclei/w_nuclei_v1.10.sif", "sub/cells/c_latest.sif", "other/x_v1.sif"):
        (tmp_path / "images" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "images" / name).touch()
    transport = CountingTransport(here)
    workflows = {"nuclei": "nuclei", "cells": "sub/cells", "missing": "none", "again": "nuclei"}
    found = images.list_images(transport, "images", workflows)
    assert {name: images.versions_of(files) for name, files in found.items()} == {
        "nuclei": ("v1.10", "v1.9"),
        "cells": ("latest",),
        "missing": (),
        "again": ("v1.10", "v1.9"),
    }
    assert transport.commands.total() == 1


def test_a_missing_folder_of_images_is_told(here: LocalTransport) -> None:
    with pytest.raises(CommandFailed, match="nowhere"):
        images.list_images(here, "nowhere", {"nuclei": "nuclei"})


class TestPullAddress:
    @pytest.mark.parametrize(
        ("source", "image", "address"),
        [
            ("docker://", "org/name", "docker://org/name:v1.0"),
            ("docker://", "org/name:1.0.0", "docker://org/name:1.0.0"),
            ("docker://", "ghcr.io:5000/org/name", "docker://ghcr.io:5000/org/name:v1.0"),
            ("docker://mirror.example.org/", "org/name:2", "docker://mirror.example.org/org/name:2"),
            ("docker://", "org/name:2@sha256:0123", "docker://org/name@sha256:0123"),
            ("docker://", "oras://example.org/org/name", "oras://example.org/org/name:v1.0"),
            ("docker://mirror.example.org/", "docker://org/name:2", "docker://org/name:2"),
        ],
    )
    def test_it_names_one_version(self, source: str, image: str, address: str) -> None:
        assert images.pull_address(source, image, "v1.0") == address

    @pytest.mark.parametrize(
        "image", ["org/na me", "org/name;reboot", "org/$(x)", "org/name\ttag", "org/", "/name", ""]
    )
    def test_what_cannot_be_an_address_is_refused(self, image: str) -> None:
        with pytest.raises(SettingsError, match="not the address"):
            images.pull_address("docker://", image, "v1.0")


@pytest.mark.parametrize(
    ("image", "file"),
    [
        ("org/any_name:1.14.0", "convert_zarr_to_tiff_1.14.0.sif"),
        ("ghcr.io:5000/org/any", "convert_zarr_to_tiff_latest.sif"),
    ],
)
def test_a_converter_is_named_after_what_it_converts(image: str, file: str) -> None:
    assert str(images.converter_file("~/converters", "zarr_to_tiff", image)) == f"converters/{file}"
