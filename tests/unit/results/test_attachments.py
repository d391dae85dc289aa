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
    ],
)
def test_the_media_type_follows_the_name(name: str, expected: str) -> None:
    assert mime_type(name) == expected
