"""A lab ends what it has started, and nothing else."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.lab import processes
from tests.lab.parts import plain_environment
from tests.lab.processes import Process, Register

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def register(tmp_path: Path) -> Iterator[Register]:
    register = Register(tmp_path / "processes")
    yield register
    processes.end(register.living(), grace_s=0)


def start(register: Register, tmp_path: Path, script: str, name: str = "daemon") -> Process:
    argv = ["/bin/sh", "-c", script]
    return processes.spawn(name, argv, register=register, log_file=tmp_path / "log", env=plain_environment())


def wait_for_line(log_file: Path) -> str:
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        if text := log_file.read_text(encoding="utf-8").strip():
            return text
        time.sleep(0.01)
    raise TimeoutError


def test_a_started_process_is_remembered(register: Register, tmp_path: Path) -> None:
    process = start(register, tmp_path, "exec sleep 60")
    assert Register(tmp_path / "processes").get("daemon") == process


def test_a_process_that_has_ended_is_not_alive_even_as_a_zombie(register: Register, tmp_path: Path) -> None:
    process = start(register, tmp_path, "exec sleep 60")
    os.kill(process.pid, 9)
    deadline = time.monotonic() + 5
    while process.alive and time.monotonic() < deadline:
        time.sleep(0.01)
    assert Path(f"/proc/{process.pid}").exists()  # nobody has waited for it yet
    assert not process.alive
    os.waitpid(process.pid, 0)


def test_another_process_with_the_same_pid_is_left_alone(register: Register) -> None:
    with subprocess.Popen(["sleep", "60"]) as stranger:
        ticks = processes.start_ticks(stranger.pid)
        assert ticks is not None
        register.add(Process("daemon", stranger.pid, ticks - 1))
        assert register.living() == []
        processes.end([Process("daemon", stranger.pid, ticks - 1)], grace_s=0)
        assert stranger.poll() is None
        stranger.kill()


def test_descendants_end_with_their_daemon(register: Register, tmp_path: Path) -> None:
    process = start(register, tmp_path, "setsid sleep 60 & echo $!; wait")
    grandchild = int(wait_for_line(tmp_path / "log"))
    ticks = processes.start_ticks(grandchild)
    processes.end([process], grace_s=2)
    assert not process.alive
    assert processes.start_ticks(grandchild) != ticks


def test_a_daemon_that_ignores_the_polite_signal_is_killed(register: Register, tmp_path: Path) -> None:
    process = start(register, tmp_path, "trap '' TERM; echo ready; while :; do sleep 0.05; done")
    wait_for_line(tmp_path / "log")
    processes.end([process], grace_s=0.2)
    assert not process.alive


def test_a_daemon_gets_nothing_of_our_environment(
    register: Register, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("A_SECRET", "hush")
    start(register, tmp_path, "env; exec sleep 60")
    wait_for_line(tmp_path / "log")
    assert "hush" not in (tmp_path / "log").read_text(encoding="utf-8")


def test_a_family_never_includes_the_caller() -> None:
    parent = os.getppid()
    assert not processes.family([os.getpid(), parent], lambda _: False) & {os.getpid(), parent}


def test_a_register_forgets(register: Register, tmp_path: Path) -> None:
    process = start(register, tmp_path, "exec sleep 60")
    register.forget("daemon")
    assert register.get("daemon") is None
    processes.end([dataclasses.replace(process)], grace_s=1)
