"""A pretended node of a cluster, on which bash runs job scripts with a container runtime of our own."""

from __future__ import annotations

import json
import shutil
import subprocess
from typing import TYPE_CHECKING, Any

from worker.cluster.submission import files_of

if TYPE_CHECKING:
    from pathlib import Path

    from worker.cluster.jobscript import JobRequest
    from worker.cluster.layout import RunLayout

APPTAINER = """\
#!/bin/bash
if [ "$1" = --version ]; then
    echo 'apptainer version 1.4.5'
    exit
fi
printf '%s\\0' "$@" >"$RECORD"
env -0 >"$RECORD.env"
printf '%s' "${APPTAINER_BINDPATH-unset}" >"$RECORD.bind"
exec bash -c "$CONTAINER" container "$@"
"""

PROGRAMS = ("bash", "sh", "cat", "date", "dirname", "basename", "find", "grep", "ln", "mkdir", "mv", "uname", "sleep",
            "touch", "env", "pgrep", "mktemp", "rm", "stat", "sha256sum")  # fmt: skip


class Node:
    """A pretended node of the cluster: a home, and a PATH of which we know what is on it."""

    def __init__(self, home: Path, layout: RunLayout) -> None:
        self.home = home
        self.run = home / layout.root
        self.bin = home / "bin"
        self.bin.mkdir()
        for program in PROGRAMS:
            (self.bin / program).symlink_to(str(shutil.which(program)))
        self.install("apptainer")
        (home / "images").mkdir()
        (home / "images" / "nuclei_v1.sif").touch()
        self.run.mkdir(parents=True)
        self.environment = {
            "PATH": str(self.bin),
            "HOME": str(home),
            "RECORD": str(home / "record"),
            "CONTAINER": f"touch '{self.run}/data/out/result'",
            "SLURM_JOB_ID": "12",
        }

    def install(self, program: str) -> None:
        (self.bin / program).write_text(APPTAINER)
        (self.bin / program).chmod(0o755)

    def start(self, job: JobRequest) -> subprocess.Popen[str]:
        """Start a job as Slurm does: from a copy of its script, at home; what is beside it is in the run's folder."""
        first, *others = files_of(job).items()
        (self.home / "job.sh").write_bytes(first[1])
        for path, text in others:
            (self.home / path).write_bytes(text)
        return subprocess.Popen(
            ["bash", self.home / "job.sh"],
            cwd=self.home,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="surrogateescape",
            start_new_session=True,
        )

    def execute(self, job: JobRequest) -> tuple[int, str]:
        """Run a job to its end; return its exit code and log."""
        process = self.start(job)
        log, _ = process.communicate(timeout=20)
        return process.returncode, log

    def exit_file(self, name: str = "12.json") -> dict[str, Any]:
        content: dict[str, Any] = json.loads((self.run / "status" / name).read_text())
        return content

    @property
    def arguments(self) -> list[str]:
        """Arguments of the last container."""
        return (self.home / "record").read_text("utf-8", "surrogateescape").split("\0")[:-1]

    @property
    def container_environment(self) -> dict[str, str]:
        """Environment of the last container."""
        entries = (self.home / "record.env").read_text("utf-8", "surrogateescape").split("\0")[:-1]
        return dict(entry.partition("=")[::2] for entry in entries)
