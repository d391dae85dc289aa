"""Slurm's programs, played by scripts that say what was once seen."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

if TYPE_CHECKING:
    from pathlib import Path

RUN = UUID("27ca7d34-1544-4c6b-9ca3-0b2c6797c752")
TASK = UUID("972ff20a-6a8d-44d7-bf64-3b0e93260a31")


class Cluster:
    """Slurm's commands on the PATH; each notes its arguments and says what it was told to."""

    def __init__(self, folder: Path) -> None:
        self.bin = folder / "bin"
        self.bin.mkdir()
        for command in ("sbatch", "squeue", "sacct", "scancel"):
            self.says(command)

    def says(self, command: str, out: str = "", *, error: str = "", status: int = 0) -> None:
        for stream, text in (("out", out), ("err", error)):
            (self.bin / f"{command}.{stream}").write_text(text)
        program = self.bin / command
        program.write_text(
            f'#!/bin/sh\nprintf "%s\\0" "$@" >"{program}.args"\n'
            f'cat "{program}.err" >&2\ncat "{program}.out"\nexit {status}\n'
        )
        program.chmod(0o755)

    def arguments(self, command: str) -> list[str]:
        path = self.bin / f"{command}.args"
        return path.read_text().split("\0")[:-1] if path.exists() else []
