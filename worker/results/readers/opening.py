"""The door to result images: a path in, the images in it out, whatever kind of file it is."""

from __future__ import annotations

import dataclasses
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from worker.errors import ResultsError
from worker.results.readers.png import png_images
from worker.results.readers.tiff import tiff_images

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from worker.results.readers.model import FileImage, Plane

TIFF_SUFFIXES = (".tif", ".tiff")
PNG_SUFFIXES = (".png",)
IMAGE_SUFFIXES = TIFF_SUFFIXES + PNG_SUFFIXES


@contextmanager
def open_images(path: Path, expected: Mapping[str, int] | None = None) -> Iterator[tuple[FileImage, ...]]:
    """Open the images in a file.

    Parameters
    ----------
    path : Path
        The file.
    expected : Mapping, optional
        Sizes of the analysed image under ``Z``, ``T`` and ``C``, to tell what unnamed pages are.

    Yields
    ------
    tuple of FileImage
        Its images (TIFF series); readable until the context ends.

    Raises
    ------
    ResultsError
        If the file is no image, is damaged, or is stored in a way that cannot be read.
    """
    reader = png_images if path.suffix.lower() in PNG_SUFFIXES else tiff_images
    with ExitStack() as stack:
        try:
            images = reader(path, expected or {}, stack)
        except Exception as error:
            # Decoders raise what they like: zlib.error, struct.error, AssertionError, SyntaxError.
            raise _unreadable(path, error) from error
        if not images:
            raise ResultsError(f"{path.name} has no image in it.")
        yield tuple(dataclasses.replace(image, read=_guarded(path, image.read)) for image in images)


def _unreadable(path: Path, error: Exception) -> ResultsError:
    return ResultsError(
        f"{path.name} cannot be read as an image: {error}.",
        remedy="The file itself is in the zip of the results, if that was asked for.",
    )


def _guarded(path: Path, read: Callable[[int, int, int, slice, slice], Plane]) -> Callable[..., Plane]:
    """Let the errors of a damaged file, met in the middle of it, be ours too."""

    def guarded(t: int, c: int, z: int, rows: slice, columns: slice) -> Plane:
        try:
            return read(t, c, z, rows, columns)
        except Exception as error:
            raise _unreadable(path, error) from error

    return guarded
