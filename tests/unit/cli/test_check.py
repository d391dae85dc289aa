"""What ``omero-worker check`` makes of a cluster whose programs do not work, and of circuits that are open."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from worker.cli.check import Finding, Verdict, _circuits, _program
from worker.cluster.local import LocalTransport
from worker.engine.breaker import Circuit, CircuitState
from worker.engine.circuits import Circuits
from worker.history.database import Database

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is all of the PATH, with what the shell commands need and nothing of Slurm."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("sh", "id", "timeout", "sleep", "true"):
        (folder / name).symlink_to(str(shutil.which(name)))
    monkeypatch.setenv("PATH", str(folder))
    return folder


def program(folder: Path, name: str, body: str) -> None:
    (folder / name).write_text(f'#!/bin/sh\n[ "$1" = --version ] && echo "slurm 24.11.5" && exit 0\n{body}\n')
    (folder / name).chmod(0o755)


def found(name: str) -> Finding:
    (finding,) = _program(LocalTransport(), name)
    return finding


def test_a_program_that_works_is_told_with_its_version(programs: Path) -> None:
    program(programs, "squeue", "exit 0")
    assert found("squeue") == Finding("squeue", Verdict.OK, "slurm 24.11.5")


def test_a_program_that_is_not_found_needs_another_path(programs: Path) -> None:
    finding = found("sbatch")
    assert finding.verdict is Verdict.FAIL
    assert "PATH in ~/.bashrc" in finding.remedy


def test_a_program_that_may_not_be_run_needs_permission(programs: Path) -> None:
    program(programs, "sbatch", "exit 0")
    (programs / "sbatch").chmod(0o644)
    assert "may run it" in found("sbatch").remedy


def test_a_program_that_fails_is_told_in_its_own_words(programs: Path) -> None:
    program(programs, "squeue", "echo 'squeue: error: Unable to contact slurm controller' >&2; exit 1")
    finding = found("squeue")
    assert finding.verdict is Verdict.FAIL
    assert finding.message == "squeue ended with status 1: squeue: error: Unable to contact slurm controller"
    assert "PATH" not in finding.remedy
    assert "It is there, but does not work" in finding.remedy


def test_a_program_without_its_configuration_is_told_in_its_own_words(programs: Path) -> None:
    (programs / "squeue").write_text("#!/bin/sh\necho 'squeue: fatal: no configuration source' >&2; exit 1\n")
    (programs / "squeue").chmod(0o755)
    finding = found("squeue")
    assert "no configuration source" in finding.message
    assert "PATH" not in finding.remedy


def test_a_program_that_does_not_answer_is_not_waited_for(programs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("worker.cli.check.QUESTIONS", {"squeue": "exec timeout 0.2 squeue"})
    program(programs, "squeue", "sleep 20")
    finding = found("squeue")
    assert finding.message == "squeue had no answer within 20 s"
    assert "whether its controller" in finding.remedy


def test_a_cluster_without_accounting_will_do(programs: Path) -> None:
    program(programs, "sacct", "echo 'Slurm accounting storage is disabled' >&2; exit 1")
    finding = found("sacct")
    assert finding.verdict is Verdict.WARN
    assert "exit file alone" in finding.remedy


class TestCircuits:
    @pytest.fixture
    def database(self, tmp_path: Path) -> Iterator[Database]:
        with Database(None, sqlite_path=tmp_path / "history.sqlite") as database:
            database.migrate()
            yield database

    def test_one_that_is_open_is_told(self, database: Database) -> None:
        since = datetime.now(UTC)
        state = CircuitState("cluster", Circuit.OPEN, since, since + timedelta(minutes=5), "No route to host.")
        Circuits(database, "engine:7").record(state)
        (finding,) = _circuits(database)
        assert (finding.subject, finding.verdict) == ("cluster", Verdict.WARN)
        assert finding.message.startswith("cluster unreachable since ")
        assert "(No route to host)" in finding.message
        assert "engine:7" in finding.message

    def test_one_that_is_closed_is_nothing_to_speak_of(self, database: Database) -> None:
        Circuits(database, "engine:7").record(CircuitState("cluster", Circuit.CLOSED, datetime.now(UTC), None, ""))
        assert list(_circuits(database)) == []
