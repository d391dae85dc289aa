"""The end of the worker's log, for admins: nothing but log files, and nothing secret in them."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from worker.dialogs import tailing
from worker.dialogs.tailing import known_secrets, last_lines, log_names, masked, named, parameters
from worker.errors import RequestError

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    """A log folder with two logs, a link out of it, a folder, a pipe, and a secret beside it."""
    folder = tmp_path / "logs"
    folder.mkdir()
    (tmp_path / "secret.log").write_text("secret\n")
    for index, name in enumerate(("old.log", "engine.log")):
        (folder / name).write_text(f"first of {name}\nsecond\nthird\n")
        os.utime(folder / name, (index, index))
    (folder / "link.log").symlink_to(tmp_path / "secret.log")
    (folder / "dir.log").mkdir()
    os.mkfifo(folder / "pipe.log")
    return folder


def test_only_files_are_offered_the_last_one_first(logs: Path) -> None:
    assert log_names(logs) == ["engine.log", "old.log"]
    path, lines = parameters(logs)
    assert "There are: engine.log, old.log." in path.description
    assert lines.prototype.getValue() == 5000
    assert "There is none yet." in parameters(logs / "none")[0].description


def test_a_log_is_named_or_is_the_last_one(logs: Path) -> None:
    assert named("", logs) == "engine.log"
    assert named("old.log", logs) == named(f"{logs}/old.log", logs) == "old.log"


@pytest.mark.parametrize(
    "text", ["../secret.log", "..", ".", "/etc/passwd", "x/../../secret.log", "sub/x.log", "a\0b", "/", "~/.ssh/id_rsa"]
)
def test_nothing_that_is_typed_leads_out_of_the_folder(logs: Path, text: str) -> None:
    with pytest.raises(RequestError, match="is not a log file of the worker"):
        named(text, logs)
    with pytest.raises(RequestError, match="is not a log file of the worker"):
        named(f"{logs}/../secret.log", logs)


@pytest.mark.parametrize("name", ["link.log", "dir.log", "pipe.log", "none.log"])
@pytest.mark.timeout(5)
def test_only_regular_files_are_read(logs: Path, name: str) -> None:
    with pytest.raises(RequestError, match=rf"{name} cannot be read .* There are: engine.log, old.log\."):
        last_lines(logs, name, 5)


@pytest.mark.parametrize(("count", "read"), [(1, ["third"]), (2, ["second", "third"]), (9, None)])
def test_the_last_lines_are_read(logs: Path, count: int, read: list[str] | None) -> None:
    assert last_lines(logs, "engine.log", count) == (read or ["first of engine.log", "second", "third"])


def test_a_long_log_is_read_from_its_end(logs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = [f"line {number} é" for number in range(20_000)]
    (logs / "long.log").write_text("\n".join(lines), encoding="utf-8")
    assert last_lines(logs, "long.log", 7000) == lines[-7000:]
    (logs / "bytes.log").write_bytes(b"\xff\xfe\n")
    assert last_lines(logs, "bytes.log", 1) == ["\ufffd\ufffd"]
    monkeypatch.setattr(tailing, "MAX_BYTES", 10)
    assert len(last_lines(logs, "long.log", 7000)) < 7000
    (logs / "empty.log").touch()
    assert last_lines(logs, "empty.log", 3) == []


@pytest.mark.parametrize(
    ("line", "clean"),
    [
        ("url=postgresql+psycopg2://biomero:p%40ss@db:5432/x", "url=postgresql+psycopg2://biomero:***@db:5432/x"),
        ("https://user:hunter2@git.example.org/r", "https://user:***@git.example.org/r"),
        ("password=hunter2 user=alice", "password=*** user=alice"),
        ('{"token": "abc", "run": "42"}', '{"token": "***", "run": "42"}'),
        ("Authorization: Bearer abc.def", "Authorization: Bearer ***"),
        ("cloning with ghp_0123456789abcdefghij", "cloning with ***"),
        ("cloning with glpat-0123456789abcdefghij", "cloning with ***"),
        ("the own one is s3cr3t!", "the own one is ***"),
        ("run=42 step=export state=done", "run=42 step=export state=done"),
    ],
)
def test_secrets_are_masked(line: str, clean: str) -> None:
    assert masked([line], {"s3cr3t!", "", "42"}) == [clean]


def test_a_private_key_is_left_out_whole() -> None:
    lines = [
        "before",
        "key: -----BEGIN OPENSSH PRIVATE KEY-----",
        "b3BlbnNz",
        "-----END OPENSSH PRIVATE KEY-----",
        "after",
    ]
    assert masked(lines) == ["before", "key: ***", "after"]


def test_the_passwords_of_databases_are_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    secret = tmp_path / "url"
    secret.touch(mode=0o600)
    secret.write_text("postgresql+psycopg2://u:p%40ss@h/d")
    monkeypatch.delenv("SQLALCHEMY_URL", raising=False)
    monkeypatch.setenv("SQLALCHEMY_URL_FILE", str(secret))
    assert known_secrets() == {"p%40ss", "p@ss"}
