"""The ``git`` program, run so that nothing in a configuration file can make it do more than fetch.

Arguments are a list, never a shell's; only https, ssh, git and file are spoken; nothing is ever asked at a terminal;
and a command that takes too long is ended with everything that it started.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from worker.errors import RepositoryUnreachable

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

PROTOCOLS = ("https", "ssh", "git", "file")

# These name the repository of whoever runs us, if that happens to be git itself (in a hook).
_FOREIGN = (
    "GIT_DIR",
    "GIT_WORK_TREE",
    "GIT_INDEX_FILE",
    "GIT_OBJECT_DIRECTORY",
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_COMMON_DIR",
    "GIT_NAMESPACE",
    "GIT_PREFIX",
    "GIT_EXTERNAL_DIFF",
)


@dataclass(frozen=True, slots=True)
class Deadline:
    """The moment at which several commands together must have ended.

    Parameters
    ----------
    timeout_s : float
        The time that they were given, in seconds.
    ends_at_s : float
        The moment, on the monotonic clock, in seconds.
    """

    timeout_s: float
    ends_at_s: float

    @classmethod
    def after(cls, timeout_s: float) -> Deadline:
        """Make one that begins now.

        Parameters
        ----------
        timeout_s : float
            The time from now, in seconds.

        Returns
        -------
        Deadline
            The deadline.
        """
        return cls(timeout_s, time.monotonic() + timeout_s)

    @property
    def left_s(self) -> float:
        """The time that is left, in seconds; never negative."""
        return max(0.0, self.ends_at_s - time.monotonic())


def run_git(arguments: Sequence[str], deadline: Deadline, *, folder: Path | None = None) -> bytes:
    """Run ``git``.

    Parameters
    ----------
    arguments : Sequence[str]
        Its arguments.
    deadline : Deadline
        When it must have ended.
    folder : Path | None
        The bare repository that it works on.

    Returns
    -------
    bytes
        What it wrote to standard output.

    Raises
    ------
    RepositoryUnreachable
        It ended with an error, or did not end in time, or is not installed.
    """
    place = [] if folder is None else [f"--git-dir={folder}"]
    argv = ["git", "--literal-pathspecs", *place, "-c", "credential.interactive=false", *arguments]
    try:
        process = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=_environment(),
            start_new_session=True,
        )
    except OSError as error:
        raise RepositoryUnreachable(f"The program git cannot be started: {error.strerror or error}.") from error
    with process:
        try:
            stdout, stderr = process.communicate(timeout=deadline.left_s)
        except BaseException as error:
            # Its children (ssh, git-remote-https) hold the pipes; they are all in one group of their own.
            os.killpg(process.pid, signal.SIGKILL)
            if isinstance(error, subprocess.TimeoutExpired):
                raise RepositoryUnreachable(f"git {arguments[0]} took more than {deadline.timeout_s:g} s.") from error
            raise
    if process.returncode != 0:
        message = stderr.decode(errors="replace").strip() or f"status {process.returncode}, and no message"
        raise RepositoryUnreachable(f"git {arguments[0]} failed: {_last_words(message)}.")
    return stdout


def _environment() -> dict[str, str]:
    environ = {name: value for name, value in os.environ.items() if name not in _FOREIGN}
    environ.setdefault("GIT_SSH_COMMAND", "ssh -o BatchMode=yes")
    return environ | {
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_ASKPASS": "true",
        "SSH_ASKPASS": "true",
        "GIT_ALLOW_PROTOCOL": ":".join(PROTOCOLS),
        "GIT_OPTIONAL_LOCKS": "0",
        "LC_ALL": "C",
    }


def _last_words(message: str) -> str:
    """Shorten what git wrote to the lines that say why, and drop the advice for persons at a terminal."""
    lines = [line.strip() for line in message.splitlines() if line.startswith(("fatal:", "error:", "ssh:", "remote:"))]
    return " ".join(lines or message.splitlines()[-1:]).rstrip(".")[:500]
