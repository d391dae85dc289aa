"""Where and with what something was measured."""

from __future__ import annotations

import os
import platform
import subprocess
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.lab.cluster import Cluster
from tests.lab.description import CHECKOUT

if TYPE_CHECKING:
    from tests.lab.description import Lab

PACKAGES = ("omero-worker", "omero-py", "omero-cli-zarr", "zeroc-ice", "zarr", "numpy", "paramiko", "eventsourcing")


def facts(lab: Lab | None = None) -> dict[str, Any]:
    """Collect the date, the machine, its load and the versions.

    Parameters
    ----------
    lab : Lab, optional
        The lab that is measured with; its Slurm is asked for its version.

    Returns
    -------
    dict
        JSON values: ``date`` (UTC), ``machine``, ``versions``.
    """
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": {
            "cores": len(os.sched_getaffinity(0)),
            "memory_mib": os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2**20,
            "processor": processor(),
            "system": f"{platform.system()} {platform.release()}",
            # Others at work on the machine make all figures larger, and ratios less sure.
            "load_1_min": round(os.getloadavg()[0], 2),
        },
        "versions": {
            "python": platform.python_version(),
            **{name: metadata.version(name) for name in PACKAGES},
            "slurm": None if lab is None else Cluster(lab).run("sbatch", "--version").split()[-1],
            "commit": commit(),
        },
    }


def processor() -> str:
    """Name of the processor, or its architecture where the kernel does not tell."""
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def commit() -> str | None:
    """The commit of the working tree, with ``-dirty`` where it was changed since; None outside of git."""
    command = ("git", "-C", str(CHECKOUT), "describe", "--always", "--abbrev=40", "--dirty", "--exclude=*")
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None
