"""Planes out of OMERO: several raw pixel stores at once, delivered in order, in bounded memory.

Each store has its own thread (a *lane*), because one store serves one call at a time. A small image is read through one
lane, so that it costs one ``setPixelsId`` and one call for each plane; the planes of a large one are dealt to all
lanes. Planes that are larger than a server likes to send at once are read by tiles.
"""

from __future__ import annotations

import contextlib
from collections import deque
from concurrent.futures import CancelledError, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

import Ice
import numpy as np
import omero

from worker.errors import ExportError
from worker.pixels.session import FAREWELL_TIMEOUT_S, call_context, translated
from worker.pixels.views import View

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator
    from concurrent.futures import Future

    from numpy.typing import NDArray
    from omero.gateway import BlitzGateway

    from worker.pixels.image import SourceImage

DEFAULT_STORES: Final = 4
DEFAULT_AHEAD_BYTES: Final = 256 * 2**20
SPREAD_BYTES: Final = 64 * 2**20
"""Images with more bytes than this are dealt to all lanes."""

PLANE_LIMIT_BYTES: Final = 3192 * 3192 * 2
"""Larger planes are read by tiles; 3192 is the side from which OMERO itself builds pyramids."""

TILE_SIDE: Final = 2048
"""Side of these tiles in pixels, and OMERO's default for the largest tile."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Plane:
    """One plane of an image.

    Parameters
    ----------
    number : int
        Which of the images that were asked for it belongs to, from 0.
    image : SourceImage
        That image.
    t, c, z : int
        Its place, from 0.
    pixels : numpy.ndarray
        Shape (Y, X), C order, little-endian, of ``image.dtype``.
    """

    number: int
    image: SourceImage
    t: int
    c: int
    z: int
    pixels: NDArray[Any]


def read_planes(
    gateway: BlitzGateway,
    images: Iterable[SourceImage | View],
    work: Callable[[Plane], T],
    *,
    stores: int = DEFAULT_STORES,
    ahead_bytes: int = DEFAULT_AHEAD_BYTES,
) -> Generator[T, None, None]:
    """Read all planes of images and do some work on each, in parallel.

    Close the generator (``contextlib.closing``) if it is left early: that stops its threads and closes its stores.

    Parameters
    ----------
    gateway : omero.gateway.BlitzGateway
        A connected gateway.
    images : iterable of SourceImage or View
        What to read, or to make of what is read; walked through only as far ahead as needed.
    work : callable
        Called with each plane, in the thread that read it; encoding and the like belong here.
    stores : int
        How many raw pixel stores, and so calls at a time.
    ahead_bytes : int
        How many bytes of planes may be under way or waiting; what ``work`` makes of them comes on top. One plane is
        always allowed.

    Yields
    ------
    T
        What ``work`` returned, by image, then T, C, Z.

    Raises
    ------
    OmeroError
        OMERO does not answer, or refuses.
    ExportError
        OMERO sent another number of bytes than a plane has.
    """
    lanes = [_Lane(gateway, number) for number in range(stores)]
    waiting: deque[_Pending[T]] = deque()
    ahead = 0
    try:
        for lane, plane_bytes, task in _tasks(images, lanes, work):
            while waiting and ahead + plane_bytes > ahead_bytes:
                first = waiting.popleft()
                yield first.result()
                ahead -= first.size_bytes
            waiting.append(lane.submit(task, plane_bytes))
            ahead += plane_bytes
        while waiting:
            yield waiting.popleft().result()
    finally:
        # All lanes stop taking work before the first of them is waited for.
        for lane in lanes:
            lane.stop()
        for lane in lanes:
            lane.close()


def _tasks(
    images: Iterable[SourceImage | View], lanes: list[_Lane], work: Callable[[Plane], T]
) -> Iterator[tuple[_Lane, int, Callable[[_Lane], T]]]:
    """Deal planes to lanes, in the order of delivery."""
    for number, item in enumerate(images):
        view = item if isinstance(item, View) else None
        image = item.image if isinstance(item, View) else item
        held_bytes = image.plane_bytes if view is None else view.held_bytes
        spread = (image.plane_bytes * image.plane_count if view is None else view.read_bytes) > SPREAD_BYTES
        chosen = min(lanes, key=lambda lane: lane.pending_bytes)
        for index in range(image.plane_count):
            t, rest = divmod(index, image.size_c * image.size_z)
            c, z = divmod(rest, image.size_z)
            lane = min(lanes, key=lambda lane: lane.pending_bytes) if spread else chosen
            yield lane, held_bytes, _task(number, image, view, (t, c, z), work)


def _task(
    number: int, image: SourceImage, view: View | None, place: tuple[int, int, int], work: Callable[[Plane], T]
) -> Callable[[_Lane], T]:
    def read_and_work(lane: _Lane) -> T:
        pixels = lane.read(image, *place) if view is None else view.pixels(lane.read, *place)
        return work(Plane(number, image, *place, pixels))

    return read_and_work


@dataclass(frozen=True, slots=True)
class _Pending(Generic[T]):
    """A plane under way."""

    lane: _Lane
    future: Future[T]
    size_bytes: int

    def result(self) -> T:
        try:
            return self.future.result()
        finally:
            self.lane.pending_bytes -= self.size_bytes


class _Lane:
    """One raw pixel store and the one thread that uses it."""

    def __init__(self, gateway: BlitzGateway, number: int) -> None:
        self.pending_bytes = 0  # only touched by the thread that consumes
        self._gateway = gateway
        self._context = call_context(gateway)
        self._executor = ThreadPoolExecutor(1, thread_name_prefix=f"pixels-{number}")
        self._store: Any = None
        self._pixels_id: int | None = None
        self._stopped = False

    def submit(self, task: Callable[[_Lane], T], size_bytes: int) -> _Pending[T]:
        self.pending_bytes += size_bytes
        return _Pending(self, self._executor.submit(task, self), size_bytes)

    def read(self, image: SourceImage, t: int, c: int, z: int) -> NDArray[Any]:
        """Read a plane; shape (Y, X), little-endian."""
        if self._stopped:
            raise CancelledError
        with (
            self._stopping_on_error(),
            translated(f"read plane T={t} C={c} Z={z} of image {image.image_id} ({image.name})"),
        ):
            self._open(image)
            if image.plane_bytes <= PLANE_LIMIT_BYTES:
                data = self._store.getPlane(z, c, t, self._context)
                return _decode(image, data, image.size_y, image.size_x)
            plane = np.empty((image.size_y, image.size_x), image.dtype)
            for y in range(0, image.size_y, TILE_SIDE):
                for x in range(0, image.size_x, TILE_SIDE):
                    height, width = min(TILE_SIDE, image.size_y - y), min(TILE_SIDE, image.size_x - x)
                    data = self._store.getTile(z, c, t, x, y, width, height, self._context)
                    plane[y : y + height, x : x + width] = _decode(image, data, height, width)
            return plane

    def stop(self) -> None:
        self._stopped = True
        self._executor.shutdown(wait=False, cancel_futures=True)

    def close(self) -> None:
        self._executor.shutdown(wait=True)
        if self._store is not None:
            # The server closes the stores of a session that is gone by itself; there is nothing left to save.
            with contextlib.suppress(Ice.Exception, omero.ServerError):
                self._store.ice_invocationTimeout(FAREWELL_TIMEOUT_S * 1000).close(self._context)

    @contextlib.contextmanager
    def _stopping_on_error(self) -> Iterator[None]:
        """Read nothing more after a failure: if the server hangs, each attempt costs as long as the first."""
        try:
            yield
        except BaseException:
            self._stopped = True
            raise

    def _open(self, image: SourceImage) -> None:
        if self._store is None:
            self._store = self._gateway.c.sf.createRawPixelsStore(self._context)
        if self._pixels_id != image.pixels_id:
            self._store.setPixelsId(image.pixels_id, False, self._context)
            self._pixels_id = image.pixels_id


def _decode(image: SourceImage, data: bytes, height: int, width: int) -> NDArray[Any]:
    expected = height * width * image.dtype.itemsize
    if len(data) != expected:
        raise ExportError(
            f"OMERO sent {len(data)} bytes instead of {expected} for image {image.image_id} ({image.name}).",
            remedy="The image may be damaged in OMERO: look at it in a viewer.",
        )
    return np.frombuffer(data, image.wire_dtype).reshape(height, width).astype(image.dtype)
