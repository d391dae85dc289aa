"""Pulling images with the real apptainer from a small registry, into a folder of this machine."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import pytest

from tests.faults.transport import FaultyTransport
from tests.lab import registry as registries
from worker.cluster import pulling
from worker.cluster.pulling import PullOptions, pull_images, start
from worker.cluster.pulls import Pull, PullState, look

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.lab.registry import Registry
    from worker.cluster.local import LocalTransport
    from worker.cluster.report import Item

FILE = PurePosixPath("my images/nuclei/w_nuclei_v1.0.sif")


@pytest.fixture(scope="module")
def images() -> Iterator[Registry]:
    """A registry with an image in two versions."""
    with registries.serving() as served:
        served.add("lab/w_nuclei", "v1.0", {"bin/true": b"#!/bin/sh\n", "data": os.urandom(200_000)})
        served.add("lab/w_nuclei", "v1.1", {"bin/true": b"#!/bin/sh\n"})
        yield served


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pulling, "POLL_MIN_S", 0.1)


@pytest.fixture(autouse=True)
def home(images: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The home of a login that trusts the registry; the folder in which `here` starts."""
    monkeypatch.setenv("HOME", str(tmp_path))
    trust = tmp_path / ".config" / "containers" / "registries.conf"
    trust.parent.mkdir(parents=True)
    trust.write_text(images.trust())
    yield tmp_path
    images.truncated, images.pause_s = False, 0.0


def nuclei(images: Registry, version: str = "v1.0") -> Pull:
    return Pull(
        f"nuclei {version}", f"{images.source}lab/w_nuclei:{version}", FILE.with_name(f"w_nuclei_{version}.sif")
    )


def pulled(here: LocalTransport, *pulls: Pull, force: bool = False) -> list[Item]:
    return pull_images(here, pulls, PullOptions(), force=force)


def left_over(home: Path) -> list[str]:
    """What is there besides images and what is known of them."""
    return [path.name for path in (home / FILE).parent.iterdir() if path.suffix not in (".sif", ".sha256")]


def wait_until(transport: LocalTransport, claim: str) -> PullState:
    deadline = time.monotonic() + 20
    while (state := look(transport, [FILE])[FILE]).claim != claim:
        assert time.monotonic() < deadline, state
        time.sleep(0.05)
    return state


def test_an_image_is_pulled_once_and_never_again(here: LocalTransport, images: Registry, home: Path) -> None:
    (item,) = pulled(here, nuclei(images))
    assert (item.what, item.state) == ("nuclei v1.0", "changed")
    assert str(FILE) in item.detail
    inspected = subprocess.run(["apptainer", "inspect", str(home / FILE)], capture_output=True, check=True, text=True)
    assert "lab/w_nuclei:v1.0" in inspected.stdout
    assert left_over(home) == []
    asked, image = len(images.requests), (home / FILE).stat()
    (item,) = pulled(here, nuclei(images))
    assert item.state == "ok"
    assert len(images.requests) == asked
    assert (home / FILE).stat() == image


def test_what_was_pulled_can_be_checked_with_sha256sum(here: LocalTransport, images: Registry, home: Path) -> None:
    pulled(here, nuclei(images))
    note = (home / FILE).with_name(f"{FILE.name}.sha256")
    subprocess.run(["sha256sum", "--check", "--strict", note.name], cwd=note.parent, check=True)
    status = (home / FILE).stat()
    mark = f"# {status.st_size} {int(status.st_mtime)} {images.source}lab/w_nuclei:v1.0"
    assert note.read_text().splitlines()[1] == mark


def test_what_is_there_is_replaced_only_when_that_is_wanted(here: LocalTransport, images: Registry, home: Path) -> None:
    pulled(here, nuclei(images))
    before = (home / FILE).stat().st_ino
    (item,) = pulled(here, nuclei(images), force=True)
    assert item.state == "changed", item
    assert (home / FILE).stat().st_ino != before


def test_a_dry_run_changes_nothing(here: LocalTransport, images: Registry, home: Path) -> None:
    (item,) = pull_images(here, [nuclei(images)], PullOptions(), dry_run=True)
    assert (item.state, "would be pulled" in item.detail) == ("changed", True)
    assert not (home / "my images").exists()


@pytest.mark.parametrize(
    ("address", "said", "remedy"),
    [
        ("{source}lab/w_nuclei:v9", "manifest unknown", "container-image"),
        ("{source}lab/nowhere:v1.0", "name unknown", "container-image"),
        ("docker://127.0.0.1:1/lab/w_nuclei:v1.0", "connection refused", "HTTPS_PROXY"),
    ],
)
def test_what_cannot_be_pulled_is_told_with_the_reason(
    here: LocalTransport, images: Registry, home: Path, address: str, said: str, remedy: str
) -> None:
    good = nuclei(images)
    bad = Pull("bad", address.format(source=images.source), FILE.with_name("bad_v1.sif"))
    failed, changed = pulled(here, bad, good)
    assert (failed.state, changed.state) == ("failed", "changed")
    assert said in failed.detail
    assert "While making image" not in failed.detail
    assert remedy in failed.remedy
    assert not (home / bad.file).exists()


def test_a_transfer_that_breaks_off_leaves_no_image_and_the_next_attempt_is_a_fresh_one(
    here: LocalTransport, images: Registry, home: Path
) -> None:
    images.truncated = True
    (item,) = pulled(here, nuclei(images))
    assert item.state == "failed"
    assert "unexpected EOF" in item.detail
    assert item.remedy == "The transfer broke off. Run it again."
    assert not (home / FILE).exists()
    images.truncated = False
    (item,) = pulled(here, nuclei(images))
    assert item.state == "changed", item
    assert left_over(home) == []


def test_a_registry_without_tls_is_not_trusted_by_itself(here: LocalTransport, images: Registry, home: Path) -> None:
    (home / ".config" / "containers" / "registries.conf").unlink()
    (item,) = pulled(here, nuclei(images))
    assert item.state == "failed"
    assert "APPTAINER_NOHTTPS" in item.remedy


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda data: data[:-4096], "it is cut short"),
        (lambda _: b"<html>404 Not Found</html>", "it is not a container image"),
        (lambda _: b"", "it is not a container image"),
    ],
)
def test_a_file_that_is_no_whole_image_is_not_taken_for_one(
    here: LocalTransport, images: Registry, home: Path, spoil: object, said: str
) -> None:
    pulled(here, nuclei(images))
    assert callable(spoil)
    (home / FILE).write_bytes(spoil((home / FILE).read_bytes()))
    (item,) = pulled(here, nuclei(images))
    assert item.state == "failed"
    assert said in item.detail
    assert "--force" in item.remedy


def test_a_pull_goes_on_without_us_and_is_adopted(here: LocalTransport, images: Registry, home: Path) -> None:
    images.pause_s = 1.0
    start(here, [nuclei(images)], PullOptions())
    assert wait_until(here, "pulling").image == "absent"
    asked = images.requests.count("/v2/lab/w_nuclei/manifests/v1.0")
    said: list[str] = []
    (item,) = pull_images(here, [nuclei(images)], PullOptions(), report=said.append)
    assert item.state == "changed", item
    assert "somebody pulls it already" in said[0]
    assert images.requests.count("/v2/lab/w_nuclei/manifests/v1.0") <= asked + 2  # of the one pull


def test_of_two_at_once_one_pulls_and_both_wait(here: LocalTransport, images: Registry, home: Path) -> None:
    images.pause_s = 0.5
    blobs = images.blobs_sent
    gate = threading.Barrier(2)

    def set_up() -> Item:
        gate.wait()
        return pulled(here, nuclei(images))[0]

    with ThreadPoolExecutor(2) as executor:
        items = [future.result() for future in [executor.submit(set_up) for _ in range(2)]]
    assert [item.state for item in items] == ["changed", "changed"]
    assert images.blobs_sent == blobs + 1
    assert left_over(home) == []


def test_a_lost_reply_does_not_pull_twice(here: LocalTransport, images: Registry, home: Path) -> None:
    faulty = FaultyTransport(here)
    faulty.lose_reply("start_pulls")
    blobs = images.blobs_sent
    (item,) = pull_images(faulty, [nuclei(images)], PullOptions())
    assert item.state == "changed", item
    assert images.blobs_sent == blobs + 1


def test_a_pull_that_was_killed_is_begun_anew(here: LocalTransport, images: Registry, home: Path) -> None:
    images.pause_s = 30.0
    start(here, [nuclei(images)], PullOptions())
    wait_until(here, "pulling")
    claim = home / FILE.parent / f".{FILE.name}.pull"
    # What a machine that restarts leaves behind; the pull itself is told to end.
    for pid in pids_in(claim):
        os.kill(pid, 9)
    long_ago = time.time() - 3600
    os.utime(claim / "beat", (long_ago, long_ago))
    assert wait_until(here, "lost").exit_status == 0
    images.pause_s = 0.0
    (item,) = pulled(here, nuclei(images))
    assert item.state == "changed", item
    assert left_over(home) == []


def pids_in(folder: Path) -> list[int]:
    """Processes that work in a folder."""
    found = []
    for process in Path("/proc").iterdir():
        if process.name.isdecimal():
            try:
                if (process / "cwd").readlink() == folder:
                    found.append(int(process.name))
            except OSError:
                continue
    return found


def test_where_there_is_no_runtime_the_report_says_so(
    here: LocalTransport, images: Registry, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    programs = home / "bin"
    programs.mkdir()
    for folder in ("/usr/bin", "/bin"):
        for program in Path(folder).iterdir():
            if not (programs / program.name).exists():
                (programs / program.name).symlink_to(program)
    for name in ("apptainer", "singularity"):
        (programs / name).unlink(missing_ok=True)
    # Stands in the way of /etc/profile, which would put everything on the PATH again.
    (programs / "module").write_text("#!/bin/sh\nexit 1\n")
    (programs / "module").chmod(0o755)
    monkeypatch.setenv("PATH", str(programs))
    (item,) = pulled(here, nuclei(images))
    assert item.state == "failed"
    assert "neither apptainer nor singularity" in item.detail
    assert "slurm_modules" in item.remedy


def test_the_temporary_folder_and_the_cache_of_the_settings_are_used(
    here: LocalTransport, images: Registry, home: Path
) -> None:
    options = PullOptions(tmpdir="scratch/tmp", cachedir="scratch/cache")
    (item,) = pull_images(here, [nuclei(images)], options)
    assert item.state == "changed", item
    assert (home / "scratch/tmp").is_dir()
    assert any((home / "scratch/cache").rglob("blobs"))
    assert not (home / ".apptainer" / "cache").exists()


def test_no_image_no_question(here: LocalTransport) -> None:
    assert pull_images(here, [], PullOptions()) == []
