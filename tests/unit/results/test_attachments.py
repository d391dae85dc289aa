"""Files on their way into OMERO."""

from __future__ import annotations

import io
import zipfile
from typing import TYPE_CHECKING

import pytest

from worker.results.attachments import CHUNK_BYTES, file_chunks, mime_type, zip_chunks

if TYPE_CHECKING:
    from pathlib import Path


def test_a_zip_is_made_as_a_stream_and_opens_like_any_other(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("a" * 100)
    archive = b"".join(zip_chunks([("out/a.txt", tmp_path / "a.txt"), ("metadata.csv", b"Job_ID,7\n")]))
    with zipfile.ZipFile(io.BytesIO(archive)) as opened:
        assert opened.testzip() is None
        assert {name: opened.read(name) for name in opened.namelist()} == {
            "out/a.txt": b"a" * 100,
            "metadata.csv": b"Job_ID,7\n",
        }


def test_the_same_members_give_the_same_zip(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x")
    first = b"".join(zip_chunks([("a", tmp_path / "a")]))
    (tmp_path / "a").touch()
    assert b"".join(zip_chunks([("a", tmp_path / "a")])) == first


def test_a_zip_never_holds_a_whole_file_in_memory(tmp_path: Path) -> None:
    (tmp_path / "large").write_bytes(bytes(range(256)) * 4 * (CHUNK_BYTES // 256))
    sizes = [len(chunk) for chunk in zip_chunks([("large", tmp_path / "large")])]
    assert max(sizes) <= CHUNK_BYTES


def test_a_file_is_read_in_chunks(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"x" * (CHUNK_BYTES + 1))
    assert [len(chunk) for chunk in file_chunks(tmp_path / "f")] == [CHUNK_BYTES, 1]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a.CSV", "text/csv"),
        ("omero-7.log", "text/plain"),
        ("7_out.zip", "application/zip"),
        ("model", "application/octet-stream"),
        ("m.parquet", "application/vnd.apache.parquet"),
        ("report.pdf", "application/pdf"),
        ("plot.JPG", "image/jpeg"),
    ],
)
def test_the_media_type_follows_the_name(name: str, expected: str) -> None:
    assert mime_type(name) == expected


@pytest.mark.parametrize("name", ["report.html", "x.htm", "drawing.svg", "a.xml", "code.js", "page.mht"])
def test_what_a_browser_would_run_is_plain_text(name: str) -> None:
    assert mime_type(name) == "text/plain"


def test_what_is_compressed_already_is_stored_as_it_is(tmp_path: Path) -> None:
    names = ["labels.zarr/0/0.0", "a.png", "a.csv", "a.zip", "labels.zarr.txt"]
    (tmp_path / "f").write_bytes(bytes(1000))
    with zipfile.ZipFile(io.BytesIO(b"".join(zip_chunks([(name, tmp_path / "f") for name in names])))) as archive:
        stored = [each.filename for each in archive.infolist() if each.compress_type == zipfile.ZIP_STORED]
        assert stored == ["labels.zarr/0/0.0", "a.png", "a.zip"]


def test_names_in_any_script_survive_a_zip() -> None:
    names = ["größe/细胞 1.txt", "Ω≈ç√.csv", "a" * 300 + ".txt"]
    with zipfile.ZipFile(io.BytesIO(b"".join(zip_chunks([(name, b"x") for name in names])))) as archive:
        assert archive.namelist() == names


def test_a_zip_takes_more_members_than_the_old_format(tmp_path: Path) -> None:
    members: list[tuple[str, Path | bytes]] = [(f"l.zarr/0/{number}", b"") for number in range(65_540)]
    with zipfile.ZipFile(io.BytesIO(b"".join(zip_chunks(members)))) as archive:
        assert len(archive.namelist()) == 65_540


@pytest.mark.slow
def test_a_zip_of_more_than_4_gib_opens(tmp_path: Path) -> None:
    large = tmp_path / "large.zip"
    with large.open("wb") as stream:
        stream.truncate(2**32 + 1)
    path = tmp_path / "archive"
    with path.open("wb") as out:
        for chunk in zip_chunks([("before.txt", b"1"), ("large.zip", large), ("behind.txt", b"2")]):
            # Holes stay holes: nobody's disk has to hold 4 GiB of zeros.
            if chunk.count(0) == len(chunk):
                out.seek(len(chunk), io.SEEK_CUR)
            else:
                out.write(chunk)
        out.truncate()
    with zipfile.ZipFile(path) as archive:
        assert [(each.filename, each.file_size) for each in archive.infolist()] == [
            ("before.txt", 1),
            ("large.zip", 2**32 + 1),
            ("behind.txt", 1),
        ]
        assert archive.read("behind.txt") == b"2"
