"""Replacing the content of a file under the eyes of others."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from worker.errors import SettingsError
from worker.settings.file_replacement import locked, read_settled, replace

if TYPE_CHECKING:
    from collections.abc import Iterator

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="mounts need root")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "slurm-config.ini"
    path.write_bytes(b"old")
    os.utime(path, (1, 1))
    return path


def others(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name != "slurm-config.ini")


def test_a_file_is_renamed_over_and_keeps_its_mode_and_owner(file: Path) -> None:
    file.chmod(0o640)
    if os.geteuid() == 0:
        os.chown(file, 12, 34)
    before = file.stat()
    assert replace(file, b"new", b"old") == "renamed"
    after = file.stat()
    assert file.read_bytes() == b"new"
    assert after.st_ino != before.st_ino
    assert (stat.S_IMODE(after.st_mode), after.st_uid, after.st_gid) == (0o640, before.st_uid, before.st_gid)
    assert others(file.parent) == []


def test_a_link_stays_a_link(file: Path, tmp_path: Path) -> None:
    link = tmp_path / "link.ini"
    link.symlink_to(file)
    replace(link, b"new", b"old")
    assert link.is_symlink()
    assert file.read_bytes() == b"new"


def test_a_file_with_two_names_keeps_both(file: Path, tmp_path: Path) -> None:
    twin = tmp_path / "twin.ini"
    twin.hardlink_to(file)
    assert replace(file, b"n", b"old") == "in place"
    assert twin.read_bytes() == b"n"


def test_a_new_file_can_be_read_by_whom_the_umask_lets(tmp_path: Path) -> None:
    path = tmp_path / "new.ini"
    old = os.umask(0o027)
    try:
        replace(path, b"new", b"")
    finally:
        os.umask(old)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


@pytest.fixture
def mounted(file: Path) -> Iterator[Path]:
    """A file that is a mount of its own, as docker compose makes it."""
    source = file.with_name("source.ini")
    source.write_bytes(b"old")
    done = subprocess.run(["mount", "--bind", source, file], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"cannot mount: {done.stderr}")
    try:
        yield file
    finally:
        subprocess.run(["umount", file], check=True)


@needs_root
@pytest.mark.parametrize("data", [b"new and longer", b"n"])
def test_a_file_that_is_mounted_by_itself_is_written_in_place(mounted: Path, data: bytes) -> None:
    assert replace(mounted, data, b"old") == "in place"
    assert mounted.read_bytes() == data
    assert mounted.with_name("source.ini").read_bytes() == data
    assert others(mounted.parent) == ["source.ini"]


NOBODY = """
import os, pathlib, sys
from worker.settings.file_replacement import locked, replace
path = pathlib.Path(sys.argv[1])
os.setgroups([])
os.setgid(65534)
os.setuid(65534)
with locked(path):
    print(replace(path, b"new", b"old"))
"""


@needs_root
@pytest.mark.parametrize(("mode", "said"), [(0o666, "in place"), (0o644, "cannot be written: Permission denied")])
def test_in_a_folder_of_somebody_else_only_the_file_itself_can_be_written(mode: int, said: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        file = Path(folder, "slurm-config.ini")
        file.write_bytes(b"old")
        file.chmod(mode)
        done = subprocess.run([sys.executable, "-c", NOBODY, file], capture_output=True, text=True, check=False)
        assert said in done.stdout + done.stderr
        assert file.read_bytes() == (b"new" if mode == 0o666 else b"old")
        assert file.stat().st_uid == 0


@pytest.fixture
def full(tmp_path: Path) -> Iterator[Path]:
    """A file on a disk of 64 KiB, with a second name so that it is written in place."""
    disk = tmp_path / "disk"
    disk.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", disk], capture_output=True, text=True, check=False
    )
    if done.returncode:
        pytest.skip(f"cannot mount: {done.stderr}")
    try:
        path = disk / "slurm-config.ini"
        path.write_bytes(b"old" * 1000)
        yield path
    finally:
        subprocess.run(["umount", disk], check=True)


@needs_root
@pytest.mark.parametrize("twice", [False, True])
def test_a_full_disk_leaves_the_old_content(full: Path, twice: bool) -> None:
    old = full.read_bytes()
    if twice:
        full.with_name("twin").hardlink_to(full)
    with pytest.raises(SettingsError, match=r"slurm-config\.ini cannot be written: No space left"):
        replace(full, b"x" * 200_000, old)
    assert full.read_bytes() == old
    assert others(full.parent) == (["twin"] if twice else [])


def test_what_somebody_else_has_written_meanwhile_stays(file: Path) -> None:
    file.write_bytes(b"theirs")
    with pytest.raises(SettingsError, match="changed by somebody else"):
        replace(file, b"ours", b"old")
    assert file.read_bytes() == b"theirs"


@pytest.mark.parametrize("hesitation_s", [0, 0.6])
def test_a_file_that_is_being_written_is_read_when_it_is_whole(file: Path, hesitation_s: float) -> None:
    started = threading.Event()

    def write_slowly() -> None:
        with file.open("wb", buffering=0) as stream:
            started.set()
            time.sleep(hesitation_s)
            for _ in range(10):
                stream.write(b"part ")
                time.sleep(0.02)

    writer = threading.Thread(target=write_slowly)
    writer.start()
    started.wait()
    assert read_settled(file) == b"part " * 10
    writer.join()


EDITOR = """
import sys, pathlib
from worker.settings.file_replacement import locked, read_settled, replace
path = pathlib.Path(sys.argv[1])
for _ in range(5):
    with locked(path):
        before = path.read_bytes() if path.exists() else b""
        replace(path, before + sys.argv[2].encode(), before)
"""


@pytest.mark.parametrize("there", [True, False])
def test_editors_take_turns_and_nobody_loses_a_word(tmp_path: Path, there: bool) -> None:
    path = tmp_path / "slurm-config.ini"
    if there:
        path.touch()
    editors = [subprocess.Popen([sys.executable, "-c", EDITOR, path, letter]) for letter in "abcd"]
    assert [editor.wait() for editor in editors] == [0, 0, 0, 0]
    assert sorted(path.read_text(encoding="utf-8")) == sorted("abcd" * 5)


def test_an_editor_that_does_not_end_is_told_of(file: Path) -> None:
    with (
        locked(file),
        pytest.raises(SettingsError, match="is being edited by another process"),
        locked(file, patience_s=0.1),
    ):
        pass


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="cannot be locked"), locked(tmp_path / "none" / "slurm-config.ini"):
        pass
