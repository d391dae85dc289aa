"""The bytes of descriptors, kept under their digests for the record of runs."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from worker.analyses.copies import keep_content, load_content

if TYPE_CHECKING:
    from pathlib import Path

CONTENT = b'{"name": "a"}\r\n'


def test_what_is_kept_is_found_by_its_digest(tmp_path: Path) -> None:
    sha256 = keep_content(tmp_path / "new", CONTENT)
    assert sha256 == hashlib.sha256(CONTENT).hexdigest()
    assert load_content(tmp_path / "new", sha256) == CONTENT


def test_what_is_damaged_is_kept_anew(tmp_path: Path) -> None:
    sha256 = keep_content(tmp_path, CONTENT)
    (file,) = tmp_path.iterdir()
    file.write_bytes(b"something else")
    assert load_content(tmp_path, sha256) is None
    keep_content(tmp_path, CONTENT)
    assert load_content(tmp_path, sha256) == CONTENT


def test_others_do_not_read_it_as_repositories_may_be_private(tmp_path: Path) -> None:
    keep_content(tmp_path, CONTENT)
    (file,) = tmp_path.iterdir()
    assert file.stat().st_mode & 0o077 == 0


def test_without_room_the_digest_is_given_all_the_same(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    sha256 = keep_content(tmp_path / "file" / "folder", CONTENT)
    assert sha256 == hashlib.sha256(CONTENT).hexdigest()
    assert load_content(tmp_path / "file" / "folder", sha256) is None
