"""A download that was broken off: nothing is fetched, or hashed, twice without need; and whoever stops one is heard."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path, PurePosixPath

import pytest

from tests.faults.transport import CountingTransport, FaultyTransport
from tests.unit.cluster.outputs import Outputs, Recording, stopping_at, write
from worker.cluster import streams
from worker.cluster.listing import list_tree
from worker.errors import NotSent, OutcomeUnknown, RunCancelled, TransferDamaged


class TestAgain:
    """A later attempt: nothing is fetched, or hashed, twice without need."""

    def test_checksums_of_what_has_not_changed_are_not_computed_again(self, outputs: Outputs) -> None:
        write(outputs.out / "a", b"x")
        write(outputs.out / "b", b"y")
        known = outputs.list().files
        outputs.transport = counting = CountingTransport(outputs.transport)
        assert outputs.list(known).files == known
        assert counting.commands == {"list_files": 1}

    def test_a_change_that_keeps_size_and_time_is_noticed(self, outputs: Outputs) -> None:
        path = outputs.out / "a"
        write(path, b"old")
        known = outputs.list().files
        before = path.stat()
        path.write_bytes(b"new")
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
        assert outputs.list(known).files[0].sha256 == hashlib.sha256(b"new").hexdigest()

    def test_a_large_file_continues_where_it_was_cut_off(
        self, outputs: Outputs, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(streams, "LARGE_BYTES", 2**20)
        data = os.urandom(8 * 2**20)
        write(outputs.out / "large", data)
        listing = outputs.list()
        with pytest.raises(RunCancelled):
            outputs.fetch(listing, stopping_at(3 * 2**20))
        (part,) = Path(f"{outputs.home}.parts").iterdir()
        arrived = part.stat().st_size
        assert 2 * 2**20 < arrived < 8 * 2**20
        assert outputs.here() == {}
        recording = Recording(outputs.transport)
        outputs.transport = recording
        outputs.fetch(listing)
        assert recording.arguments == [str(arrived + 1)]
        assert outputs.here() == {"large": data}

    def test_a_process_that_is_killed_costs_only_what_was_in_flight(self, outputs: Outputs, tmp_path: Path) -> None:
        files = {"large": os.urandom(8 * 2**20), **{f"small/{number}": os.urandom(20_000) for number in range(20)}}
        for name, data in files.items():
            write(outputs.out / name, data)
        killed = subprocess.run([sys.executable, "-c", KILLED, outputs.out, outputs.home, tmp_path], check=False)
        assert killed.returncode == -signal.SIGKILL
        arrived = sum(path.stat().st_size for path in outputs.home.parent.rglob("*") if path.is_file())
        assert arrived > 3 * 2**20
        outputs.fetch(outputs.list())
        assert outputs.here() == files
        assert list(outputs.home.parent.iterdir()) == [outputs.home]

    def test_a_beginning_that_is_damaged_is_thrown_away_at_the_end(
        self, outputs: Outputs, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(streams, "LARGE_BYTES", 2**20)
        data = os.urandom(4 * 2**20)
        write(outputs.out / "large", data)
        listing = outputs.list()
        part = Path(f"{outputs.home}.parts") / listing.files[0].sha256
        write(part, b"!" * 2**20)
        with pytest.raises(TransferDamaged):
            outputs.fetch(listing)
        assert not part.exists()
        outputs.fetch(listing)
        assert outputs.here() == {"large": data}

    def test_a_file_that_has_changed_since_begins_at_its_start(
        self, outputs: Outputs, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(streams, "LARGE_BYTES", 2**20)
        write(outputs.out / "large", os.urandom(8 * 2**20))
        with pytest.raises(RunCancelled):
            outputs.fetch(outputs.list(), stopping_at(3 * 2**20))
        data = os.urandom(8 * 2**20)
        write(outputs.out / "large", data)
        outputs.transport = recording = Recording(outputs.transport)
        outputs.bring()
        assert recording.arguments == ["1"]
        assert outputs.here() == {"large": data}

    def test_a_folder_where_a_file_was_and_a_file_where_a_folder_was(self, outputs: Outputs) -> None:
        write(outputs.out / "a", b"file")
        write(outputs.out / "b" / "c", b"in folder")
        outputs.bring()
        for path in ("a", "b/c"):
            (outputs.out / path).unlink()
        (outputs.out / "b").rmdir()
        write(outputs.out / "a" / "d", b"in folder")
        write(outputs.out / "b", b"file")
        outputs.bring()
        assert outputs.here() == {"a/d": b"in folder", "b": b"file"}

    def test_what_an_earlier_attempt_has_left_besides_is_removed(self, outputs: Outputs) -> None:
        write(outputs.out / "a", b"x")
        write(outputs.home / "old" / "b", b"y")
        (outputs.home / "link").symlink_to(outputs.outside)
        outputs.bring()
        assert outputs.here() == {"a": b"x"}
        assert (outputs.outside / "secret").exists()

    def test_a_cut_in_the_middle_of_many_costs_only_the_rest(self, outputs: Outputs) -> None:
        for number in range(200):
            write(outputs.out / str(number), os.urandom(20_000))
        listing = outputs.list()
        with pytest.raises(RunCancelled):
            outputs.fetch(listing, stopping_at(2_000_000))
        arrived = len(outputs.here())
        assert 50 < arrived < 150
        seen: list[int] = []
        outputs.fetch(listing, lambda files, _: seen.append(files))
        assert seen.index(arrived) < seen.index(200)
        assert len(outputs.here()) == 200


class TestStopping:
    def test_whoever_wants_to_stop_is_asked_while_the_far_side_is_silent(self, outputs: Outputs) -> None:
        started = time.monotonic()

        def stop(_files: int, _total: int) -> None:
            if time.monotonic() - started > 0.2:
                raise RunCancelled("Cancelled by ada.")

        class Slow(CountingTransport):
            def stream(self, argv, *, stdin=None, timeout_s=None):  # type: ignore[no-untyped-def]  # as the base class
                return super().stream(["sleep", "20"], stdin=stdin, timeout_s=timeout_s)

        with pytest.raises(RunCancelled):
            list_tree(Slow(outputs.transport), PurePosixPath(outputs.out), follow=stop)
        assert time.monotonic() - started < 2

    @pytest.mark.parametrize("fault", ["lose_request", "lose_reply"])
    @pytest.mark.parametrize("script", ["list_files", "list_checksums", "pack", "send_rest"])
    def test_a_connection_that_is_lost_anywhere_costs_no_result_and_leaves_nothing_besides(
        self, outputs: Outputs, monkeypatch: pytest.MonkeyPatch, script: str, fault: str
    ) -> None:
        monkeypatch.setattr(streams, "LARGE_BYTES", 1024)
        files = {"a": b"x", "sub/b": b"y" * 100, "sub/large": os.urandom(100_000), "huge": os.urandom(300_000)}
        for name, data in files.items():
            write(outputs.out / name, data)
        faulty = FaultyTransport(outputs.transport)
        getattr(faulty, fault)(script)
        outputs.transport = faulty
        with pytest.raises((NotSent, OutcomeUnknown)):
            outputs.bring()
        outputs.bring()
        assert outputs.here() == files
        assert list(outputs.home.parent.iterdir()) == [outputs.home]

    def test_a_lost_connection_leaves_what_has_arrived(self, outputs: Outputs) -> None:
        write(outputs.out / "a", b"x")
        listing = outputs.list()
        faulty = FaultyTransport(outputs.transport)
        faulty.lose_reply("pack")
        outputs.transport = faulty
        with pytest.raises(Exception, match="lost"):
            outputs.fetch(listing)
        outputs.fetch(listing)
        assert outputs.here() == {"a": b"x"}


KILLED = """
import os, signal, sys
from pathlib import Path, PurePosixPath
from worker.cluster import streams
from worker.cluster.listing import list_tree
from worker.cluster.local import LocalTransport
def follow(_files, size_bytes):
    if size_bytes > 4 * 2**20:
        os.kill(os.getpid(), signal.SIGKILL)
streams.LARGE_BYTES = 2**20
far, home, start = sys.argv[1:]
transport = LocalTransport(Path(start))
files = list_tree(transport, PurePosixPath(far)).files
streams.download_tree(transport, PurePosixPath(far), files, Path(home), follow=follow)
"""
"""A download that is killed in the middle."""
