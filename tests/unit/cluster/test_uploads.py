"""Files to the far side."""

from __future__ import annotations

import threading
import time
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import pytest

from tests.faults.transport import CountingTransport, FaultyTransport
from tests.unit.cluster.transfers import NAMES, break_off, content, tree, upload
from worker.cluster import uploads
from worker.cluster.fence import Fence
from worker.cluster.uploads import TarUpload, UploadReport
from worker.errors import ClusterFull, CommandFailed, Fenced, NotSent, OutcomeUnknown, TransferDamaged

if TYPE_CHECKING:
    from worker.cluster.local import LocalTransport
    from worker.cluster.transport import Transport


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
