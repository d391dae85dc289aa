"""What logins leave behind is ended with the lab, and nothing else is."""

from __future__ import annotations

import os
import pwd
import subprocess
from pathlib import Path

import pytest

from tests.lab.accounts import end_processes

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can start processes as somebody else")

SOMEBODY = "nobody"


def background(cwd: Path, **environment: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(["sleep", "60"], user=SOMEBODY, cwd=cwd, env=environment)


def end(home: Path) -> None:
    end_processes(SOMEBODY, home=home, environment={"SLURM_CONF": "/the/lab/slurm.conf"})


def test_a_process_with_the_labs_environment_is_ended(tmp_path: Path) -> None:
    with background(Path("/"), SLURM_CONF="/the/lab/slurm.conf") as process:
        end(tmp_path)
        assert process.wait(5) == -9


def test_a_process_that_works_in_the_home_is_ended(tmp_path: Path) -> None:
    (tmp_path / "below").mkdir()
    with background(tmp_path / "below") as process:
        end(tmp_path)
        assert process.wait(5) == -9


def test_a_process_of_the_same_account_elsewhere_is_left_alone(tmp_path: Path) -> None:
    with background(Path("/"), SLURM_CONF="/another/lab/slurm.conf") as process:
        end(tmp_path)
        assert process.poll() is None
        process.kill()


def test_a_process_of_another_account_is_left_alone(tmp_path: Path) -> None:
    environment = {"SLURM_CONF": "/the/lab/slurm.conf"}
    with subprocess.Popen(["sleep", "60"], env=environment, cwd=tmp_path) as process:
        end(tmp_path)
        assert process.poll() is None
        process.kill()


def test_an_account_that_does_not_exist_has_no_processes(tmp_path: Path) -> None:
    with pytest.raises(KeyError):
        pwd.getpwnam("no-such-account")
    end_processes("no-such-account", home=tmp_path, environment={})
