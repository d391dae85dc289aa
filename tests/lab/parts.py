"""What a part of the lab is, and what it is given to work with."""

from __future__ import annotations

import importlib
import os
import pwd
import shutil
import signal
import subprocess
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, cast

from tests.lab import processes

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from tests.lab.ports import PortBlock
    from tests.lab.processes import Process

PARTS = (
    "tests.lab.sshd:SshdPart",
    "tests.lab.postgres:PostgresPart",
    "tests.lab.slurm.part:SlurmPart",
    "tests.lab.analyses.part:AnalysesPart",
    "tests.lab.deployment:DeploymentPart",
    "tests.lab.omero.part:OmeroPart",
    "tests.lab.omero.part:WebPart",
    "tests.lab.deployment:EnginePart",
)
"""Every part, in the order in which they are started; they are stopped in the reverse order."""

SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class PartFailed(RuntimeError):
    """A part could not be started or stopped."""


@dataclass(frozen=True, slots=True)
class LabContext:
    """What a part works with.

    Parameters
    ----------
    base : Path
        Everything that a part writes lies below it.
    checkout : Path
        The working tree of this lab's code.
    ports : PortBlock
        The lab's ports.
    facts : dict
        What the parts before this one have reported.
    """

    base: Path
    checkout: Path
    ports: PortBlock
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def log_directory(self) -> Path:
        """Where daemons write their logs."""
        return self.base / "log"

    @property
    def register(self) -> processes.Register:
        """The processes that this lab has started."""
        return processes.Register(self.base / "processes")

    @property
    def cluster_user(self) -> str:
        """The account that logs in to the cluster; each base directory has its own."""
        return cluster_user(self.base)

    @property
    def cluster_home(self) -> Path:
        """The home of :attr:`cluster_user`."""
        return self.base / "home" / self.cluster_user

    def port(self, name: str) -> int:
        """Return one of the ports that :data:`tests.lab.ports.OFFSETS` names."""
        return self.ports[name]

    def directory(self, name: str, *, user: str | None = None, mode: int = 0o755) -> Path:
        """Make a directory below the base, if it is not there, and give it to an account.

        Parameters
        ----------
        name : str
            Its path, relative to the base.
        user : str, optional
            Its owner; by default the caller.
        mode : int
            Its permissions.

        Returns
        -------
        Path
            The directory.
        """
        path = self.base / name
        path.mkdir(parents=True, exist_ok=True)
        path.chmod(mode)
        if user:
            shutil.chown(path, user, pwd.getpwnam(user).pw_gid)
        return path

    def spawn(
        self,
        name: str,
        argv: Sequence[str],
        env: Mapping[str, str] | None = None,
        user: str | None = None,
        *,
        cwd: Path | None = None,
        stop_signal: signal.Signals = signal.SIGTERM,
    ) -> Process:
        """Start a daemon that stays in the foreground; its output goes to ``log/<name>.log``.

        Parameters
        ----------
        name : str
            What it is called in the lab, and by :meth:`process` and :meth:`end`.
        argv : sequence of str
            Its command line.
        env : mapping, optional
            Its environment, on top of a plain PATH and locale. Nothing is inherited from the caller.
        user : str, optional
            The account it runs as; by default the caller's.
        cwd : Path, optional
            Its working directory; by default the base.
        stop_signal : Signals
            What makes it end in an orderly way.

        Returns
        -------
        Process
            The running process, recorded so that it is ended with the lab.
        """
        self.log_directory.mkdir(parents=True, exist_ok=True)
        return processes.spawn(
            name,
            argv,
            register=self.register,
            log_file=self.log_directory / f"{name}.log",
            env=plain_environment() | dict(env or {}),
            user=user,
            cwd=cwd or self.base,
            stop_signal=stop_signal,
        )

    def process(self, name: str) -> Process | None:
        """Return a daemon of this lab by its name, if it runs."""
        return self.register.get(name)

    def end(self, *names: str, grace_s: float = 5.0) -> None:
        """End daemons of this lab with everything they have started, and forget them.

        Parameters
        ----------
        *names : str
            Those to end; one that does not run is passed over.
        grace_s : float
            How long they may take before they are killed.
        """
        processes.end([process for name in names if (process := self.process(name))], grace_s=grace_s)
        for name in names:
            self.register.forget(name)

    def wait_for(self, what: str, ready: Callable[[], bool], *, daemon: str, timeout_s: float = 20.0) -> None:
        """Wait until a daemon is ready.

        Parameters
        ----------
        what : str
            What is waited for, for the message.
        ready : callable
            Says whether it is there.
        daemon : str
            The daemon; if it ends meanwhile, the wait is over.
        timeout_s : float
            How long to wait.

        Raises
        ------
        PartFailed
            If the daemon has ended, or the time is over; with the end of its log.
        """
        deadline = time.monotonic() + timeout_s
        while not ready():
            gone = self.process(daemon) is None
            if gone or time.monotonic() > deadline:
                reason = f"{daemon} has ended" if gone else f"{what} did not come within {timeout_s:.0f} s"
                raise PartFailed(f"{reason}: {processes.tail(self.log_directory / f'{daemon}.log')}")
            time.sleep(0.03)

    def statuses(self, *names: str) -> str:
        """Say in a few words which of some daemons run."""
        dead = [name for name in names if self.process(name) is None]
        if not dead:
            return "running"
        return "stopped" if len(dead) == len(names) else f"not running: {', '.join(dead)}"


class Part(Protocol):
    """Something that a lab consists of."""

    name: str
    """What it is called in messages."""

    def start(self, ctx: LabContext) -> Mapping[str, object]:
        """Start it, and return what tests need to know (fields of :class:`tests.lab.description.Lab`)."""

    def stop(self, ctx: LabContext) -> None:
        """Stop what :meth:`start` has started, also when that went only half of the way."""

    def status(self, ctx: LabContext) -> str:
        """Say ``"running"``, or in a few words what is not."""


def load_parts(names: Sequence[str] = PARTS) -> list[Part]:
    """Import parts, given as ``module:Class``; one whose module does not exist is left out."""
    parts: list[Part] = []
    for name in names:
        module_name, _, class_name = name.partition(":")
        try:
            module = importlib.import_module(module_name)
        except ModuleNotFoundError as error:
            if not (error.name and module_name.startswith(error.name)):
                raise
            continue
        parts.append(cast("Part", getattr(module, class_name)()))
    return parts


def plain_environment() -> dict[str, str]:
    """Return the environment that every process of a lab begins with."""
    return {"PATH": SYSTEM_PATH, "LANG": "C.UTF-8", "LC_ALL": "C.UTF-8"}


def cluster_user(base: Path) -> str:
    """Return the account that logs in to the cluster of a lab.

    An account has one home, and two labs have two; so only the lab in the usual place gets the plain name.
    """
    from zlib import crc32

    from tests.lab.description import DEFAULT_BASE

    return "hpcuser" if base == DEFAULT_BASE else f"hpc{crc32(os.fsencode(base)):08x}"


def run(
    argv: Sequence[str],
    *,
    env: Mapping[str, str] | None = None,
    user: str | None = None,
    stdin: str | None = None,
    cwd: Path | None = None,
    timeout_s: float = 120.0,
) -> str:
    """Run a command to its end in a plain environment.

    Parameters
    ----------
    argv : sequence of str
        The command.
    env : mapping, optional
        On top of :func:`plain_environment`.
    user : str, optional
        The account it runs as.
    stdin : str, optional
        What it reads.
    cwd : Path, optional
        Its working directory.
    timeout_s : float
        How long it may take.

    Returns
    -------
    str
        What it wrote to standard output.

    Raises
    ------
    PartFailed
        If it ended with a status other than 0, or took too long.
    """
    account: dict[str, Any] = {}
    if user:
        account = {"user": user, "group": pwd.getpwnam(user).pw_gid, "extra_groups": []}
    try:
        completed = subprocess.run(
            list(argv),
            input=stdin if stdin is not None else "",
            env=plain_environment() | dict(env or {}),
            cwd=cwd,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=True,
            **account,
        )
    except subprocess.CalledProcessError as error:
        raise PartFailed(
            f"{argv[0]} ended with status {error.returncode}: {error.stderr.strip() or error.stdout}"
        ) from error
    except subprocess.TimeoutExpired as error:
        raise PartFailed(f"{argv[0]} took more than {timeout_s:.0f} s") from error
    return str(completed.stdout)
