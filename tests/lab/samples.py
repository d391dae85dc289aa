"""A real micrograph of nuclei with its ground truth, and how well a segmentation matches it.

The ``stardist`` package carries both (a crop of the 2018 Data Science Bowl's images); they are read out of its wheel,
which is not installed.
"""

from __future__ import annotations

import io
import os
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import tifffile

if TYPE_CHECKING:
    from numpy.typing import NDArray

WHEEL = "stardist==0.9.2"
IMAGE = "img2d.tif"
TRUTH = "mask2d.tif"


def cache_directory() -> Path:
    """Return where whatever takes long to make or fetch is kept, outside of any checkout."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "omero-worker"


def fetch() -> Path:
    """Put the sample images into the cache, if they are not there.

    Returns
    -------
    Path
        The directory that holds them.
    """
    directory = cache_directory() / "samples"
    if all((directory / name).exists() for name in (IMAGE, TRUTH)):
        return directory
    directory.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as work:
        pip = [sys.executable, "-m", "pip", "download", "-qq", "--disable-pip-version-check"]
        subprocess.run([*pip, "--no-deps", "--only-binary", ":all:", "--dest", work, WHEEL], check=True)
        (wheel,) = Path(work).glob("*.whl")
        with zipfile.ZipFile(wheel) as archive:
            for name in (TRUTH, IMAGE):
                unfinished = directory / f".{name}.{os.getpid()}"
                unfinished.write_bytes(archive.read(f"stardist/data/images/{name}"))
                unfinished.replace(directory / name)
    return directory


def nuclei_image() -> NDArray[np.uint16]:
    """Return a fluorescence micrograph of nuclei, shape (Y, X)."""
    return _read(IMAGE)


def nuclei_truth() -> NDArray[np.uint16]:
    """Return the labels that a person gave to the nuclei of :func:`nuclei_image`, shape (Y, X); 0 is background."""
    return _read(TRUTH)


def _read(name: str) -> NDArray[np.uint16]:
    pixels = tifffile.imread(io.BytesIO((fetch() / name).read_bytes()))
    return np.asarray(pixels, dtype=np.uint16)


def f1_score(labels: NDArray[np.integer], truth: NDArray[np.integer], iou: float = 0.5) -> float:
    """Say how well labels match the truth.

    Parameters
    ----------
    labels, truth : ndarray of int
        Label images of the same shape; 0 is background.
    iou : float
        Intersection over union above which an object counts as found; from 0.5 on, each object matches one at most.

    Returns
    -------
    float
        ``2 TP / (2 TP + FP + FN)``, 1.0 for a perfect match.

    Raises
    ------
    ValueError
        If the shapes differ, or *iou* is less than 0.5.
    """
    if labels.shape != truth.shape:
        raise ValueError(f"labels have shape {labels.shape}, but the truth has {truth.shape}")
    if iou < 0.5:
        raise ValueError(f"below 0.5 an object may match several, so iou={iou} gives no F1 score")
    found, label_index = np.unique(labels, return_inverse=True)
    true, truth_index = np.unique(truth, return_inverse=True)
    overlap = np.zeros((found.size, true.size), dtype=np.int64)
    np.add.at(overlap, (label_index.ravel(), truth_index.ravel()), 1)
    union = overlap.sum(axis=1, keepdims=True) + overlap.sum(axis=0, keepdims=True) - overlap
    ratio = (overlap / union)[np.ix_(found != 0, true != 0)]
    matches = int((ratio > iou).sum())
    objects = int((found != 0).sum() + (true != 0).sum())
    return 2 * matches / objects if objects else 1.0
