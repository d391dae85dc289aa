"""How long results take on their way home: listed with checksums, fetched and verified.

Against ``scp -r`` as it is, and against what does the same as we do: ``scp -r``, with ``sha256sum`` there and here.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import tempfile
import time
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from tests.bench.report import Row
from worker.cluster import ssh
from worker.cluster.listing import list_tree
from worker.cluster.streams import download_tree
from worker.settings.models import SshSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tests.lab.description import Lab
    from worker.cluster.transport import Transport

SMALL_FILES = 10_000
SMALL_BYTES = 4096
LARGE_MIB = 1024

REFERENCES = ("scp -r, which compares no checksums", "scp -r, and sha256sum there and here")


def measure(lab: Lab, repeat: int, say: Callable[[str, int], None]) -> list[Row]:
    """Fetch many small files, and one large one, ours and as ``scp`` does it, in turns.

    Parameters
    ----------
    lab : Lab
        The lab.
    repeat : int
        How often.
    say : callable
        Is told how far it is.

    Returns
    -------
    list of Row
        Two rows for each kind of results.
    """
    home = Path(str(lab.cluster_home)) / f"bench-fetch-{os.getpid()}"
    pool = ssh.connect_pool(SshSettings(host=str(lab.ssh_alias), ssh_config=Path(str(lab.ssh_config))))
    samples: dict[str, list[tuple[float, float, float]]] = {name: [] for name in MAKERS}
    try:
        for name, make in MAKERS.items():
            make(home / name)
        account = home.parent.stat()
        subprocess.run(["chown", "-R", f"{account.st_uid}:{account.st_gid}", str(home)], check=True)
        for number in range(repeat):
            for name, taken in samples.items():
                say(f"fetch {number + 1}/{repeat}: {name}", 0)
                taken.append((_ours(pool, home / name), *_scp(lab, home / name)))
            say(f"fetch {number + 1}/{repeat}", 1)
    finally:
        pool.close()
        shutil.rmtree(home, ignore_errors=True)
    return [
        Row(
            name="fetch",
            title=f"Results home: {name}",
            ours=[each[0] for each in taken],
            reference=[each[place] for each in taken],
            unit="s",
            reference_is=reference_is,
        )
        for name, taken in samples.items()
        for place, reference_is in enumerate(REFERENCES, start=1)
    ]


def _ours(transport: Transport, folder: Path) -> float:
    transport.run(["true"]).check()  # connected, as an engine is
    with tempfile.TemporaryDirectory(prefix="omero-worker-bench-") as home:
        started = time.perf_counter()
        files = list_tree(transport, PurePosixPath(folder)).files
        download_tree(transport, PurePosixPath(folder), files, Path(home, "out"))
        return time.perf_counter() - started


def _scp(lab: Lab, folder: Path) -> tuple[float, float]:
    """Copy a folder; give the time for that, and with checksums there and here as well."""
    sums = "find . -type f -print0 | sort -z | xargs -0 sha256sum"
    way = ["-F", str(lab.ssh_config)]
    with tempfile.TemporaryDirectory(prefix="omero-worker-bench-") as home:
        started = time.perf_counter()
        subprocess.run(
            ["scp", "-q", "-r", *way, f"{lab.ssh_alias}:{folder}", f"{home}/out"], check=True, stdin=subprocess.DEVNULL
        )
        copied_s = time.perf_counter() - started
        there = ["ssh", *way, str(lab.ssh_alias), f"cd {shlex.quote(str(folder))} && {sums}"]
        listed = subprocess.run(there, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE).stdout
        subprocess.run(["sha256sum", "--check", "--quiet"], check=True, input=listed, cwd=f"{home}/out")
        return copied_s, time.perf_counter() - started


def _many(folder: Path) -> None:
    for number in range(SMALL_FILES):
        path = folder / f"well {number % 96}" / f"{number:05}.tif"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(os.urandom(SMALL_BYTES))


def _one(folder: Path) -> None:
    folder.mkdir(parents=True)
    with (folder / "labels.tif").open("wb") as file:
        for _ in range(LARGE_MIB):
            file.write(os.urandom(2**20))


MAKERS: Mapping[str, Callable[[Path], None]] = {f"{SMALL_FILES:,} files of 4 KiB": _many, "one file of 1 GiB": _one}
