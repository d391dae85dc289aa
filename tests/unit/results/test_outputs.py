"""What an analysis wrote."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from worker.errors import ResultsError
from worker.results.outputs import read_outputs

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
    assert [output.path for output in outputs.zarr_members] == ["l.zarr/0/0", "l.zarr/t.csv"]
    assert [output.path for output in outputs.all] == sorted(files)


def test_an_analysis_that_wrote_nothing_is_an_error_that_points_to_the_log(tmp_path: Path) -> None:
    with pytest.raises(ResultsError, match=r"wrote no results\. The log"):
        read_outputs(tmp_path, [])


@pytest.mark.parametrize("path", ["../secret", "/etc/passwd", "a/../../secret"])
def test_a_path_outside_the_folder_is_not_touched(tmp_path: Path, path: str) -> None:
    folder = tmp_path / "out"
    (folder / "a").mkdir(parents=True)
    (tmp_path / "secret").write_text("secret")
    with pytest.raises(ResultsError, match="outside the folder"):
        read_outputs(folder, [path])


def test_a_symbolic_link_out_of_the_folder_is_not_followed(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    (tmp_path / "secret").write_text("secret")
    (folder / "link.txt").symlink_to(tmp_path / "secret")
    with pytest.raises(ResultsError, match="outside the folder"):
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
