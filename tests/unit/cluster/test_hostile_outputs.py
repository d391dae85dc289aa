"""What an analysis may leave in its folder, by accident or on purpose: a clear outcome for each, nothing outside."""

from __future__ import annotations

import os
import shutil
import socket
import time
import unicodedata
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import pytest

from tests.faults.transport import CountingTransport
from tests.unit.cluster.outputs import Meddling, Outputs, write
from worker.cluster import listing as listings
from worker.cluster import streams
from worker.cluster.listing import LeftOut, Listing, list_tree
from worker.cluster.room import MOST_FOLDERS, unfit
from worker.errors import LocalDiskError, ResultsError, TransferDamaged

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


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

    @pytest.mark.parametrize("large", [False, True])
    def test_two_names_of_one_file_are_two_results(
        self, outputs: Outputs, monkeypatch: pytest.MonkeyPatch, large: bool
    ) -> None:
        if large:
            monkeypatch.setattr(streams, "LARGE_BYTES", 1)
        write(outputs.out / "a", b"content")
        for name in ("b", "c"):
            (outputs.out / name).hardlink_to(outputs.out / "a")
        outputs.bring()
        assert outputs.here() == dict.fromkeys("abc", b"content")

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
    @pytest.mark.parametrize("kind", ["link", "link to nothing", "pipe", "socket", "folder"])
    def test_a_file_that_becomes_something_else_does_not_hang_and_is_told(
        self, outputs: Outputs, monkeypatch: pytest.MonkeyPatch, kind: str, large: bool
    ) -> None:
        if large:
            monkeypatch.setattr(streams, "LARGE_BYTES", 1)
        (outputs.out / "a").write_text("secret")
        listing = outputs.list()
        (outputs.out / "a").unlink()
        REPLACE[kind](outputs.out / "a", outputs.outside / "secret")
        started = time.monotonic()
        with pytest.raises(TransferDamaged) as caught:
            outputs.fetch(listing)
        assert caught.value.transient
        assert time.monotonic() - started < 5
        assert outputs.here() == {}

    @pytest.mark.parametrize("back", [False, True])
    @pytest.mark.parametrize("folder", [False, True])
    def test_a_link_that_stands_there_only_while_checksums_are_computed_is_noticed(
        self, outputs: Outputs, folder: bool, back: bool
    ) -> None:
        (outputs.out / "sub").mkdir()
        (outputs.out / "sub" / "secret").write_text("mine!!")
        path = outputs.out / "sub" if folder else outputs.out / "sub" / "secret"
        aside = outputs.run / "aside"

        def put_link() -> None:
            path.rename(aside)
            path.symlink_to(outputs.outside if folder else outputs.outside / "secret")

        def put_back() -> None:
            path.unlink()
            aside.rename(path)

        outputs.transport = Meddling(outputs.transport, "list_checksums", put_link, put_back if back else lambda: None)
        with pytest.raises(TransferDamaged, match=r"change while they are fetched: .*sub"):
            outputs.list()

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

    def test_what_no_disk_takes_is_a_result_that_is_lost_and_the_others_come(self, outputs: Outputs) -> None:
        too_long = make_deep(outputs.out, "d" * 250, 17)
        too_deep = make_deep(outputs.out, "e", MOST_FOLDERS + 1)
        write(outputs.out / "/".join(["f"] * (MOST_FOLDERS - 1)) / "file", b"deep")
        listing = outputs.bring()
        assert [item.path for item in listing.left_out] == [too_long, too_deep]
        assert [item.why for item in listing.left_out] == [
            "a file whose name is too long for the disk of this worker",
            f"a file in more than {MOST_FOLDERS} folders, one in the other",
        ]
        assert all(item.lost for item in listing.left_out)
        assert list(outputs.here().values()) == [b"deep"]
        outputs.bring()
        shutil.rmtree(outputs.home)

    def test_names_that_the_cluster_itself_cannot_open_spoil_nothing(self, outputs: Outputs) -> None:
        too_long = make_deep(outputs.out, "d" * 250, 17)
        write(outputs.out / "a", b"x")
        listing = list_tree(outputs.transport, PurePosixPath(outputs.out))
        assert [file.path for file in listing.files] == ["a"]
        assert listing.left_out == (LeftOut(too_long, "a file whose name is too long", lost=True),)

    def test_a_name_of_300_characters_does_not_fit(self, tmp_path: Path) -> None:
        why = unfit(tmp_path)
        assert (why("a/fits"), why("n" * 255), why("ü" * 127)) == ("", "", "")
        assert all("too long" in why(name) for name in ("n" * 300 + ".tif", "ü" * 130, "sub/" + "n" * 256))


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

    def test_a_sparse_file_that_fits_nowhere_is_told_before_anybody_reads_it(self, outputs: Outputs) -> None:
        write(outputs.out / "sparse", b"")
        os.truncate(outputs.out / "sparse", 2**43)
        outputs.transport = counting = CountingTransport(outputs.transport)
        with pytest.raises(LocalDiskError, match=r"the results need 8,388,608 MiB more"):
            outputs.list()
        assert counting.commands == {"list_files": 1}

    def test_more_files_than_a_list_takes_are_refused(self, outputs: Outputs, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(listings, "MOST_ENTRIES", 100)
        for number in range(99):
            write(outputs.out / str(number), b"")
        assert len(outputs.list().files) == 99  # and the folder itself
        (outputs.out / "link").symlink_to("nowhere")
        with pytest.raises(ResultsError, match="more than 100 files and folders"):
            outputs.list()

    @pytest.mark.parametrize("large", [False, True])
    def test_a_file_that_is_cut_off_is_told(
        self, outputs: Outputs, monkeypatch: pytest.MonkeyPatch, large: bool
    ) -> None:
        if large:
            monkeypatch.setattr(streams, "LARGE_BYTES", 1)
        write(outputs.out / "b.tif", b"long content")
        listed = outputs.list()
        os.truncate(outputs.out / "b.tif", 4)
        with pytest.raises(TransferDamaged, match=r"change while they are fetched: b\.tif|b\.tif: File shrank"):
            outputs.fetch(listed)
        assert outputs.here() == {}

    def test_a_file_that_comes_late_is_not_lost_silently(self, outputs: Outputs) -> None:
        write(outputs.out / "a", b"x")
        outputs.transport = Meddling(outputs.transport, "list_checksums", lambda: write(outputs.out / "late", b"y"))
        with pytest.raises(TransferDamaged, match="late") as caught:
            outputs.list()
        assert caught.value.transient

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


REPLACE: Mapping[str, Callable[[Path, Path], object]] = {
    "link": lambda path, outside: path.symlink_to(outside),
    "link to nothing": lambda path, _: path.symlink_to("nowhere"),
    "pipe": lambda path, _: os.mkfifo(path),
    "socket": lambda path, _: make_socket(path),
    "folder": lambda path, _: path.mkdir(),
}


def make_deep(folder: Path, name: str, depth: int) -> str:
    """Make a file in folders that have one name, which together may be longer than a path can be."""
    place = os.open(folder, os.O_RDONLY)
    for _ in range(depth):
        os.mkdir(name, dir_fd=place)
        below = os.open(name, os.O_RDONLY, dir_fd=place)
        os.close(place)
        place = below
    os.close(os.open("file", os.O_CREAT | os.O_WRONLY, 0o600, dir_fd=place))
    os.close(place)
    return "/".join([*[name] * depth, "file"])


def ignoring_case(exists: Callable[[Path], bool]) -> Callable[[Path], bool]:
    """Answer as a disk does that keeps names in one case."""

    def answer(path: Path) -> bool:
        if not exists(path.parent):
            return exists(path)
        return path.name.casefold() in {each.name.casefold() for each in path.parent.iterdir()}

    return answer
