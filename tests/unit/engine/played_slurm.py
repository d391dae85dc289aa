"""A watcher of Slurm's commands, played by scripts that say what was once seen."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

import pytest

from tests.faults.transport import CountingTransport
from worker.cluster import accounting
from worker.cluster.local import LocalTransport
from worker.engine.watcher import Watcher

if TYPE_CHECKING:
    from worker.cluster.states import JobState

NO_DATABASE = "sacct: error: slurm_persist_conn_open_without_init: failed to open persistent connection"
UNREACHABLE = "slurm_load_jobs error: Unable to contact slurm controller (connect failure)"


class Clock:
    """Time that passes when it is told to."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


class Slurm:
    """squeue and sacct on the PATH, saying what they were told to."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for command in ("squeue", "sacct"):
            program = folder / command
            program.write_text(
                f'#!/bin/sh\nprintf "%s\\n" "$*" >>"{program}.asked"\n'
                f'cat "{program}.says"\nexit "$(cat "{program}.status")"\n'
            )
            program.chmod(0o755)
            self.says(command)

    def says(self, command: str, *rows: str, status: int = 0) -> None:
        (self.folder / f"{command}.says").write_text("".join(f"{row}\n" for row in rows))
        (self.folder / f"{command}.status").write_text(str(status))

    def asked(self, command: str) -> int:
        path = self.folder / f"{command}.asked"
        return len(path.read_text().splitlines()) if path.exists() else 0


def queued(job: str, state: str, key: object = "", reason: str = "None", elapsed: str = "0:07") -> str:
    return f"{job}|{state}|{elapsed}|{reason}|omero-job-x-{key}"


def accounted(job: str, state: str, key: object = "", code: str = "0:0", submit: str = "2026-01-01T00:00:00") -> str:
    values = {"JobID": job, "State": state, "ExitCode": code, "Submit": submit, "JobName": f"omero-job-x-{key}"}
    values |= {"ElapsedRaw": "9", "CPUTimeRAW": "18"}
    return "|".join(values.get(column, "") for column in accounting.COLUMNS)


@pytest.fixture
def slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Slurm:
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder), prepend=":")
    return Slurm(folder)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def transport(tmp_path: Path) -> CountingTransport:
    return CountingTransport(LocalTransport(tmp_path, command_timeout_s=20))


@pytest.fixture
def watcher(transport: CountingTransport, clock: Clock) -> Watcher:
    return Watcher(transport, min_interval_s=2, max_interval_s=60, clock=clock)


def watch(watcher: Watcher, job_id: int, key: str | None = None, folder: Path = Path()) -> UUID:
    task = uuid4()
    watcher.add(task, job_id, PurePosixPath(folder / f"{task}.json"), key)
    return task


def tick(watcher: Watcher, clock: Clock) -> set[UUID]:
    """Ask as soon as that is due."""
    clock.now_s += watcher.due_in_s()
    return watcher.tick()


def state(watcher: Watcher, task: UUID) -> JobState | None:
    report = watcher.report(task)
    return report.state if report else None
