"""Files to and from the far side."""

from __future__ import annotations

import hashlib
import io
import os
import tarfile
import threading
import time
from contextlib import nullcontext
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import pytest

from tests.faults.transport import CountingTransport, FaultyTransport
from worker.cluster import ssh as ssh_module
from worker.cluster import uploads
from worker.cluster.fence import Fence
from worker.cluster.listing import RemoteFile, list_tree
from worker.cluster.streams import download_tree
from worker.cluster.uploads import TarUpload, UploadReport
from worker.errors import ClusterFull, CommandFailed, Fenced, LocalDiskError, NotSent, OutcomeUnknown, TransferDamaged
from worker.settings.models import SshSettings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.unit.cluster.ssh_server import SshServer
    from worker.cluster.local import LocalTransport
    from worker.cluster.transport import Transport

NAMES = [
    "plain.txt",
    "a.zarr/0/0.0.0",
    "with space/and 'quotes' \"both\"",
    "ünïcödé/细胞.tif",
    "-rf",
    "new\nline",
    "back\\slash",
    "%s",
    "x" * 200 + "/" + "y" * 200,
    "empty",
    "\udcff not UTF-8",
]


@pytest.fixture(params=["local", "ssh"])
def transport(request: pytest.FixtureRequest, here: LocalTransport, ssh_server: SshServer) -> Iterator[Transport]:
    if request.param == "local":
        yield here
        return
    pool = ssh_module.connect_pool(SshSettings(host="cluster", ssh_config=ssh_server.client()), size=2)
    yield pool
    pool.close()


@pytest.fixture
def far(tmp_path: Path) -> PurePosixPath:
    """A folder of the far side."""
    return PurePosixPath(tmp_path / "far side" / "in")


def content(name: str) -> bytes:
    return b"" if name == "empty" else hashlib.sha512(os.fsencode(name)).digest() * 100


def tree(folder: PurePosixPath | Path) -> dict[str, bytes]:
    root = Path(folder)
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def upload(transport: Transport, far: PurePosixPath, names: list[str]) -> UploadReport:
    with TarUpload(transport, far) as stream:
        for name in names:
            stream.add(name, content(name))
        return stream.close()


def break_off(transport: Transport, far: PurePosixPath, name: str) -> None:
    def export() -> None:
        with TarUpload(transport, far) as stream:
            stream.add(name, b"x" * 1_000_000)
            raise LookupError

    with pytest.raises(LookupError):
        export()


class TestUpload:
    def test_files_arrive_whatever_they_are_called(self, transport: Transport, far: PurePosixPath) -> None:
        report = upload(transport, far, NAMES)
        assert tree(far) == {name: content(name) for name in NAMES}
        assert report == UploadReport(len(NAMES), sum(len(content(name)) for name in NAMES))

    def test_nothing_is_left_beside_them(self, transport: Transport, far: PurePosixPath) -> None:
        upload(transport, far, ["a"])
        assert [path.name for path in Path(far.parent).iterdir()] == ["in"]

    def test_others_cannot_read_them(self, here: LocalTransport, far: PurePosixPath) -> None:
        upload(here, far, ["a/b"])
        assert Path(far, "a/b").stat().st_mode & 0o777 == 0o640
        assert Path(far, "a").stat().st_mode & 0o007 == 0

    def test_views_are_taken_as_they_are_now(self, here: LocalTransport, far: PurePosixPath) -> None:
        buffer = bytearray(b"first")
        with TarUpload(here, far) as stream:
            stream.add("a", memoryview(buffer))
            buffer[:] = b"other"
            stream.add("b", memoryview(buffer))
        assert tree(far) == {"a": b"first", "b": b"other"}

    def test_a_file_may_come_in_pieces(self, transport: Transport, far: PurePosixPath) -> None:
        pieces = [b"a" * 700, b"", b"b" * 300]
        with TarUpload(transport, far) as stream:
            stream.add_stream("a", iter(pieces), 1000)
            stream.add_stream("empty", (), 0)
            stream.add("c", b"last")
        assert tree(far) == {"a": b"".join(pieces), "empty": b"", "c": b"last"}

    @pytest.mark.parametrize("size_bytes", [999, 1001])
    def test_pieces_of_another_size_put_nothing_in_place(
        self, here: LocalTransport, far: PurePosixPath, size_bytes: int
    ) -> None:
        with pytest.raises(TransferDamaged, match="1000 bytes instead of"), TarUpload(here, far) as stream:
            stream.add_stream("a", [b"a" * 1000], size_bytes)
        assert not Path(far).exists()

    def test_the_folder_is_replaced_as_a_whole(self, here: LocalTransport, far: PurePosixPath) -> None:
        upload(here, far, ["old", "both"])
        upload(here, far, ["new", "both"])
        assert set(tree(far)) == {"new", "both"}

    def test_until_the_end_the_folder_does_not_change(self, here: LocalTransport, far: PurePosixPath) -> None:
        upload(here, far, ["old"])
        break_off(here, far, "new")
        assert set(tree(far)) == {"old"}

    def test_after_a_broken_upload_the_next_one_starts_afresh(self, here: LocalTransport, far: PurePosixPath) -> None:
        break_off(here, far, "half")
        upload(here, far, ["whole"])
        assert set(tree(far)) == {"whole"}

    def test_an_empty_upload_makes_an_empty_folder(self, transport: Transport, far: PurePosixPath) -> None:
        assert upload(transport, far, []) == UploadReport(0, 0)
        assert Path(far).is_dir()

    def test_closing_again_changes_nothing(self, here: LocalTransport, far: PurePosixPath) -> None:
        stream = TarUpload(here, far)
        stream.add("a", b"x")
        assert stream.close() == stream.close()
        with pytest.raises(ValueError, match="closed"):
            stream.add("b", b"x")

    def test_a_full_disk_of_the_cluster_is_told_as_such_and_passes(
        self, here: LocalTransport, far: PurePosixPath, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        # What GNU tar was seen to say on a full disk.
        tar = tmp_path / "bin" / "tar"
        tar.parent.mkdir()
        tar.write_text("#!/bin/sh\necho 'tar: x.zarr/0: Wrote only 6656 of 10240 bytes' >&2\nexit 2\n")
        tar.chmod(0o755)
        monkeypatch.setenv("PATH", str(tar.parent), prepend=":")
        with pytest.raises(ClusterFull, match="no space left") as caught, TarUpload(here, far) as stream:
            stream.add("a", b"x" * 100_000)
        assert caught.value.transient

    def test_whoever_comes_late_replaces_nothing(self, transport: Transport, far: PurePosixPath) -> None:
        file = far.parent / "status" / "fence"
        upload(transport, far, ["plain.txt"])
        late = TarUpload(transport, far, fence=Fence(file, 7))
        late.add("late", b"x")
        while not Path(file).exists():
            time.sleep(0.01)
        # Meanwhile another process begins an upload of its own.
        Path(file).write_text("8\n")
        with pytest.raises(Fenced):
            late.close()
        assert tree(far) == {"plain.txt": content("plain.txt")}

    def test_an_upload_that_begins_late_is_turned_away_at_once(self, transport: Transport, far: PurePosixPath) -> None:
        file = far.parent / "status" / "fence"
        Path(file.parent).mkdir(parents=True)
        Path(file).write_text("8\n")
        with pytest.raises(Fenced), TarUpload(transport, far, fence=Fence(file, 7)) as late:
            late.add("late", b"x")
        assert not Path(far).exists()
        assert not Path(f"{far}.part").exists()

    @pytest.mark.parametrize("path", ["/etc/passwd", "../x", "a/../../x", "", "a\0b"])
    def test_no_path_leads_out_of_the_folder(self, here: LocalTransport, far: PurePosixPath, path: str) -> None:
        stream = TarUpload(here, far)
        with pytest.raises(ValueError, match="below a folder"):
            stream.add(path, b"x")

    def test_a_path_is_sent_once(self, here: LocalTransport, far: PurePosixPath) -> None:
        with TarUpload(here, far) as stream:
            stream.add("a", b"x")
            with pytest.raises(ValueError, match="already"):
                stream.add("./a", b"y")

    def test_a_damaged_file_is_noticed(self, here: LocalTransport, far: PurePosixPath) -> None:
        class Damaging(CountingTransport):
            def run(self, argv, *, stdin=None, timeout_s=None):  # type: ignore[no-untyped-def]  # as the base class
                completed = super().run(argv, stdin=stdin, timeout_s=timeout_s)
                part = Path(f"{far}.part/b")
                if "omero-worker-unpack" in argv:
                    part.write_bytes(part.read_bytes()[:-1] + b"!")
                return completed

        with pytest.raises(TransferDamaged, match=r"1 of 3 files.*\./b: FAILED"):
            upload(Damaging(here), far, ["a", "b", "c"])
        assert not Path(far).exists()

    def test_no_space_or_permission_is_told_in_the_clusters_words(self, here: LocalTransport, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        with pytest.raises(CommandFailed, match="Not a directory"):
            upload(here, PurePosixPath(tmp_path / "file" / "in"), ["a"])

    def test_a_producer_does_not_wait_for_a_transfer_that_has_failed(
        self, here: LocalTransport, far: PurePosixPath
    ) -> None:
        faulty = FaultyTransport(here)
        faulty.lose_request("unpack")
        with pytest.raises(NotSent):
            upload(faulty, far, [str(index) for index in range(20_000)])

    def test_a_connection_lost_on_the_way_is_no_danger_to_repeat(
        self, here: LocalTransport, far: PurePosixPath
    ) -> None:
        faulty = FaultyTransport(here)
        faulty.lose_reply("unpack")
        with pytest.raises(TransferDamaged) as failure:
            upload(faulty, far, ["a"])
        assert failure.value.transient
        upload(faulty, far, ["a"])

    def test_a_lost_reply_at_the_very_end_can_be_repeated(self, here: LocalTransport, far: PurePosixPath) -> None:
        faulty = FaultyTransport(here)
        faulty.lose_reply("put_in_place")
        with pytest.raises(OutcomeUnknown):
            upload(faulty, far, ["a"])
        upload(faulty, far, ["a"])
        assert set(tree(far)) == {"a"}

    def test_memory_is_bounded_while_the_network_is_slow(self, here: LocalTransport, far: PurePosixPath) -> None:
        class Stuck(CountingTransport):
            def run(self, argv, *, stdin=None, timeout_s=None):  # type: ignore[no-untyped-def]  # as the base class
                if "omero-worker-unpack" in argv:
                    gate.wait(10)
                return super().run(argv, stdin=stdin, timeout_s=timeout_s)

        gate = threading.Event()
        added = 0

        def produce() -> None:
            nonlocal added
            with TarUpload(Stuck(here), far) as stream:
                for index in range(60):
                    stream.add(str(index), b"x" * 1_000_000)
                    added += 1

        producer = threading.Thread(target=produce)
        producer.start()
        time.sleep(0.5)
        assert added <= uploads.BUFFER_BYTES // 1_000_000 + 1
        gate.set()
        producer.join(20)
        assert len(tree(far)) == 60


class TestListing:
    def test_files_are_listed_with_size_and_checksum(self, transport: Transport, far: PurePosixPath) -> None:
        upload(transport, far, NAMES)
        listed = list_tree(transport, far).files
        assert {file.path for file in listed} == set(NAMES)
        for file in listed:
            assert file.size_bytes == len(content(file.path))
            assert file.sha256 == hashlib.sha256(content(file.path)).hexdigest()

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


class TestHostileStreams:
    """What a cluster could send that was not asked for."""

    @pytest.fixture
    def home(self, tmp_path: Path) -> Path:
        return tmp_path / "home"

    def send(self, home: Path, *members: tarfile.TarInfo, data: bytes = b"x") -> None:
        archive = io.BytesIO()
        with tarfile.open(fileobj=archive, mode="w") as tar:
            for member in members:
                if member.isreg():
                    member.size = len(data)
                tar.addfile(member, io.BytesIO(data) if member.isreg() else None)
        files = [RemoteFile("a", 1, hashlib.sha256(b"x").hexdigest())]
        download_tree(Sender(archive.getvalue()), PurePosixPath("/far"), files, home)

    @pytest.mark.parametrize("name", ["../evil", "/tmp/evil", "b", "a/../../evil", "/a"])
    def test_other_files_are_refused(self, home: Path, name: str) -> None:
        with pytest.raises(TransferDamaged, match="not asked for"):
            self.send(home, tarfile.TarInfo(name))
        assert list(home.parent.rglob("evil")) == []

    @pytest.mark.parametrize(
        "kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE, tarfile.DIRTYPE]
    )
    def test_what_is_no_regular_file_is_refused(self, home: Path, kind: bytes) -> None:
        member = tarfile.TarInfo("a")
        member.type, member.linkname = kind, "/etc/passwd"
        with pytest.raises(TransferDamaged, match="not asked for"):
            self.send(home, member)
        assert list(home.iterdir()) == []

    def test_the_same_file_twice_is_refused(self, home: Path) -> None:
        with pytest.raises(TransferDamaged, match="not asked for"):
            self.send(home, tarfile.TarInfo("a"), tarfile.TarInfo("a"))

    def test_a_link_that_lies_here_already_is_removed(self, home: Path, tmp_path: Path) -> None:
        (tmp_path / "outside").mkdir()
        home.mkdir()
        (home / "sub").symlink_to(tmp_path / "outside")
        archive = io.BytesIO()
        with tarfile.open(fileobj=archive, mode="w") as tar:
            member = tarfile.TarInfo("sub/a")
            member.size = 1
            tar.addfile(member, io.BytesIO(b"x"))
        wanted = [RemoteFile("sub/a", 1, hashlib.sha256(b"x").hexdigest())]
        download_tree(Sender(archive.getvalue()), PurePosixPath("/far"), wanted, home)
        assert tree(home) == {"sub/a": b"x"}
        assert list((tmp_path / "outside").iterdir()) == []

    def test_rubbish_is_refused(self, home: Path) -> None:
        with pytest.raises(TransferDamaged):
            download_tree(Sender(b"rubbish" * 1000), PurePosixPath("/far"), [RemoteFile("a", 1, "0" * 64)], home)

    def test_nothing_at_all_is_refused(self, home: Path) -> None:
        with pytest.raises(TransferDamaged):
            download_tree(Sender(b""), PurePosixPath("/far"), [RemoteFile("a", 1, "0" * 64)], home)


class Sender:
    """A far side that sends what it likes."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def run(self, argv, *, stdin=None, timeout_s=None):  # type: ignore[no-untyped-def]  # never used
        raise NotImplementedError

    def stream(self, argv, *, stdin=None, timeout_s=None):  # type: ignore[no-untyped-def]  # as Transport.stream
        return nullcontext(iter([self._data] if self._data else []))

    def close(self) -> None:
        """There is nothing to close."""
