"""Reading again while somebody writes."""

from __future__ import annotations

import os
import threading
import time
from typing import TYPE_CHECKING

import pytest

from tests.unit.settings.conftest import settle
from worker.errors import SettingsError
from worker.settings.loader import SettingsSource

if TYPE_CHECKING:
    from pathlib import Path

WHOLE = "[SSH]\nhost = cluster\n[MODELS]\n" + "".join(
    f"wf{number} = folder{number}\nwf{number}_repo = https://github.com/o/r{number}\n" for number in range(40)
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "slurm-config.ini"
    path.write_text(WHOLE)
    settle(path)
    return path


@pytest.fixture
def source(path: Path) -> SettingsSource:
    return SettingsSource(path, environ={}, default_paths=(), pause_s=0.01)


def rewrite(path: Path, text: str) -> None:
    """Write as the web plugin does: in place, cut off first."""
    path.write_text(text)
    settle(path)
    status = path.stat()
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + 1))


def test_the_same_object_is_given_until_a_file_changes(path: Path, source: SettingsSource) -> None:
    before = source.current()
    assert source.current() is before
    rewrite(path, WHOLE.replace("cluster", "another"))
    assert source.current().ssh.host == "another"


def let_rest(path: Path, seconds: float = 1.0) -> None:
    """Let a file look as if it had been written a moment ago."""
    then = time.time() - seconds
    os.utime(path, (then, then))


def test_a_change_within_one_tick_of_the_time_stamp_is_seen(path: Path, source: SettingsSource) -> None:
    let_rest(path)
    status = path.stat()
    assert source.current().ssh.host == "cluster"
    path.write_text(WHOLE.replace("cluster", "another"))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert source.current().ssh.host == "another"


def test_a_change_counts_once_nobody_has_written_for_a_moment(path: Path, source: SettingsSource) -> None:
    before = source.current()
    path.write_text(WHOLE.replace("cluster", "another"))
    assert source.current() is before
    let_rest(path)
    assert source.current().ssh.host == "another"


def test_a_change_of_a_secret_file_counts_though_the_digest_is_the_same(tmp_path: Path, path: Path) -> None:
    secret = tmp_path / "token"
    secret.write_text("first")
    secret.chmod(0o400)
    source = SettingsSource(path, environ={"GITHUB_TOKEN_FILE": str(secret)}, default_paths=())
    before = source.current()
    assert source.current() is before
    secret.chmod(0o600)
    secret.write_text("second")
    after = source.current()
    assert after.analyses.github_token is not None
    assert after.analyses.github_token.get_secret_value() == "second"
    assert after.digest() == before.digest()
    secret.unlink()
    assert source.current().analyses.github_token == after.analyses.github_token
    assert "cannot be read" in source.current().warnings[-1]


def test_a_file_that_has_lost_its_end_is_believed_only_when_nobody_writes_any_more(
    path: Path, source: SettingsSource
) -> None:
    rewrite(path, WHOLE + "[changelog]\n")
    source.current()
    path.write_text(WHOLE.replace("cluster", "another"))
    let_rest(path)
    assert source.current().ssh.host == "cluster"
    assert "has lost its end: [changelog]" in source.current().warnings[-1]
    settle(path)
    assert source.current().ssh.host == "another"


def test_the_layers_are_those_of_the_settings_that_count(path: Path, source: SettingsSource) -> None:
    assert source.layers().sections["SSH"]["host"].value == "cluster"
    rewrite(path, "[SSH\nhost")
    assert source.layers().sections["SSH"]["host"].value == "cluster"
    rewrite(path, WHOLE.replace("cluster", "another"))
    assert source.layers().sections["SSH"]["host"].value == "another"


def test_a_look_at_what_has_not_changed_costs_next_to_nothing(source: SettingsSource) -> None:
    source.current()
    begin = time.process_time()
    for _ in range(1000):
        source.current()
    assert time.process_time() - begin < 0.5


def test_a_file_that_appears_later_counts(tmp_path: Path, path: Path) -> None:
    later = tmp_path / "later.ini"
    source = SettingsSource(environ={}, default_paths=(path, later))
    assert source.current().ssh.host == "cluster"
    rewrite(later, "[SSH]\nhost = later\n")
    assert source.current().ssh.host == "later"


def test_a_file_that_is_taken_away_for_good_counts_no_longer(tmp_path: Path, path: Path) -> None:
    later = tmp_path / "later.ini"
    rewrite(later, "[SSH]\nhost = later\n")
    source = SettingsSource(environ={}, default_paths=(path, later), pause_s=0.01)
    assert source.current().ssh.host == "later"
    later.unlink()
    assert source.current().ssh.host == "cluster"


@pytest.mark.parametrize("damaged", ["", "\n", "[SSH\nhost", "[SLURM]\ninject_gpu_flag = Tr\n", "= x"])
def test_a_damaged_file_leaves_the_last_good_settings_with_a_warning(
    path: Path, source: SettingsSource, damaged: str
) -> None:
    good = source.current()
    rewrite(path, damaged)
    kept = source.current()
    assert kept.workflows == good.workflows
    assert kept.digest() == good.digest()
    assert "the last good ones stay" in kept.warnings[-1]
    rewrite(path, WHOLE)
    assert source.current().warnings == ()


def test_an_explicit_file_that_vanishes_leaves_the_last_good_settings(path: Path, source: SettingsSource) -> None:
    source.current()
    path.unlink()
    kept = source.current()
    assert kept.ssh.host == "cluster"
    assert "There is no file" in kept.warnings[-1]


def test_what_never_could_be_read_is_an_error(path: Path, source: SettingsSource) -> None:
    rewrite(path, "= x")
    with pytest.raises(SettingsError, match="before the first section"):
        source.current()


def test_a_comment_alone_is_a_file_that_is_meant_to_be_empty(path: Path, source: SettingsSource) -> None:
    source.current()
    rewrite(path, "# nothing here any more\n")
    assert source.current().workflows == {}


def test_the_first_part_of_a_file_is_believed_only_when_nobody_writes_any_more(
    path: Path, source: SettingsSource
) -> None:
    source.current()
    first_part = WHOLE[: WHOLE.index("wf7 ")]
    path.write_text(first_part)
    let_rest(path)
    assert len(source.current().workflows) == 40
    assert "only the first part" in source.current().warnings[-1]
    settle(path)
    assert len(source.current().workflows) == 7
    assert source.current().warnings == ()


def test_a_first_reader_waits_for_a_writer_that_is_half_way(tmp_path: Path) -> None:
    path = tmp_path / "slurm-config.ini"
    half = len(WHOLE) // 2
    path.write_text(WHOLE[:half])

    def finish() -> None:
        time.sleep(0.02)
        with path.open("a") as stream:
            stream.write(WHOLE[half:])

    writer = threading.Thread(target=finish)
    writer.start()
    try:
        settings = SettingsSource(path, environ={}, default_paths=(), pause_s=0.5).current()
    finally:
        writer.join()
    assert len(settings.workflows) == 40


def versioned(number: int) -> str:
    """Write a file whose first and last value say which version it is, of a length of its own."""
    workflows = "".join(f"wf{count} = folder\nwf{count}_repo = r\n" for count in range(number % 7 * 20))
    return f"[SSH]\nhost = v{number}\n[MODELS]\n{workflows}zz = v{number}\nzz_repo = r\n[changelog]\n# {number}\n"


@pytest.mark.parametrize(("rest_s", "duration_s"), [(0.0, 0.8), (0.3, 2.0)])
def test_no_reader_ever_sees_half_a_file_while_it_is_rewritten_all_the_time(
    path: Path, rest_s: float, duration_s: float
) -> None:
    stop = threading.Event()
    written = [0]

    def write() -> None:
        # With a pause while the file is cut off, and one half-way, far longer than a real writer's.
        while not stop.is_set():
            text = versioned(written[-1] + 1)
            with path.open("w") as stream:
                time.sleep(0.004)
                stream.write(text[: len(text) // 2])
                stream.flush()
                time.sleep(0.02)
                stream.write(text[len(text) // 2 :])
            written.append(written[-1] + 1)
            stop.wait(rest_s)

    rewrite(path, versioned(0))
    source = SettingsSource(path, environ={}, default_paths=(), pause_s=0.01, quiet_s=0.15)
    seen: list[str] = []
    writer = threading.Thread(target=write)
    readers = [threading.Thread(target=read_for, args=(source, duration_s, seen)) for _ in range(2)]
    source.current()
    for thread in (writer, *readers):
        thread.start()
    for reader in readers:
        reader.join()
    stop.set()
    writer.join()
    if rest_s:
        assert len(set(seen)) > 2
    settle(path)
    assert source.current().ssh.host == f"v{written[-1]}"


def read_for(source: SettingsSource, duration_s: float, seen: list[str]) -> None:
    """Read again and again, and note the version; a torn file would be of two versions, or of none."""
    end = time.monotonic() + duration_s
    while time.monotonic() < end:
        settings = source.current()
        assert settings.workflow("zz").image_folder == settings.ssh.host
        assert len(settings.workflows) == int(settings.ssh.host[1:]) % 7 * 20 + 1
        seen.append(settings.ssh.host)
        time.sleep(0.002)


def test_threads_may_share_a_source(source: SettingsSource) -> None:
    seen: list[object] = []
    threads = [threading.Thread(target=lambda: seen.append(source.current())) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(seen) == 8
    assert len({id(settings) for settings in seen}) == 1
