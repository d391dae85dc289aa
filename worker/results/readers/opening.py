"""The door to result images: a path in, the images in it out, whatever kind of file it is."""

from __future__ import annotations

import dataclasses
import math
import threading
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Final

from worker.errors import ResultsError
from worker.results.readers.model import Unreadable
from worker.results.readers.omezarr import zarr_images
from worker.results.readers.png import png_images
from worker.results.readers.tiff import tiff_images

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from worker.results.readers.model import FileImage, Plane

    Reader = Callable[[Path, Mapping[str, int], ExitStack], tuple[FileImage, ...]]

TIFF_SUFFIXES = (".tif", ".tiff")
PNG_SUFFIXES = (".png",)
IMAGE_SUFFIXES = TIFF_SUFFIXES + PNG_SUFFIXES
ZARR_SUFFIX = ".zarr"

IMAGE_BYTES_MAX: Final = 2**43
"""Size of an image, as decoded: 8 TiB. A file of a few bytes may claim any size."""


@contextmanager
def open_images(
    path: Path, expected: Mapping[str, int] | None = None, called: str = ""
) -> Iterator[tuple[FileImage, ...]]:
    """Open the images in a file, or in an OME-Zarr folder.

    Parameters
    ----------
    path : Path
        The file or folder.
    expected : Mapping, optional
        Sizes of the analysed image under ``Z``, ``T`` and ``C``, to tell what unnamed pages are.
    called : str, optional
        What persons are told that it is called; its name alone, if that is not given.

    Yields
    ------
    tuple of FileImage
        Its images (series of a TIFF; images, labels and fields of an OME-Zarr); readable until the context ends.

    Raises
    ------
    ResultsError
        If the file is no image, is damaged, or is stored in a way that cannot be read.
    """
    called = called or path.name
    with ExitStack() as stack:
        try:
            images = _reader(path)(path, expected or {}, stack)
            for image in images:
                _check(image)
        except Exception as error:
            # Decoders raise what they like: zlib.error, struct.error, AssertionError, SyntaxError.
            raise _unreadable(called, error) from error
        if not images:
            raise ResultsError(f"{called} has no image in it.")
        # The images of a file share its handle and what was decoded last.
        lock = threading.Lock()
        yield tuple(
            dataclasses.replace(image, read=_guarded(called, image.read, lock), file=called) for image in images
        )


def _reader(path: Path) -> Reader:
    suffix = path.suffix.lower()
    if suffix == ZARR_SUFFIX:
        return zarr_images
    return png_images if suffix in PNG_SUFFIXES else tiff_images


def _check(image: FileImage) -> None:
    sizes = (image.size_x, image.size_y, image.size_z, image.size_c, image.size_t)
    said = " x ".join(map(str, sizes))
    if not math.prod(sizes):
        raise Unreadable(f"it has no pixels: its sizes (X, Y, Z, C, T) are {said}")
    if math.prod(sizes) * image.dtype.itemsize > IMAGE_BYTES_MAX:
        raise Unreadable(f"it claims to have {said} pixels (X, Y, Z, C, T)")


def _unreadable(called: str, error: Exception) -> ResultsError:
    return ResultsError(
        f"{called} cannot be read as an image: {str(error) or type(error).__name__}.",
        remedy="The file itself is in the zip of the results, if that was asked for.",
    )


def _guarded(
    called: str, read: Callable[[int, int, int, slice, slice], Plane], lock: threading.Lock
) -> Callable[..., Plane]:
    """Let the errors of a damaged file, met in the middle of it, be ours too, and one thread read at a time."""

    def guarded(t: int, c: int, z: int, rows: slice, columns: slice) -> Plane:
        try:
            with lock:
                return read(t, c, z, rows, columns)
        except Exception as error:
            raise _unreadable(called, error) from error

    return guarded
