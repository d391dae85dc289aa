"""What an analysis wrote."""

from __future__ import annotations

import hashlib
import os
import time
from typing import TYPE_CHECKING

import pytest

from worker.errors import ResultsError
from worker.results.outputs import Digest, read_outputs

if TYPE_CHECKING:
    from pathlib import Path


def write(folder: Path, *paths: str) -> list[str]:
    for path in paths:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(path)
    return list(paths)


def test_files_are_sorted_by_what_becomes_of_them(tmp_path: Path) -> None:
    files = write(tmp_path, "b.TIF", "a.png", "m.csv", "deep/n.tsv", "x.json", "l.zarr/0/0", "l.zarr/t.csv")
    outputs = read_outputs(tmp_path, files)
    assert [output.path for output in outputs.images] == ["a.png", "b.TIF"]
    assert [output.path for output in outputs.tables] == ["deep/n.tsv", "m.csv"]
    assert [output.path for output in outputs.others] == ["x.json"]
    assert [output.path for output in outputs.zarrs] == ["l.zarr"]
    assert [output.path for output in outputs.zarrs[0].members] == ["l.zarr/0/0", "l.zarr/t.csv"]
    assert [output.path for output in outputs.pictures] == ["a.png", "b.TIF", "l.zarr"]
    assert [output.path for output in outputs.all] == sorted(files)


def test_an_analysis_that_wrote_nothing_is_an_error_that_points_to_the_log(tmp_path: Path) -> None:
    with pytest.raises(ResultsError, match=r"wrote no results\. The log"):
        read_outputs(tmp_path, [])


@pytest.mark.parametrize("path", ["../secret", "/etc/passwd", "a/../../secret"])
def test_a_path_outside_the_folder_is_not_touched(tmp_path: Path, path: str) -> None:
    folder = tmp_path / "out"
    (folder / "a").mkdir(parents=True)
    (tmp_path / "secret").write_text("secret")
    with pytest.raises(ResultsError, match="no file in the folder"):
        read_outputs(folder, [path])


def test_a_symbolic_link_out_of_the_folder_is_not_followed(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    (tmp_path / "secret").write_text("secret")
    (folder / "link.txt").symlink_to(tmp_path / "secret")
    with pytest.raises(ResultsError, match="no file in the folder"):
        read_outputs(folder, ["link.txt"])


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ResultsError, match=r"'gone.tif' cannot be read: No such file"):
        read_outputs(tmp_path, ["gone.tif"])


def test_the_digest_of_all_changes_with_a_name_and_with_a_content(tmp_path: Path) -> None:
    write(tmp_path, "a/x", "b/x", "b/y")
    (tmp_path / "a/x").write_text("same")
    (tmp_path / "b/x").write_text("same")
    (tmp_path / "b/y").write_text("same")
    first = read_outputs(tmp_path / "a", ["x"]).sha256
    assert read_outputs(tmp_path / "b", ["x"]).sha256 == first
    assert read_outputs(tmp_path / "b", ["y"]).sha256 != first
    (tmp_path / "a/x").write_text("other")
    assert read_outputs(tmp_path / "a", ["x"]).sha256 != first


def test_the_members_of_an_ome_zarr_folder_are_one_result(tmp_path: Path) -> None:
    files = write(tmp_path, "a/cells.OME.zarr/.zattrs", "a/cells.OME.zarr/b.zarr/0", "plain.zarr")
    outputs = read_outputs(tmp_path, files)
    (folder,) = outputs.zarrs
    assert (folder.path, folder.file) == ("a/cells.OME.zarr", tmp_path / "a/cells.OME.zarr")
    # A file is no folder, whatever it is called.
    assert [output.path for output in outputs.others] == ["plain.zarr"]
    (tmp_path / "a/cells.OME.zarr/.zattrs").write_text("other")
    assert read_outputs(tmp_path, files).zarrs[0].sha256 != folder.sha256


def test_what_was_verified_is_not_read_again(tmp_path: Path) -> None:
    write(tmp_path, "x", "y")
    known = {"x": Digest(1, "a digest")}
    assert [output.sha256 for output in read_outputs(tmp_path, ["x", "y"], known).others] == [
        "a digest",
        hashlib.sha256(b"y").hexdigest(),
    ]


def test_a_file_that_lost_its_end_is_not_taken_for_what_was_verified(tmp_path: Path) -> None:
    write(tmp_path, "x")
    with pytest.raises(ResultsError, match="'x' is damaged on this machine: it has 1 bytes, and was fetched with 2"):
        read_outputs(tmp_path, ["x"], {"x": Digest(2, "a digest")})


def test_a_link_inside_of_the_folder_is_not_followed_either(tmp_path: Path) -> None:
    write(tmp_path, "real/x")
    (tmp_path / "link").symlink_to("real")
    (tmp_path / "real/y").symlink_to("x")
    for path in ("link/x", "real/y"):
        with pytest.raises(ResultsError, match="no file in the folder"):
            read_outputs(tmp_path, [path])


@pytest.mark.parametrize("known", [{}, {"pipe": Digest(0, "")}], ids=["unknown", "known"])
def test_a_pipe_does_not_hold_us_up(tmp_path: Path, known: dict[str, Digest]) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ResultsError, match="no file in the folder"):
        read_outputs(tmp_path, ["pipe"], known)


def test_a_folder_of_20000_chunks_takes_no_time(tmp_path: Path) -> None:
    known = {f"big.zarr/0/{row}/{column}": Digest(0, f"{row}/{column}") for row in range(100) for column in range(200)}
    for row in range(100):
        (tmp_path / f"big.zarr/0/{row}").mkdir(parents=True)
    for path in known:
        (tmp_path / path).touch()
    begun = time.monotonic()
    outputs = read_outputs(tmp_path, known, known)
    assert time.monotonic() - begun < 3
    assert len(outputs.zarrs[0].members) == 20_000


def test_names_that_are_not_utf_8_are_written_out(tmp_path: Path) -> None:
    names = [os.fsdecode(name) for name in (b"cells_\xff.tif", b"l\xe9.zarr/\xff")]
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    outputs = read_outputs(tmp_path, names)
    assert [output.path for output in outputs.pictures] == [r"cells_\xff.tif", r"l\xe9.zarr"]
    assert [output.path for output in outputs.all] == [r"cells_\xff.tif", r"l\xe9.zarr/\xff"]
    assert all(output.file.exists() for output in (*outputs.pictures, *outputs.all))
