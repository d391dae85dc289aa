"""The list of what a job has produced: as a file, and as it stands in the record."""

from __future__ import annotations

import hashlib
import json

import pytest

from worker.cluster.listing import LeftOut, RemoteFile
from worker.engine.manifest import INLINE_BYTES, Manifest

SHA = "0" * 64
LEFT = (
    LeftOut("b\x1b[31m", "a link", lost=False),
    LeftOut("c", "a link", lost=False),
    LeftOut("d", "a pipe", lost=False),
    LeftOut("secret", "a file that the login of this worker may not read", lost=True),
)


def manifest(*paths: str, left_out: tuple[LeftOut, ...] = ()) -> Manifest:
    return Manifest(tuple(RemoteFile(path, 7, SHA, "1700000000.5") for path in paths), left_out)


@pytest.mark.parametrize("path", ["a.tif", "new\nline", "\udcff not UTF-8", '"quoted"', "细胞.tif"])
def test_it_is_read_as_it_was_written_whatever_files_are_called(path: str) -> None:
    written = manifest(path, left_out=LEFT)
    read = Manifest.from_bytes(written.to_bytes())
    assert read == written
    assert read.files[0].changed == "1700000000.5"
    assert read.to_bytes() == written.to_bytes()


@pytest.mark.parametrize("data", [b"", b"{}", b"[]", b'{"files": [[1]], "left_out": []}', b'{"files": [["a", 1'])
def test_what_is_no_manifest_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        Manifest.from_bytes(data)


def test_a_small_one_stands_in_the_record() -> None:
    data = manifest("a", "b").to_data()
    assert [file["path"] for file in data["files"]] == ["a", "b"]
    assert [file["size_bytes"] for file in data["files"]] == [7, 7]


def test_of_a_large_one_the_record_has_the_digest() -> None:
    large = manifest(*(f"labels.zarr/0/{number}" for number in range(20_000)))
    data = large.to_data()
    digest = hashlib.sha256(large.to_bytes()).hexdigest()
    assert data["manifest"] == {"sha256": digest, "files": 20_000, "size_bytes": 140_000}
    assert len(json.dumps(data)) < 200 < INLINE_BYTES


def test_names_that_json_in_a_database_cannot_hold_are_kept_in_the_file() -> None:
    data = manifest("\udcff", left_out=(LeftOut("\udcfe", "a link", lost=False),)).to_data()
    assert "manifest" in data
    json.dumps(data, ensure_ascii=False).encode()


def test_a_person_reads_what_was_left_out_and_what_is_missing() -> None:
    said = manifest("a", left_out=LEFT)
    assert said.notes == [r"Left out of the results: b\x1b[31m, c (a link).", "Left out of the results: d (a pipe)."]
    (missing,) = said.missing
    assert missing.startswith("Not fetched: secret (a file that the login of this worker may not read); mend that on")


def test_of_many_only_some_are_named() -> None:
    many = tuple(LeftOut(f"{number:03}", "a link", lost=False) for number in range(1000))
    assert manifest(left_out=many).notes == ["Left out of the results: 000, 001, 002, 003, 004 and 995 more (a link)."]
