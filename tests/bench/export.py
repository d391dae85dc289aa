"""How fast images leave OMERO: our own exporter against omero-cli-zarr, on the same images and server.

Both write OME-Zarr of the same version into a sink that only counts. ``python -m tests.bench.export`` measures each
format twice: as the machine is, and with a few milliseconds added to each call to OMERO, as between two machines.
"""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any, Literal

from tests.bench.calls import count_calls
from tests.bench.micrographs import IMAGES, SHAPE, imported
from tests.lab.description import Lab
from tests.unit.pixels.sinks import CountingSink
from worker.pixels import cli_zarr, exporter
from worker.pixels.selection import read_selection
from worker.pixels.session import Session, open_session

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.bench.micrographs import FieldSet

Exporter = Literal["own", "omero-cli-zarr"]
FORMATS = ("zarr-0.4", "zarr-0.5")
LATENCIES_S = (0.0, 0.005)


def measure(
    lab: Lab | None = None,
    *,
    images: int = IMAGES,
    shape: tuple[int, int, int, int, int] = SHAPE,
    formats: Sequence[str] = FORMATS,
    latencies_s: Sequence[float] = LATENCIES_S,
    user: str = "alice",
) -> dict[str, Any]:
    """Measure both exporters.

    Parameters
    ----------
    lab : Lab, optional
        A running lab; by default the one that the environment names.
    images : int
        How many images.
    shape : tuple of int
        (T, C, Z, Y, X) of each.
    formats : sequence of str
        ``zarr-0.4``, ``zarr-0.5``.
    latencies_s : sequence of float
        What to add to each call, in seconds.
    user : str
        Who exports.

    Returns
    -------
    dict
        Sizes, and for each format and latency the seconds, MiB/s of pixels, calls and output of each exporter, and
        ``ratio``: how many times faster ours is.
    """
    lab = lab or Lab.load()
    with imported(lab, user, images=images, shape=shape) as fields:
        result: dict[str, Any] = {"images": images, "shape": list(shape), "pixels_mib": fields.size_mib, "runs": []}
        for format_name in formats:
            for latency_s in latencies_s:
                run: dict[str, Any] = {"format": format_name, "latency_s": latency_s}
                for label in ("own", "omero-cli-zarr"):
                    run[label] = export_once(lab, user, fields, label, format_name, latency_s=latency_s)
                run["ratio"] = round(run["omero-cli-zarr"]["seconds"] / run["own"]["seconds"], 1)
                result["runs"].append(run)
    return result


def export_once(
    lab: Lab, user: str, fields: FieldSet, which: Exporter, format_name: str, *, latency_s: float = 0.0
) -> dict[str, Any]:
    """Export micrographs once, in a session of its own, from the first question to OMERO to the last file.

    Parameters
    ----------
    lab : Lab
        A running lab.
    user : str
        Who exports.
    fields : FieldSet
        What to export.
    which : str
        The exporter: ``own`` or ``omero-cli-zarr``.
    format_name : str
        ``zarr-0.4`` or ``zarr-0.5``.
    latency_s : float
        What to add to each call, in seconds.

    Returns
    -------
    dict
        ``seconds``, ``mib_per_s`` of pixels, ``calls`` to OMERO, ``files`` and ``output_mib``.
    """
    if lab.omero_host is None or lab.omero_port is None:
        raise RuntimeError("this lab has no OMERO")
    export: Any = exporter.export if which == "own" else cli_zarr.export
    with Session(open_session(lab.omero_host, lab.omero_port, user=user, password=lab.omero_users[user])) as gateway:
        calls = count_calls(gateway, latency_s=latency_s)
        sink = CountingSink()
        start = time.perf_counter()
        selection = read_selection(gateway, "Dataset", [fields.dataset_id])
        export(gateway, selection, format=format_name, sink=sink, progress=_silently)
        seconds = time.perf_counter() - start
    return {
        "seconds": round(seconds, 3),
        "mib_per_s": round(fields.size_mib / seconds, 1),
        "calls": calls.total,
        "files": sink.files,
        "output_mib": round(sink.size_bytes / 2**20, 1),
    }


def _silently(done: int, total: int) -> None:
    """Show no progress."""


if __name__ == "__main__":
    print(json.dumps(measure(), indent=2))
