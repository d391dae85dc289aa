"""The lab's cluster as a person sees it who logs in: through the system's ``ssh``, with no code of ours between."""

from __future__ import annotations

import shlex
import subprocess
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import PurePosixPath

    from tests.lab.description import Lab

ENDED = frozenset({"COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "OUT_OF_MEMORY", "NODE_FAIL", "DEADLINE"})


@dataclass(frozen=True, slots=True)
class Job:
    """What accounting says of a job that has ended.

    Parameters
    ----------
    job_id : int
        Its id.
    state : str
        Its state, without "by 1001" and the like.
    exit_code : str
        Status and signal, as ``0:0``.
    node : str
        Where it ran.
    """

    job_id: int
    state: str
    exit_code: str
    node: str


@dataclass(frozen=True, slots=True)
class Cluster:
    """A login to the cluster of a lab.

    Parameters
    ----------
    lab : Lab
        The lab.
    host : str
        Which of the aliases in the lab's ssh configuration is used.
    """

    lab: Lab
    host: str = "labcluster"

    def ssh(self, *argv: str, stdin: bytes = b"", options: tuple[str, ...] = ()) -> subprocess.CompletedProcess[bytes]:
        """Run a command on the login node, whatever its exit status.

        Parameters
        ----------
        *argv : str
            The command; every word is quoted for the far shell.
        stdin : bytes
            What it reads.
        options : tuple of str
            More options for ``ssh`` itself, ahead of those of the lab.

        Returns
        -------
        CompletedProcess
            Exit status and output; 255 is a failure of ``ssh`` itself.
        """
        return subprocess.run(
            ["ssh", "-F", str(self.lab.ssh_config), *options, self.host, shlex.join(argv)],
            input=stdin,
            capture_output=True,
            timeout=120,
            check=False,
        )

    def run(self, *argv: str, stdin: bytes = b"") -> str:
        """Run a command on the login node that must end with status 0, and return its output."""
        completed = self.ssh(*argv, stdin=stdin)
        if completed.returncode != 0:
            raise RuntimeError(f"{shlex.join(argv)} ended with {completed.returncode}: {completed.stderr.decode()}")
        return completed.stdout.decode()

    def write(self, path: PurePosixPath, data: bytes) -> None:
        """Write a file on the cluster."""
        self.run("mkdir", "-p", str(path.parent))
        self.run("dd", f"of={path}", "status=none", stdin=data)

    def read(self, path: PurePosixPath) -> bytes:
        """Read a file on the cluster."""
        completed = self.ssh("cat", str(path))
        if completed.returncode != 0:
            raise FileNotFoundError(path)
        return completed.stdout

    def sbatch(self, script: str, *options: str) -> int:
        """Submit a job script, given as its text, and return the job's id."""
        output = self.run("sbatch", "--parsable", *options, stdin=script.encode())
        return int(output.split(";")[0])

    def wait(self, job_id: int, *, timeout_s: float = 60.0) -> Job:
        """Wait until accounting says that a job has ended."""
        deadline = time.monotonic() + timeout_s
        fields = "--format=State,ExitCode,NodeList"
        while time.monotonic() < deadline:
            # No line yet is normal: accounting lags behind.
            line = self.run("sacct", "-n", "-P", "-X", f"--jobs={job_id}", fields).strip()
            if line and (state := line.split("|")[0].split()[0]) in ENDED:
                _, exit_code, node = line.split("|")
                return Job(job_id, state, exit_code, node)
            time.sleep(0.2)
        raise TimeoutError(f"job {job_id} has not ended within {timeout_s} s")
