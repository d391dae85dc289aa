"""Micrographs to measure with: fields of real nuclei, as large as a camera's, in a dataset that does not stay."""

from __future__ import annotations

import uuid
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from tests.lab import samples
from tests.lab.omero.images import import_image, make_dataset
from tests.lab.person import logged_in

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from tests.lab.description import Lab

IMAGES = 24
SHAPE = (1, 2, 1, 1024, 1024)
"""(T, C, Z, Y, X)."""

PIXEL_SIZE_UM = 0.325
OFFSET = 100.0
"""What a camera reads in the dark."""
GAIN = 12.0
"""From the 8 bits of the sample to about 12, as cameras have them."""
NOISE = 12.0
"""Standard deviation of the noise."""


@dataclass(frozen=True, slots=True)
class FieldSet:
    """A dataset of micrographs."""

    dataset_id: int
    images: int
    size_mib: float
    """Size of all pixels."""


def micrograph(generator: np.random.Generator, shape: tuple[int, int, int, int, int] = SHAPE) -> NDArray[np.uint16]:
    """Make a field of nuclei: the sample micrograph, tiled from a random place on, with the noise of a camera.

    Every field and every plane is another one, and compresses as a camera's images do.

    Parameters
    ----------
    generator : numpy.random.Generator
        Source of places and noise.
    shape : tuple of int
        (T, C, Z, Y, X).

    Returns
    -------
    numpy.ndarray
        uint16.
    """
    nuclei = samples.nuclei_image().astype(np.float32)
    height, width = shape[-2:]
    tiles = (-(-height // nuclei.shape[0]), -(-width // nuclei.shape[1]))
    field = np.empty(shape, np.uint16)
    for plane in np.ndindex(*shape[:3]):
        shift = (int(generator.integers(nuclei.shape[0])), int(generator.integers(nuclei.shape[1])))
        signal = np.tile(np.roll(nuclei, shift, (0, 1)), tiles)[:height, :width]
        noise = generator.normal(OFFSET, NOISE, (height, width))
        field[plane] = np.clip(GAIN * signal + noise, 0, np.iinfo(np.uint16).max)
    return field


@contextmanager
def imported(
    lab: Lab,
    user: str,
    *,
    images: int = IMAGES,
    shape: tuple[int, int, int, int, int] = SHAPE,
    report: Callable[[str], None] = lambda _: None,
) -> Iterator[FieldSet]:
    """Import micrographs into a dataset of their own, and delete all of it at the end.

    Parameters
    ----------
    lab : Lab
        The lab.
    user : str
        Who imports, and owns them.
    images : int
        How many.
    shape : tuple of int
        (T, C, Z, Y, X) of each.
    report : callable
        Is told what is done.

    Yields
    ------
    FieldSet
        The dataset.
    """
    generator = np.random.default_rng(5)
    with logged_in(lab, user) as gateway:
        dataset_id = make_dataset(gateway, f"bench {uuid.uuid4().hex[:8]}")
    try:
        with logged_in(lab, user) as gateway:
            for number in range(images):
                report(f"importing micrograph {number + 1} of {images}")
                pixels = micrograph(generator, shape)
                import_image(gateway, pixels, f"field {number:02}", dataset_id, pixel_size_um=PIXEL_SIZE_UM)
        yield FieldSet(dataset_id, images, images * int(np.prod(shape)) * 2 / 2**20)
    finally:
        # A connection of its own: the one above may be what failed.
        with logged_in(lab, user) as gateway:
            gateway.deleteObjects("Dataset", [dataset_id], deleteAnns=True, deleteChildren=True, wait=True)
