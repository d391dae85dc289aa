"""The archive of a job's results: there as a whole or not at all, and readable for others."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING

import pytest

from worker.errors import ResultsError, RunCancelled, SettingsError, StorageUnavailable, TransferDamaged
from worker.results.inplace.archive import find_archive, is_archived, write_archive
from worker.results.inplace.layout import ArchivedFile, ArchiveLayout, choose_folder, plain_path
from worker.results.inplace.storage import check_writable, storage

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

RUN = "2f6c0e0a-58ad-4c2e-9df8-6f1d2f0c7a11"
NOON = datetime(2026, 3, 1, 12, 0, 0)  # noqa: DTZ001  # the folder's name has no time zone
CONTENTS = {"cells.tif": b"II*\0" + bytes(5_000_000), "sub/table.csv": b"a,b\n1,2\n", "empty.txt": b"", "ü.txt": b"x"}


@pytest.fixture
def base(tmp_path: Path) -> Path:
    """The storage."""
    base = tmp_path / "data"
    base.mkdir()
    return base


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """What the job has written, on this machine."""
    source = tmp_path / "out"
    for path, content in CONTENTS.items():
        (source / path).parent.mkdir(parents=True, exist_ok=True)
        (source / path).write_bytes(content)
    return source


@pytest.fixture
def layout(base: Path) -> ArchiveLayout:
    return ArchiveLayout(choose_folder(base / "team-a", RUN, NOON), 42)


@contextmanager
def somebody_else() -> Iterator[None]:
    """Root may do everything: be somebody who may not."""
    me = os.geteuid()
    if me == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(me)


def manifest(contents: dict[str, bytes] | None = None) -> list[ArchivedFile]:
    contents = CONTENTS if contents is None else contents
    return [ArchivedFile(path, len(data), hashlib.sha256(data).hexdigest()) for path, data in contents.items()]


def tree(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_an_archive_is_laid_out_as_sites_know_it(
    layout: ArchiveLayout, base: Path, source: Path, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    log.write_text("done")

    write_archive(
        *(layout, base, source, manifest()),
        metadata=b"Job_ID,42\n",
        about={"ro-crate-metadata.json": b"{}"},
        log_file=log,
        zip_chunks=lambda: (b"PK", b".."),
    )

    assert layout.folder == base / "team-a" / ".analyzed" / RUN / "20260301_120000"
    assert tree(layout.folder) == {
        "42_out.zip": b"PK..",
        "omero-42.log": b"done",
        "42_out/metadata.csv": b"Job_ID,42\n",
        "42_out/ro-crate-metadata.json": b"{}",
        **{f"42_out/data/out/{path}": data for path, data in CONTENTS.items()},
    }
    assert tree(source) == CONTENTS, "what was archived stays where it was"


def test_others_can_read_it_and_nobody_else_change_it(layout: ArchiveLayout, base: Path, source: Path) -> None:
    before = os.umask(0o077)
    try:
        write_archive(layout, base, source, manifest(), metadata=b"")
    finally:
        os.umask(before)

    for path in (base / "team-a").rglob("*"):
        assert stat.S_IMODE(path.stat().st_mode) == (0o755 if path.is_dir() else 0o644), path


def test_folders_keep_handing_down_their_group(layout: ArchiveLayout, base: Path, source: Path) -> None:
    base.chmod(0o2775)

    write_archive(layout, base, source, manifest(), metadata=b"")

    assert stat.S_IMODE(layout.results.stat().st_mode) == 0o2755


def test_metadata_lie_beside_ordered_files_unless_the_job_wrote_its_own(
    layout: ArchiveLayout, base: Path, source: Path
) -> None:
    (source / "sub" / "metadata.csv").write_bytes(b"mine")
    files = manifest({**CONTENTS, "sub/metadata.csv": b"mine"})

    write_archive(layout, base, source, files, metadata=b"Job_ID,42\n", beside=["", "sub"])

    assert (layout.results / "metadata.csv").read_bytes() == b"Job_ID,42\n"
    assert (layout.results / "sub" / "metadata.csv").read_bytes() == b"mine"


def test_what_is_there_is_left_alone(layout: ArchiveLayout, base: Path, source: Path) -> None:
    write_archive(layout, base, source, manifest(), metadata=b"1")
    before = layout.metadata.stat()

    write_archive(layout, base, source, manifest(), metadata=b"2")

    assert layout.metadata.stat() == before


def test_a_file_that_is_not_what_the_job_wrote_is_not_archived(layout: ArchiveLayout, base: Path, source: Path) -> None:
    (source / "sub" / "table.csv").write_bytes(b"a,b\n1,3\n")

    with pytest.raises(TransferDamaged, match=r"sub/table\.csv"):
        write_archive(layout, base, source, manifest(), metadata=b"")
    assert list(layout.folder.parent.iterdir()) == []


def test_whoever_stops_leaves_nothing_behind(layout: ArchiveLayout, base: Path, source: Path) -> None:
    calls = iter(range(10))

    def guard() -> None:
        if next(calls) == 2:
            raise RunCancelled("enough")

    with pytest.raises(RunCancelled):
        write_archive(layout, base, source, manifest(), metadata=b"", guard=guard)
    assert list(layout.folder.parent.iterdir()) == []


def test_what_a_killed_attempt_left_is_removed_by_the_next_and_nothing_else_is(
    layout: ArchiveLayout, base: Path, source: Path
) -> None:
    parent = layout.folder.parent
    (parent / ".20260301_120000.0badf00d.part" / "x").mkdir(parents=True)
    (parent / ".20260301_115959.0badf00d.part").mkdir()
    (parent / "20260301_110000").mkdir()

    write_archive(layout, base, source, manifest(), metadata=b"")

    assert sorted(path.name for path in parent.iterdir()) == [
        ".20260301_115959.0badf00d.part",
        "20260301_110000",
        "20260301_120000",
    ]


def test_whoever_is_second_finds_the_archive_of_the_first(layout: ArchiveLayout, base: Path, source: Path) -> None:
    late = iter(range(100))

    def overtaken() -> None:
        if next(late) == len(CONTENTS):
            write_archive(layout, base, source, manifest(), metadata=b"first")

    write_archive(layout, base, source, manifest(), metadata=b"second", guard=overtaken)

    assert layout.metadata.read_bytes() == b"first"
    assert [path.name for path in layout.folder.parent.iterdir()] == [layout.folder.name]


def test_a_storage_that_is_too_small_is_told_before_anything_is_written(
    layout: ArchiveLayout, base: Path, source: Path
) -> None:
    huge = [*manifest(), ArchivedFile("huge.tif", 2**62, "")]

    with pytest.raises(StorageUnavailable, match="MiB are needed") as caught:
        write_archive(layout, base, source, huge, metadata=b"")
    assert caught.value.transient
    assert list(layout.folder.parent.iterdir()) == []


@pytest.mark.parametrize("path", ["../x", "/etc/passwd", "a/../../x", "a\0b"])
def test_a_path_that_leads_out_is_refused(layout: ArchiveLayout, base: Path, source: Path, path: str) -> None:
    with pytest.raises(ResultsError, match="outside the folder"):
        write_archive(layout, base, source, [ArchivedFile(path, 0, "")], metadata=b"")


def test_an_archive_that_holds_the_same_results_is_found(layout: ArchiveLayout, base: Path, source: Path) -> None:
    group = base / "team-a"
    assert find_archive(group, RUN, 42, manifest()) is None
    write_archive(layout, base, source, manifest(), metadata=b"")

    assert find_archive(group, RUN, 42, manifest()) == layout.folder
    assert find_archive(group, RUN, 43, manifest()) is None
    assert find_archive(group, RUN, 43, []) is None
    assert find_archive(group, "another-run", 42, manifest()) is None
    assert find_archive(group, RUN, 42, manifest({**CONTENTS, "empty.txt": b"x"})) is None
    assert find_archive(group, RUN, 42, manifest({**CONTENTS, "more.txt": b""})) is None


def test_each_job_of_a_run_has_a_folder_of_its_own(base: Path) -> None:
    first = choose_folder(base, RUN, NOON)
    second = choose_folder(base, RUN, NOON, taken=[str(first)])
    second.mkdir(parents=True)

    third = choose_folder(base, RUN, NOON, taken=[str(first)])

    assert [each.name for each in (first, second, third)] == ["20260301_120000", "20260301_120001", "20260301_120002"]


def test_a_check_of_the_storage_leaves_nothing_behind(base: Path) -> None:
    check_writable(base, base / "lab" / "cells", "Cells")
    assert list(base.iterdir()) == []

    (base / "lab" / "cells" / ".analyzed" / RUN).mkdir(parents=True)
    check_writable(base, base / "lab" / "cells", "Cells")
    assert sorted(str(path.relative_to(base)) for path in base.rglob("*")) == [
        "lab",
        "lab/cells",
        "lab/cells/.analyzed",
        f"lab/cells/.analyzed/{RUN}",
    ]


def test_many_look_at_a_new_group_at_once_while_one_writes(base: Path, layout: ArchiveLayout, source: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        looks = [pool.submit(check_writable, base, base / "team-a", "team-a") for _ in range(200)]
        write_archive(layout, base, source, manifest(), metadata=b"")
        for look in looks:
            look.result()
    assert [path.name for path in (base / "team-a" / ".analyzed").iterdir()] == [RUN]


def test_a_folder_that_holds_the_results_of_another_job_is_not_taken_for_ours(
    layout: ArchiveLayout, base: Path, source: Path
) -> None:
    write_archive(layout, base, source, manifest(), metadata=b"")
    other = ArchiveLayout(layout.folder, 43)

    with pytest.raises(StorageUnavailable, match="not empty"):
        write_archive(other, base, source, manifest(), metadata=b"")
    assert is_archived(layout)
    assert not is_archived(other)


@pytest.mark.parametrize("denied", ["base", "group", "archive"])
def test_a_folder_that_may_not_be_written_to_is_told_with_a_remedy(base: Path, denied: str, tmp_path: Path) -> None:
    group = base / "team-a"
    for folder, name in ((base, "base"), (group, "group"), (group / ".analyzed", "archive")):
        folder.mkdir(exist_ok=True)
        folder.chmod(0o777)
        if name == denied:
            folder.chmod(0o555)
            break
    for each in (tmp_path, *tmp_path.parents[:3]):
        each.chmod(each.stat().st_mode | 0o055)

    with (
        somebody_else(),
        pytest.raises(SettingsError, match=r"may not write to the storage of group 'team-a'") as caught,
    ):
        check_writable(base, group, "team-a")
    assert "write permission" in caught.value.remedy


@pytest.mark.parametrize("link", [".analyzed", f".analyzed/{RUN}"])
def test_a_link_that_a_member_has_made_leads_nobody_into_another_group(
    base: Path, layout: ArchiveLayout, source: Path, link: str
) -> None:
    other = base / "team-b"
    other.mkdir()
    place = base / "team-a" / link
    place.parent.mkdir(parents=True)
    place.symlink_to(other)

    with pytest.raises(SettingsError, match="leads out of the folder of its group"):
        write_archive(layout, base, source, manifest(), metadata=b"")
    if link == ".analyzed":
        with pytest.raises(SettingsError, match="leads out of the folder of its group"):
            check_writable(base, base / "team-a", "team-a")
    assert [path for path in other.rglob("*") if path.is_file()] == []


def test_a_storage_that_is_not_mounted_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="not mounted"):
        check_writable(tmp_path / "data", tmp_path / "data" / "team-a", "team-a")
    assert not (tmp_path / "data").exists()


def test_a_file_in_the_place_of_the_folder_is_told(base: Path) -> None:
    (base / "team-a").write_text("")

    with pytest.raises(SettingsError, match="may not write"):
        check_writable(base, base / "team-a", "team-a")


def test_a_storage_that_does_not_work_is_tried_again(base: Path) -> None:
    with pytest.raises(StorageUnavailable) as caught, storage(base):
        raise OSError(errno.EIO, os.strerror(errno.EIO))
    assert caught.value.transient


@pytest.mark.parametrize("path", ["cells.tif", "sub/ü ł.ome.tiff", "a b/(1) [2] {3} %_.tif", ".hidden.tif"])
def test_most_paths_are_the_same_to_all(path: str) -> None:
    assert plain_path(path)


@pytest.mark.parametrize(
    "path", ["a:b.tif", "a?.tif", "a|b.tif", 'a"b.tif', "a\\b.tif", "a\nb.tif", "d./a.tif", "a.tif ", "\udcff.tif"]
)
def test_some_paths_would_not_be_found_again(path: str) -> None:
    assert not plain_path(path)
