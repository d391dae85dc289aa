"""Files on the far side: listed, and fetched."""

from __future__ import annotations

import hashlib
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import pytest

from tests.faults.transport import CountingTransport, FaultyTransport
from tests.unit.cluster.outputs import Meddling
from tests.unit.cluster.transfers import NAMES, content, tree, upload
from worker.cluster import checksums
from worker.cluster.listing import RemoteFile, list_tree
from worker.cluster.streams import download_tree
from worker.errors import CommandFailed, LocalDiskError, OutcomeUnknown, TransferDamaged

if TYPE_CHECKING:
    from worker.cluster.local import LocalTransport
    from worker.cluster.transport import Transport


class TestListing:
    def test_files_are_listed_with_size_and_checksum(self, transport: Transport, far: PurePosixPath) -> None:
        upload(transport, far, NAMES)
        listed = list_tree(transport, far).files
        assert {file.path for file in listed} == set(NAMES)
        for file in listed:
            assert file.size_bytes == len(content(file.path))
            assert file.sha256 == hashlib.sha256(content(file.path)).hexdigest()

    @pytest.mark.parametrize("openssl", ["as it is", "does not work"])
    def test_large_files_have_the_same_checksums_by_whichever_program(
        self, here: LocalTransport, far: PurePosixPath, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, openssl: str
    ) -> None:
        upload(here, far, NAMES)
        expected = list_tree(here, far)
        monkeypatch.setattr(checksums, "LARGE_BYTES", 1)
        if openssl == "does not work":
            program = tmp_path / "bin" / "openssl"
            program.parent.mkdir()
            program.write_text("#!/bin/sh\necho no provider for this >&2\nexit 1\n")
            program.chmod(0o755)
            monkeypatch.setenv("PATH", str(program.parent), prepend=":")
        counting = CountingTransport(here)
        assert list_tree(counting, far) == expected
        assert counting.commands == {"list_files": 2, "list_checksums": 2}

    @pytest.mark.parametrize("large", [False, True])
    def test_a_file_that_goes_away_while_checksums_are_computed_is_told(
        self, here: LocalTransport, far: PurePosixPath, monkeypatch: pytest.MonkeyPatch, large: bool
    ) -> None:
        if large:
            monkeypatch.setattr(checksums, "LARGE_BYTES", 1)
        upload(here, far, ["a", "b"])
        meddling = Meddling(here, "list_checksums", Path(far, "a").unlink)
        with pytest.raises(TransferDamaged, match="go away while they are fetched") as caught:
            list_tree(meddling, far)
        assert caught.value.transient

    def test_an_empty_folder_has_no_files(self, here: LocalTransport, tmp_path: Path) -> None:
        assert list_tree(here, PurePosixPath(tmp_path)).files == ()

    def test_links_are_left_out(self, here: LocalTransport, tmp_path: Path) -> None:
        (tmp_path / "real").write_text("x")
        (tmp_path / "link").symlink_to("/etc/passwd")
        (tmp_path / "dir").symlink_to("/etc")
        assert [file.path for file in list_tree(here, PurePosixPath(tmp_path)).files] == ["real"]

    def test_a_missing_folder_is_told(self, here: LocalTransport) -> None:
        with pytest.raises(CommandFailed, match="nowhere"):
            list_tree(here, PurePosixPath("nowhere"))


class TestDownload:
    @pytest.fixture
    def home(self, tmp_path: Path) -> Path:
        return tmp_path / "home" / "results"

    def test_files_arrive_whatever_they_are_called(self, transport: Transport, far: PurePosixPath, home: Path) -> None:
        upload(transport, far, NAMES)
        download_tree(transport, far, list_tree(transport, far).files, home)
        assert tree(home) == {name: content(name) for name in NAMES}

    def test_many_small_files_are_one_stream(self, transport: Transport, far: PurePosixPath, home: Path) -> None:
        names = [f"{index % 7}/{index}" for index in range(1500)]
        upload(transport, far, names)
        counting = CountingTransport(transport)
        download_tree(counting, far, list_tree(transport, far).files, home)
        assert set(tree(home)) == set(names)
        assert counting.commands == {"pack": 1}

    def test_what_is_there_already_is_not_fetched_again(
        self, here: LocalTransport, far: PurePosixPath, home: Path
    ) -> None:
        upload(here, far, ["a", "b"])
        files = list_tree(here, far).files
        download_tree(here, far, files, home)
        counting = CountingTransport(here)
        download_tree(counting, far, files, home)
        assert counting.commands.total() == 0

    def test_what_is_damaged_here_is_fetched_again(self, here: LocalTransport, far: PurePosixPath, home: Path) -> None:
        upload(here, far, ["a", "b"])
        files = list_tree(here, far).files
        download_tree(here, far, files, home)
        (home / "a").write_bytes(b"!" * len(content("a")))
        download_tree(here, far, files, home)
        assert tree(home) == {"a": content("a"), "b": content("b")}

    def test_a_broken_stream_leaves_only_whole_files_and_continues(
        self, here: LocalTransport, far: PurePosixPath, home: Path
    ) -> None:
        names = [str(index) for index in range(50)]
        upload(here, far, names)
        files = list_tree(here, far).files
        faulty = FaultyTransport(here)
        faulty.lose_reply("pack")
        with pytest.raises((OutcomeUnknown, TransferDamaged)):
            download_tree(faulty, far, files, home)
        for name, data in tree(home).items():
            assert data == content(name)
        download_tree(faulty, far, files, home)
        assert set(tree(home)) == set(names)

    def test_a_file_that_changed_is_refused(self, here: LocalTransport, far: PurePosixPath, home: Path) -> None:
        upload(here, far, ["a"])
        files = list_tree(here, far).files
        Path(far, "a").write_bytes(b"!" * len(content("a")))
        with pytest.raises(TransferDamaged, match="change while they are fetched: a"):
            download_tree(here, far, files, home)
        assert tree(home) == {}

    def test_a_file_that_is_gone_is_told(self, here: LocalTransport, far: PurePosixPath, home: Path) -> None:
        upload(here, far, ["a", "b"])
        files = list_tree(here, far).files
        Path(far, "a").unlink()
        with pytest.raises((CommandFailed, TransferDamaged)):
            download_tree(here, far, files, home)

    @pytest.mark.parametrize("path", ["../evil", "/tmp/evil", "a/../../evil"])
    def test_a_list_that_names_files_outside_is_refused(
        self, here: LocalTransport, far: PurePosixPath, home: Path, path: str
    ) -> None:
        with pytest.raises(TransferDamaged, match="outside"):
            download_tree(here, far, [RemoteFile(path, 1, "0" * 64)], home)

    def test_a_directory_of_ours_that_cannot_be_used_is_named(
        self, here: LocalTransport, far: PurePosixPath, tmp_path: Path
    ) -> None:
        upload(here, far, ["plain.txt"])
        (tmp_path / "home").write_text("a file where the directory should be")
        with pytest.raises(LocalDiskError, match="home"):
            download_tree(here, far, list_tree(here, far).files, tmp_path / "home")
