"""What a far side may send in the place of what was asked for: nothing of it is written."""

from __future__ import annotations

import hashlib
import io
import tarfile
from pathlib import Path, PurePosixPath

import pytest

from tests.unit.cluster.outputs import Sender
from tests.unit.cluster.transfers import tree
from worker.cluster.listing import RemoteFile, list_tree
from worker.cluster.streams import download_tree
from worker.errors import TransferDamaged


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

    def test_a_list_without_end_does_not_fill_the_memory(self) -> None:
        sender = Sender(b"x", endless=True, piece=b"x" * 65536)
        with pytest.raises(TransferDamaged, match="sent no list"):
            list_tree(sender, PurePosixPath("/far"))
        assert sender.sent_bytes < 2**22

    @pytest.mark.parametrize("paths", [["a", "./a"], ["a", "a/"], ["a//b", "a/b"]])
    def test_a_list_that_names_a_file_twice_is_refused(self, home: Path, paths: list[str]) -> None:
        files = [RemoteFile(path, 1, "0" * 64) for path in paths]
        with pytest.raises(TransferDamaged, match="twice"):
            download_tree(Sender(b""), PurePosixPath("/far"), files, home)


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


def member(name: str, data: bytes = b"", kind: bytes = tarfile.REGTYPE) -> tuple[tarfile.TarInfo, bytes]:
    made = tarfile.TarInfo(name)
    made.type, made.size = kind, len(data)
    made.linkname = "/etc/passwd" if kind in (tarfile.SYMTYPE, tarfile.LNKTYPE) else ""
    return made, data
