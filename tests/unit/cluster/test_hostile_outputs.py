"""What an analysis may leave in its folder, by accident or on purpose: a clear outcome for each, nothing outside."""

from __future__ import annotations

import os
import socket
import time
import unicodedata
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import pytest

from tests.faults.transport import CountingTransport
from tests.unit.cluster.outputs import Outputs, write
from worker.cluster import streams
from worker.cluster.listing import LeftOut, Listing, RemoteFile, list_tree
from worker.cluster.streams import fitting
from worker.errors import LocalDiskError, ResultsError, TransferDamaged

if TYPE_CHECKING:
    from collections.abc import Callable


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


def make_socket(path: Path) -> None:
    bound = Path(f"/tmp/omero-worker-{os.getpid()}.socket")
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(bound))
    bound.rename(path)


def ignoring_case(exists: Callable[[Path], bool]) -> Callable[[Path], bool]:
    """Answer as a disk does that keeps names in one case."""

    def answer(path: Path) -> bool:
        if not exists(path.parent):
            return exists(path)
        return path.name.casefold() in {each.name.casefold() for each in path.parent.iterdir()}

    return answer
