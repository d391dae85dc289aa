"""What an analysis may leave in its folder, by accident or on purpose: a clear outcome for each, nothing outside."""

from __future__ import annotations

import errno
import hashlib
import io
import os
import signal
import socket
import subprocess
import sys
import tarfile
import time
import unicodedata
from collections import namedtuple
from contextlib import nullcontext
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import pytest

from tests.faults.transport import CountingTransport, FaultyTransport
from worker.cluster import streams
from worker.cluster.listing import LeftOut, Listing, RemoteFile, list_tree
from worker.cluster.streams import download_tree, fitting
from worker.errors import LocalDiskError, ResultsError, RunCancelled, TransferDamaged

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from worker.cluster.local import LocalTransport
    from worker.cluster.transport import Transport


class Outputs:
    """The folder of a run on the far side, and that to which its results come."""

    def __init__(self, folder: Path, transport: Transport) -> None:
        self.run = folder / "far" / "biomero_run"
        self.out = self.run / "data" / "out"
        self.out.mkdir(parents=True)
        self.outside = folder / "outside"
        self.outside.mkdir()
        (self.outside / "secret").write_text("secret")
        self.home = folder / "home" / "out"
        self.transport = transport

    def list(self, known: tuple[RemoteFile, ...] = ()) -> Listing:
        return list_tree(self.transport, PurePosixPath(self.out), within=PurePosixPath(self.run), known=known)

    def fetch(self, listing: Listing, follow: streams.Follow = streams.nobody) -> None:
        root, within = PurePosixPath(self.out), PurePosixPath(self.run)
        download_tree(self.transport, root, listing.files, self.home, within=within, follow=follow)

    def bring(self) -> Listing:
        listing = self.list()
        self.fetch(listing)
        return listing

    def here(self) -> dict[str, bytes]:
        found = {str(path.relative_to(self.home)): path for path in self.home.rglob("*") if not path.is_dir()}
        return {name: path.read_bytes() for name, path in found.items()}


@pytest.fixture
def outputs(tmp_path: Path, here: LocalTransport) -> Outputs:
    return Outputs(tmp_path, here)


class TestKinds:
    """What is no file of its own is left out by name; it is never opened, and never followed."""

    @pytest.mark.parametrize(
        ("make", "why"),
        [
            (lambda path, outside: path.symlink_to(outside / "secret"), "a link"),
            (lambda path, outside: path.symlink_to(outside), "a link"),
            (lambda path, _: path.symlink_to("nowhere"), "a link"),
            (lambda path, _: path.symlink_to("plain"), "a link"),
            (lambda path, _: os.mkfifo(path), "a pipe"),
            (lambda path, _: make_socket(path), "a socket"),
            pytest.param(
                lambda path, _: os.mknod(path, 0o20666, os.makedev(1, 5)),
                "a device",
                marks=pytest.mark.skipif(os.geteuid() != 0, reason="only root can make devices"),
            ),
        ],
        ids=["link to a file", "link to a folder", "link to nothing", "link within", "pipe", "socket", "device"],
    )
    def test_it_is_told_by_name_and_the_rest_comes(
        self, outputs: Outputs, make: Callable[[Path, Path], None], why: str
    ) -> None:
        (outputs.out / "plain").write_text("x")
        (outputs.out / "sub").mkdir()
        make(outputs.out / "sub" / "odd", outputs.outside)
        listing = outputs.bring()
        assert listing.left_out == (LeftOut("sub/odd", why, lost=False),)
        assert outputs.here() == {"plain": b"x"}

    def test_a_hard_link_is_a_file_like_any_other(self, outputs: Outputs) -> None:
        # Whoever could make it could have copied the file; and programs make them to save space.
        (outputs.out / "copy").hardlink_to(outputs.outside / "secret")
        outputs.bring()
        assert outputs.here() == {"copy": b"secret"}
        assert (outputs.home / "copy").stat().st_nlink == 1

    def test_a_link_in_the_place_of_the_folder_is_refused(self, outputs: Outputs) -> None:
        outputs.out.rmdir()
        outputs.out.symlink_to(outputs.outside)
        with pytest.raises(ResultsError, match=r"data/out leads to .*outside"):
            outputs.list()

    def test_a_link_above_the_folder_is_refused(self, outputs: Outputs) -> None:
        (outputs.out / "plain").write_text("x")
        outputs.out.parent.rename(outputs.outside / "data")
        outputs.out.parent.symlink_to(outputs.outside / "data")
        with pytest.raises(ResultsError, match="leads to"):
            outputs.list()

    @pytest.mark.parametrize("large", [False, True])
    def test_a_folder_that_becomes_a_link_after_it_was_listed_gives_nothing_else(
        self, outputs: Outputs, monkeypatch: pytest.MonkeyPatch, large: bool
    ) -> None:
        if large:
            monkeypatch.setattr(streams, "LARGE_BYTES", 1)
        (outputs.out / "sub").mkdir()
        (outputs.out / "sub" / "secret").write_text("mine!!")
        listing = outputs.list()
        (outputs.out / "sub").rename(outputs.out / "other")
        (outputs.out / "sub").symlink_to(outputs.outside)
        with pytest.raises((TransferDamaged, ResultsError)):
            outputs.fetch(listing)
        assert outputs.here() == {}

    @pytest.mark.parametrize("large", [False, True])
    def test_a_file_that_becomes_a_pipe_does_not_hang(
        self, outputs: Outputs, monkeypatch: pytest.MonkeyPatch, large: bool
    ) -> None:
        if large:
            monkeypatch.setattr(streams, "LARGE_BYTES", 1)
        (outputs.out / "a").write_text("x")
        listing = outputs.list()
        (outputs.out / "a").unlink()
        os.mkfifo(outputs.out / "a")
        started = time.monotonic()
        with pytest.raises(TransferDamaged):
            outputs.fetch(listing)
        assert time.monotonic() - started < 5

    def test_slurm_data_path_itself_may_be_a_link(self, outputs: Outputs, tmp_path: Path) -> None:
        (outputs.out / "plain").write_text("x")
        (tmp_path / "scratch").symlink_to(outputs.run.parent)
        root = PurePosixPath(tmp_path / "scratch" / "biomero_run")
        assert [file.path for file in list_tree(outputs.transport, root / "data/out", within=root).files] == ["plain"]


class TestNames:
    @pytest.mark.parametrize(
        "name",
        [
            "new\nline",
            "ends with a new line\n",
            "tab\tand\x1b[31mcolour\x07",
            "-rf",
            "--checkpoint-action=exec=sh",
            "back\\slash",
            "'quotes' \"both\" $(id) `id` ; id & *",
            " leading and trailing ",
            "\udcff\udcfe not UTF-8",
            "a.part",
            ".hidden",
            "...",
            "~",
            "con.tif",
            "x" * 255,
            "/".join(["d" * 200] * 15),
            "细胞/ünïcödé.tif",
            "sub\n/file",
        ],
    )
    @pytest.mark.parametrize("large", [False, True])
    def test_a_file_keeps_its_name_whatever_that_is(
        self, outputs: Outputs, monkeypatch: pytest.MonkeyPatch, name: str, large: bool
    ) -> None:
        if large:
            monkeypatch.setattr(streams, "LARGE_BYTES", 1)
        write(outputs.out / name, b"content")
        outputs.bring()
        assert outputs.here() == {name: b"content"}
        assert list(outputs.home.parent.iterdir()) == [outputs.home]

    @pytest.mark.parametrize("large", [False, True])
    def test_names_that_differ_in_case_or_in_the_form_of_unicode_stay_two(
        self, outputs: Outputs, monkeypatch: pytest.MonkeyPatch, large: bool
    ) -> None:
        if large:
            monkeypatch.setattr(streams, "LARGE_BYTES", 1)
        composed, decomposed = (unicodedata.normalize(form, "Zellkerné.tif") for form in ("NFC", "NFD"))
        expected = {name: name.encode() for name in ("A.tif", "a.tif", "Sub/x", "sub/x", composed, decomposed)}
        for name, data in expected.items():
            write(outputs.out / name, data)
        outputs.bring()
        assert outputs.here() == expected

    def test_a_disk_that_takes_two_names_for_one_is_told_before_anything_is_fetched(
        self, outputs: Outputs, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name in ("A.tif", "a.tif"):
            write(outputs.out / name, name.encode())
        monkeypatch.setattr(Path, "exists", ignoring_case(Path.exists))
        counting = CountingTransport(outputs.transport)
        listing = outputs.list()
        outputs.transport = counting
        with pytest.raises(LocalDiskError, match=r"does not tell A\.tif from a\.tif"):
            outputs.fetch(listing)
        assert counting.commands.total() == 0

    def test_names_longer_than_a_disk_takes_are_results_that_are_lost(self, tmp_path: Path) -> None:
        def file(path: str) -> RemoteFile:
            return RemoteFile(path, 1, "0" * 64)

        deep = "/".join(["d" * 250] * 17)
        fits, left_out = fitting([file("fits"), file("n" * 300 + ".tif"), file("ü" * 130), file(deep)], tmp_path)
        assert [each.path for each in fits] == ["fits"]
        assert [item.path for item in left_out] == ["n" * 300 + ".tif", "ü" * 130, deep]
        assert all(item.lost for item in left_out)


class TestContent:
    def test_an_empty_folder_gives_nothing(self, outputs: Outputs) -> None:
        assert outputs.bring() == Listing(())
        assert outputs.here() == {}

    def test_empty_files_come_and_empty_folders_do_not(self, outputs: Outputs) -> None:
        (outputs.out / "empty folder").mkdir()
        write(outputs.out / "empty", b"")
        outputs.bring()
        assert outputs.here() == {"empty": b""}

    def test_holes_of_a_sparse_file_stay_holes(self, outputs: Outputs, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(streams, "LARGE_BYTES", 1024)
        with (outputs.out / "sparse").open("wb") as file:
            file.write(b"begin")
            file.seek(50 * 2**20)
            file.write(b"end")
        outputs.bring()
        arrived = outputs.home / "sparse"
        assert arrived.read_bytes() == (outputs.out / "sparse").read_bytes()
        assert arrived.stat().st_blocks * 512 < 5 * 2**20

    @pytest.mark.parametrize("large", [False, True])
    def test_a_file_that_still_grows_is_told_and_comes_once_it_does_not(
        self, outputs: Outputs, monkeypatch: pytest.MonkeyPatch, large: bool
    ) -> None:
        if large:
            monkeypatch.setattr(streams, "LARGE_BYTES", 1)
        write(outputs.out / "b.log", b"line\n")
        write(outputs.out / "a", b"x")
        listing = outputs.list()
        with (outputs.out / "b.log").open("ab") as file:
            file.write(b"another\n")
        with pytest.raises(TransferDamaged, match=r"change while they are fetched: b\.log") as caught:
            outputs.fetch(listing)
        assert caught.value.transient
        outputs.bring()
        assert outputs.here() == {"a": b"x", "b.log": b"line\nanother\n"}

    def test_a_file_that_goes_away_is_told(self, outputs: Outputs) -> None:
        write(outputs.out / "a", b"x")
        listing = outputs.list()
        (outputs.out / "a").unlink()
        with pytest.raises(TransferDamaged, match="go away"):
            outputs.fetch(listing)


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


class TestRoom:
    def test_what_is_needed_is_told_before_the_first_byte(
        self, outputs: Outputs, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        write(outputs.out / "a", b"x" * 3_000_000)
        listing = outputs.list()
        disk = namedtuple("disk", "f_bavail f_frsize f_files f_favail")
        monkeypatch.setattr(os, "statvfs", lambda _: disk(256, 4096, 100, 100))
        counting = CountingTransport(outputs.transport)
        outputs.transport = counting
        with pytest.raises(LocalDiskError, match=r"the results need 3 MiB more, and 1 MiB are free\. Make room"):
            outputs.fetch(listing)
        assert counting.commands.total() == 0
        monkeypatch.setattr(os, "statvfs", lambda _: disk(10_000, 4096, 100, 0))
        with pytest.raises(LocalDiskError, match="the results are 1 files, and there is room for 0"):
            outputs.fetch(listing)

    def test_a_disk_that_fills_up_all_the_same_is_told(self, outputs: Outputs, monkeypatch: pytest.MonkeyPatch) -> None:
        write(outputs.out / "a", b"x")
        listing = outputs.list()

        def full(*_: object) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr(Path, "replace", full)
        with pytest.raises(LocalDiskError, match="No space left on device") as caught:
            outputs.fetch(listing)
        assert caught.value.transient


class TestHostileTar:
    """What a far side may send in the place of the files that were asked for, if somebody else has taken it over."""

    @pytest.fixture
    def home(self, tmp_path: Path) -> Path:
        return tmp_path / "home" / "out"

    def send(self, home: Path, *members: tuple[tarfile.TarInfo, bytes], wanted: str = "sub/a") -> None:
        archive = io.BytesIO()
        with tarfile.open(fileobj=archive, mode="w", format=tarfile.PAX_FORMAT) as tar:
            for member, data in members:
                tar.addfile(member, io.BytesIO(data))
        file = RemoteFile(wanted, 1, hashlib.sha256(b"x").hexdigest())
        download_tree(Sender(archive.getvalue()), PurePosixPath("/far"), [file], home)

    @pytest.mark.parametrize("name", ["../x", "/etc/x", "sub/../../x", "b", "sub", "sub/a/b", "SUB/A", "./../sub/a"])
    def test_a_name_that_was_not_asked_for_is_refused(self, home: Path, tmp_path: Path, name: str) -> None:
        with pytest.raises(TransferDamaged, match="not asked for"):
            self.send(home, member(name, b"x"))
        assert [path for path in tmp_path.rglob("*") if path.is_file()] == []

    @pytest.mark.parametrize(
        "kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE, tarfile.DIRTYPE]
    )
    def test_what_is_no_file_is_refused_and_not_made(self, home: Path, kind: bytes) -> None:
        with pytest.raises(TransferDamaged, match="not asked for"):
            self.send(home, member("sub/a", kind=kind))
        assert [path.name for path in home.rglob("*")] == ["sub"]

    def test_a_file_through_a_link_that_was_sent_first_is_refused(self, home: Path, tmp_path: Path) -> None:
        outside = tmp_path / "outside"
        outside.mkdir()
        link = member("sub", kind=tarfile.SYMTYPE)
        link[0].linkname = str(outside)
        with pytest.raises(TransferDamaged, match="not asked for"):
            self.send(home, link, member("sub/a", b"x"))
        assert list(outside.iterdir()) == []

    def test_a_file_that_is_sent_twice_is_refused(self, home: Path) -> None:
        with pytest.raises(TransferDamaged, match="not asked for"):
            self.send(home, member("sub/a", b"x"), member("sub/a", b"y"))

    def test_another_content_is_refused(self, home: Path) -> None:
        with pytest.raises(TransferDamaged, match="change while they are fetched: sub/a"):
            self.send(home, member("sub/a", b"y"))
        assert [path for path in home.parent.rglob("*") if path.is_file()] == []

    def test_a_size_that_lies_is_refused_before_anything_is_written(self, home: Path) -> None:
        header = member("sub/a")[0]
        header.size = 8 * 2**30
        with pytest.raises(TransferDamaged, match="change while they are fetched: sub/a"):
            download_tree(
                Sender(header.tobuf(tarfile.GNU_FORMAT), endless=True),
                PurePosixPath("/far"),
                [RemoteFile("sub/a", 1, hashlib.sha256(b"x").hexdigest())],
                home,
            )

    @pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME])
    def test_a_header_without_end_does_not_fill_the_memory(self, home: Path, kind: bytes) -> None:
        header = member("x", kind=kind)[0]
        header.size = 8 * 2**30
        sender = Sender(header.tobuf(tarfile.GNU_FORMAT), endless=True)
        with pytest.raises(TransferDamaged, match="more than was asked for"):
            download_tree(sender, PurePosixPath("/far"), [RemoteFile("sub/a", 1, "0" * 64)], home)
        assert sender.sent_bytes < 2**20

    @pytest.mark.parametrize("data", [b"", b"rubbish" * 1000, b"\0" * 10240, b"\x1f\x8b\x08" + b"\0" * 600])
    def test_rubbish_is_refused(self, home: Path, data: bytes) -> None:
        with pytest.raises(TransferDamaged):
            download_tree(Sender(data), PurePosixPath("/far"), [RemoteFile("a", 1, "0" * 64)], home)

    @pytest.mark.parametrize("paths", [["a", "./a"], ["a", "a/"], ["a//b", "a/b"]])
    def test_a_list_that_names_a_file_twice_is_refused(self, home: Path, paths: list[str]) -> None:
        files = [RemoteFile(path, 1, "0" * 64) for path in paths]
        with pytest.raises(TransferDamaged, match="twice"):
            download_tree(Sender(b""), PurePosixPath("/far"), files, home)


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


def write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def make_socket(path: Path) -> None:
    bound = Path(f"/tmp/omero-worker-{os.getpid()}.socket")
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(bound))
    bound.rename(path)


def member(name: str, data: bytes = b"", kind: bytes = tarfile.REGTYPE) -> tuple[tarfile.TarInfo, bytes]:
    made = tarfile.TarInfo(name)
    made.type, made.size = kind, len(data)
    made.linkname = "/etc/passwd" if kind in (tarfile.SYMTYPE, tarfile.LNKTYPE) else ""
    return made, data


def stopping_at(limit_bytes: int) -> streams.Follow:
    def follow(_files: int, size_bytes: int, /) -> None:
        if size_bytes > limit_bytes:
            raise RunCancelled("Cancelled by ada.")

    return follow


def ignoring_case(exists: Callable[[Path], bool]) -> Callable[[Path], bool]:
    """Answer as a disk does that keeps names in one case."""

    def answer(path: Path) -> bool:
        if not exists(path.parent):
            return exists(path)
        return path.name.casefold() in {each.name.casefold() for each in path.parent.iterdir()}

    return answer


class Recording(CountingTransport):
    """Keeps from which byte on files were asked for."""

    def __init__(self, inner: Transport) -> None:
        super().__init__(inner)
        self.arguments: list[str] = []

    def stream(self, argv, *, stdin=None, timeout_s=None):  # type: ignore[no-untyped-def]  # as the base class
        if "omero-worker-send_rest" in argv:
            self.arguments.append(argv[-1])
        return super().stream(argv, stdin=stdin, timeout_s=timeout_s)


class Sender:
    """A far side that sends what it likes."""

    def __init__(self, data: bytes, *, endless: bool = False) -> None:
        self.sent_bytes = 0
        self._data = data
        self._endless = endless

    def run(self, argv, *, stdin=None, timeout_s=None):  # type: ignore[no-untyped-def]  # never used
        raise NotImplementedError

    def stream(self, argv, *, stdin=None, timeout_s=None):  # type: ignore[no-untyped-def]  # as Transport.stream
        return nullcontext(self._pieces())

    def _pieces(self) -> Iterator[bytes]:
        yield self._data
        while self._endless:
            self.sent_bytes += 65536
            yield bytes(65536)

    def close(self) -> None:
        """There is nothing to close."""
