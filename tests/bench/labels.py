"""Label images into OMERO: our import against ezomero doing the same, in one run.

``python -m tests.bench.labels WAY FOLDER`` imports the TIFFs of a folder once, in a process of its own, and prints its
seconds and the peak of its memory as JSON. Ours is the whole import of results, with provenance, keys, sizes of pixels
and one dataset for all; the reference is what the replaced worker does for images alone: ``tifffile.imread``, five
dimensions, ``ezomero.post_image``.
"""

from __future__ import annotations

import argparse
import json
import logging
import resource
import subprocess
import sys
import tempfile
import time
import uuid
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

import ezomero
import numpy as np
import tifffile

from tests.bench.calls import count_calls
from tests.bench.report import Row
from tests.lab.description import CHECKOUT, Lab
from tests.lab.omero.images import import_image, make_dataset, make_project
from worker.pixels.session import Session, open_session
from worker.results.importer import import_results
from worker.results.model import ImportOptions, Provenance, SourceFile

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray
    from omero.gateway import BlitzGateway

Way = Literal["own", "ezomero"]
USER: Final = "alice"
IMAGES: Final = 100
FEW: Final = 10
SIDE: Final = 2048
OBJECTS: Final = 800


@dataclass(frozen=True, slots=True)
class Imported:
    """One import of the label images of a folder.

    Parameters
    ----------
    images : int
        How many images.
    seconds : float
        How long it took.
    peak_mib : float
        How much memory its process had at most.
    calls : int
        Calls to OMERO.
    """

    images: int
    seconds: float
    peak_mib: float
    calls: int


def label_image(number: int) -> NDArray[np.uint16]:
    """Draw discs, each of its own number."""
    random = np.random.default_rng(number)
    labels = np.zeros((SIDE, SIDE), "uint16")
    y, x = np.ogrid[-30:31, -30:31]
    for label in range(1, OBJECTS + 1):
        top, left = random.integers(0, SIDE - 61, 2)
        radius = random.integers(8, 30)
        labels[top : top + 61, left : left + 61][y**2 + x**2 <= radius**2] = label
    return labels


@contextmanager
def written(images: int) -> Iterator[Path]:
    """Write label images the way analyses do: uint16, deflated."""
    with tempfile.TemporaryDirectory(prefix="bench-labels-") as work:
        for number in range(images):
            tifffile.imwrite(Path(work) / f"cells_{number:03d}.tif", label_image(number), compression="zlib")
        yield Path(work)


def go(way: Way, folder: Path) -> Imported:
    """Import the images of a folder once, in a process of its own."""
    command = [sys.executable, "-m", "tests.bench.labels", way, str(folder)]
    ended = subprocess.run(command, cwd=CHECKOUT, stdout=subprocess.PIPE, text=True, check=True)
    return Imported(**json.loads(ended.stdout.splitlines()[-1]))


def measure(lab: Lab, repeat: int, say: Callable[[str, int], None]) -> list[Row]:
    """Compare both ways, in turns, and look at the memory that 10 and 100 images take.

    Parameters
    ----------
    lab : Lab
        A running lab.
    repeat : int
        How often each way is gone.
    say : Callable
        Shows progress.

    Returns
    -------
    list of Row
        One row; its details tell the memory.
    """
    ours, reference = [], []
    with written(FEW) as few, written(IMAGES) as many:
        small = go("own", few)
        for number in range(repeat):
            say(f"labels {number + 1}/{repeat}: ezomero", 0)
            reference.append(go("ezomero", many))
            say(f"labels {number + 1}/{repeat}: our import", 0)
            ours.append(go("own", many))
            say(f"labels: {ours[-1].seconds:.2f} s, reference {reference[-1].seconds:.2f} s", 1)
    return [
        Row(
            name="labels",
            title=f"import of {IMAGES} label images {SIDE} x {SIDE}",
            ours=[each.seconds for each in ours],
            reference=[each.seconds for each in reference],
            unit="s",
            reference_is="tifffile.imread and ezomero.post_image, one image after the other",
            details={
                "peak_mib": {
                    f"ours, {FEW} images": round(small.peak_mib),
                    f"ours, {IMAGES} images": round(max(each.peak_mib for each in ours)),
                    f"reference, {IMAGES} images": round(max(each.peak_mib for each in reference)),
                },
                "calls": {"ours": ours[-1].calls, "reference": reference[-1].calls},
            },
        )
    ]


def own(gateway: BlitzGateway, files: Sequence[Path], project_id: int) -> None:
    """Import with our own code, as results of one analysed image."""
    dataset_id = make_dataset(gateway, "analysed", project_id=project_id)
    image_id = import_image(gateway, np.zeros((8, 8), "uint8"), "cells", dataset_id)
    import_results(
        gateway,
        files[0].parent,
        [file.name for file in files],
        [SourceFile("cells.zarr", "Image", image_id, image_id, "cells")],
        ImportOptions(zip_to_parent=False, csv_tables=False, new_dataset="labels"),
        Provenance(str(uuid.uuid4()), str(uuid.uuid4()), 42, "nuclei"),
    )


def ezomero_way(gateway: BlitzGateway, files: Sequence[Path], project_id: int) -> None:
    """Import with ezomero."""
    # It warns of each image that a real import would be better.
    logging.getLogger().setLevel(logging.ERROR)
    dataset_id = make_dataset(gateway, "labels", project_id=project_id)
    for file in files:
        pixels = tifffile.imread(file)[np.newaxis, np.newaxis, np.newaxis]
        ezomero.post_image(gateway, pixels, file.name, dataset_id=dataset_id, dim_order="tczyx")


def main(argv: Sequence[str] | None = None) -> int:
    """Import once, and print what it took."""
    parser = argparse.ArgumentParser(description="Import the label images of a folder once.")
    parser.add_argument("way", choices=("own", "ezomero"))
    parser.add_argument("folder", type=Path)
    arguments = parser.parse_args(argv)
    lab = Lab.load()
    files = sorted(arguments.folder.glob("*.tif"))
    with Session(
        open_session(str(lab.omero_host), int(lab.omero_port or 0), user=USER, password=lab.omero_users[USER])
    ) as gateway:
        project_id = make_project(gateway, f"labels {uuid.uuid4()}")
        calls = count_calls(gateway)
        start = time.perf_counter()
        (own if arguments.way == "own" else ezomero_way)(gateway, files, project_id)
        seconds, made = time.perf_counter() - start, calls.total
        peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
        gateway.deleteObjects("Project", [project_id], deleteAnns=True, deleteChildren=True, wait=True)
    print(json.dumps(asdict(Imported(len(files), seconds, peak_mib, made))))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
