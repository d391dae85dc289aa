"""The account that people log in to the cluster with."""

from __future__ import annotations

import pwd
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from tests.lab import processes
from tests.lab.parts import run

if TYPE_CHECKING:
    from collections.abc import Mapping


def make_account(user: str, home: Path) -> None:
    """Make a login account with a home in the lab, if it is not there."""
    try:
        account = pwd.getpwnam(user)
    except KeyError:
        run(["useradd", "--no-create-home", "--home-dir", str(home), "--shell", "/bin/bash", user])
        account = pwd.getpwnam(user)
    if Path(account.pw_dir) != home:
        run(["usermod", "--home", str(home), user])
    # A new account is locked ("!"), and sshd without PAM then refuses even keys. "*" has no password either.
    run(["usermod", "--password", "*", user])
    home.parent.mkdir(parents=True, exist_ok=True)
    home.mkdir(mode=0o750, exist_ok=True)
    shutil.chown(home, user, account.pw_gid)


def end_processes(user: str, *, home: Path, environment: Mapping[str, str]) -> None:
    """Kill what logins of an account have left running, in the background for example.

    Parameters
    ----------
    user : str
        The account.
    home : Path
        Its home in this lab; a process that works below it is one of this lab.
    environment : mapping
        What logins of this lab have in their environment; a process that has it is one of this lab.
    """
    try:
        uid = pwd.getpwnam(user).pw_uid
    except KeyError:
        return  # there never was a login
    marks = {f"{name}={value}".encode() for name, value in environment.items()}

    def belongs(pid: int) -> bool:
        process = processes.PROC / str(pid)
        try:
            if process.stat().st_uid != uid:
                return False
            return marks <= processes.environ_of(pid) or (process / "cwd").readlink().is_relative_to(home)
        except OSError:
            return False  # it has ended

    processes.kill({pid: ticks for pid in processes.family([], belongs) if (ticks := processes.start_ticks(pid))})
