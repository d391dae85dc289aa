"""The log file of the engine service."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import structlog

from worker.cli import logfile
from worker.cli.logfile import LogFile, log_path, log_to_file
from worker.cli.main import configure_logging

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(autouse=True)
def logging_of_this_test_run() -> Iterator[None]:
    """Gives the test run its logging back."""
    before = structlog.get_config()
    yield
    structlog.configure(**before)


def test_each_worker_has_a_file_of_its_own_below_the_state_folder() -> None:
    environ = {"OMERO_WORKER_STATE_DIR": "/state", "OMERO_WORKER_NAME": "engine-1"}
    assert str(log_path(environ)) == "/state/logs/engine-1.log"
    assert str(log_path({**environ, "OMERO_WORKER_LOG_DIR": "/logs"})) == "/logs/engine-1.log"
    assert log_path({**environ, "OMERO_WORKER_NAME": "../e"}).parent.name == "logs"


def test_what_is_logged_is_in_the_file_as_it_is_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging()
    path = tmp_path / "new" / "engine.log"
    file = log_to_file(path)
    assert file is not None
    structlog.get_logger().info("step_done", run="42", step="export")
    try:
        _ = 1 / 0
    except ZeroDivisionError:
        structlog.get_logger().exception("step_failed")
    file.close()
    written = path.read_text(encoding="utf-8")
    assert written == capsys.readouterr().err
    assert "step_done" in written
    assert "ZeroDivisionError" in written


def test_a_file_that_has_grown_is_put_aside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logfile, "MAX_BYTES", 30)
    monkeypatch.setattr(logfile, "KEPT_FILES", 2)
    file = LogFile(tmp_path / "e.log")
    for number in range(8):
        file.keep(f"line number {number}")
    file.close()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["e.log", "e.log.1", "e.log.2"]
    assert (tmp_path / "e.log").read_text() == "line number 6\nline number 7\n"


def test_an_engine_goes_on_where_the_file_cannot_be_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").touch()
    configure_logging()
    assert log_to_file(tmp_path / "file" / "engine.log") is None
    file = LogFile(tmp_path / "gone" / "engine.log")
    for _ in range(3):
        file.keep("line")
    said = capsys.readouterr().err.splitlines()
    assert said[0].startswith(f"There is no log file, as {tmp_path / 'file'} cannot be made")
    assert len(said) == 2
    assert "engine.log cannot be written: [Errno 2]" in said[1]
