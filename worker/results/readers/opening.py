"""The door to result images: a path in, the images in it out, whatever kind of file it is."""

from __future__ import annotations

import dataclasses
import threading
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Final

from worker.errors import ResultsError
from worker.results.readers.model import Broken, Unreadable
from worker.results.readers.omezarr import zarr_images
from worker.results.readers.png import png_images
from worker.results.readers.tiff import tiff_images

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from worker.results.readers.model import FileImage, Plane

    Reader = Callable[[Path, Mapping[str, int], ExitStack], tuple[FileImage | Broken, ...]]

TIFF_SUFFIXES = (".tif", ".tiff")
PNG_SUFFIXES = (".png",)
IMAGE_SUFFIXES = TIFF_SUFFIXES + PNG_SUFFIXES
ZARR_SUFFIX = ".zarr"

_TOLD: Final = 5
"""Of so many broken parts of a file the reason is told; of further ones where they are."""


@contextmanager
def open_images(
    path: Path,
    expected: Mapping[str, int] | None = None,
    called: str = "",
    lacking: Callable[[str], None] | None = None,
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
    lacking : Callable, optional
        Told in a sentence what of the file is broken, while the rest of it is read. Without it, such a file is not.

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
            images, broken = _divided(_reader(path)(path, expected or {}, stack), strict=lacking is None)
        except Exception as error:
            # Decoders raise what they like: zlib.error, struct.error, AssertionError, SyntaxError.
            raise _unreadable(called, error) from error
        if not images:
            raise ResultsError(f"{called} has no image in it.")
        if lacking is not None:
            for text in _told(called, broken):
                lacking(text)
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


def _divided(found: Sequence[FileImage | Broken], *, strict: bool) -> tuple[list[FileImage], list[Broken]]:
    """Tell what can be read from what cannot."""
    images = [each for each in found if not isinstance(each, Broken)]
    broken = [each for each in found if isinstance(each, Broken)]
    if broken and (strict or not images):
        raise Unreadable(f"{broken[0].place} is broken: {broken[0].reason}")
    for image in images:
        image.check()
    return images, broken


def _told(called: str, broken: Sequence[Broken]) -> Iterator[str]:
    for each in broken[:_TOLD]:
        yield f"Of {called}, {each.place} is missing: {each.reason}."
    if len(broken) > _TOLD:
        places = ", ".join(each.place for each in broken[_TOLD:])
        yield f"Of {called}, {len(broken) - _TOLD} more parts are missing: {places}."


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
