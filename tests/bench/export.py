"""How fast images leave OMERO: our own exporter against omero-cli-zarr, on the same images and server.

Both write OME-Zarr of the same version into a sink that only counts. Each is measured twice: as the machine is, and
with a few milliseconds added to each call to OMERO, as between two machines.
"""

from __future__ import annotations

import json
import time
import uuid
from typing import TYPE_CHECKING, Any

import numpy as np

from tests.bench.calls import count_calls
from tests.lab.description import Lab
from tests.lab.omero.images import import_image, make_dataset
from tests.unit.pixels.sinks import CountingSink
from worker.pixels import cli_zarr, exporter
from worker.pixels.selection import read_selection
from worker.pixels.session import Session, open_session

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from omero.gateway import BlitzGateway

IMAGES = 24
SHAPE = (1, 2, 1, 1024, 1024)
LATENCIES_S = (0.0, 0.005)


def measure(
    lab: Lab | None = None,
    *,
    images: int = IMAGES,
    shape: tuple[int, int, int, int, int] = SHAPE,
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
    if lab.omero_host is None or lab.omero_port is None:
        raise RuntimeError("this lab has no OMERO")
    with Session(open_session(lab.omero_host, lab.omero_port, user=user, password=lab.omero_users[user])) as gateway:
        dataset_id = make_dataset(gateway, f"bench {uuid.uuid4().hex[:8]}")
        generator = np.random.default_rng(5)
        for number in range(images):
            import_image(gateway, micrograph(generator, shape), f"field {number}", dataset_id, pixel_size_um=0.325)
    size_mib = images * int(np.prod(shape)) * 2 / 2**20
    result: dict[str, Any] = {"images": images, "shape": list(shape), "pixels_mib": size_mib, "runs": []}
    for format_name in ("zarr-0.4", "zarr-0.5"):
        for latency_s in latencies_s:
            run: dict[str, Any] = {"format": format_name, "latency_s": latency_s}
            for label, export in (("own", exporter.export), ("omero-cli-zarr", cli_zarr.export)):
                session = open_session(lab.omero_host, lab.omero_port, user=user, password=lab.omero_users[user])
                with Session(session) as gateway:
                    run[label] = _timed(gateway, dataset_id, export, format_name, latency_s, size_mib)
            run["ratio"] = round(run["omero-cli-zarr"]["seconds"] / run["own"]["seconds"], 1)
            result["runs"].append(run)
    return result


def micrograph(generator: np.random.Generator, shape: tuple[int, int, int, int, int]) -> NDArray[np.uint16]:
    """Make pixels that compress like those of a camera: slow structures under noise of a few per cent.

    Parameters
    ----------
    generator : numpy.random.Generator
        Source of the noise.
    shape : tuple of int
        (T, C, Z, Y, X).

    Returns
    -------
    numpy.ndarray
        uint16.
    """
    y, x = np.mgrid[: shape[-2], : shape[-1]]
    structure = 2000 + 1500 * np.sin(y / 90) * np.cos(x / 70)
    noise = generator.normal(0, 40, shape)
    return np.asarray(np.clip(structure + noise, 0, 65535), np.uint16)


def _silently(done: int, total: int) -> None:
    """Show no progress."""


def _timed(
    gateway: BlitzGateway, dataset_id: int, export: Any, format_name: str, latency_s: float, size_mib: float
) -> dict[str, Any]:
    calls = count_calls(gateway, latency_s=latency_s)
    sink = CountingSink()
    start = time.perf_counter()
    selection = read_selection(gateway, "Dataset", [dataset_id])
    export(gateway, selection, format=format_name, sink=sink, progress=_silently)
    seconds = time.perf_counter() - start
    return {
        "seconds": round(seconds, 2),
        "mib_per_s": round(size_mib / seconds, 1),
        "calls": calls.total,
        "files": sink.files,
        "output_mib": round(sink.size_bytes / 2**20, 1),
    }


if __name__ == "__main__":
    print(json.dumps(measure(), indent=2))
