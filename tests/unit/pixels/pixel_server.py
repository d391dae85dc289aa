"""The part of an OMERO server that gives out raw pixels, in memory: big-endian planes, call counts, faults, latency."""

from __future__ import annotations

import threading
import time
from collections import Counter
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np

from worker.pixels.image import PIXEL_TYPES, Channel, SourceImage

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

OMERO_TYPES = {kind: name for name, kind in PIXEL_TYPES.items()}


class PixelServer:
    """Serves arrays with the axes (T, C, Z, Y, X) by their Pixels ids, as `RawPixelsStore` would.

    Parameters
    ----------
    before : callable, optional
        Called with the name of an operation before it is carried out; may wait or raise.
    """

    def __init__(self, before: Callable[[str], None] | None = None) -> None:
        self.calls: Counter[str] = Counter()
        self.open_stores = 0
        self.before = before
        self._arrays: dict[int, NDArray[Any]] = {}
        self._lock = threading.Lock()

    @property
    def gateway(self) -> Any:
        """A gateway as far as the reader needs it."""
        return SimpleNamespace(c=SimpleNamespace(sf=self), SERVICE_OPTS={})

    def add(self, array: NDArray[Any], name: str = "image", **facts: Any) -> SourceImage:
        """Take an array in, and give the image that OMERO would show for it."""
        number = len(self._arrays) + 1
        self._arrays[number] = array
        t, c, z, y, x = array.shape
        return SourceImage(
            image_id=number + 1000,
            name=name,
            size_t=t,
            size_c=c,
            size_z=z,
            size_y=y,
            size_x=x,
            pixel_type=OMERO_TYPES[array.dtype.str[1:]],
            pixels_id=number,
            channels=tuple(Channel(f"channel {index}", "00FF00") for index in range(c)),
            **facts,
        )

    def array(self, image: SourceImage) -> NDArray[Any]:
        """The pixels behind an image."""
        return self._arrays[image.pixels_id]

    def createRawPixelsStore(self, context: object) -> Store:  # noqa: N802  # OMERO's name
        self.count("createRawPixelsStore")
        with self._lock:
            self.open_stores += 1
        return Store(self)

    def count(self, operation: str) -> None:
        if self.before is not None:
            self.before(operation)
        with self._lock:
            self.calls[operation] += 1


class Store:
    """One raw pixel store; complains when two threads use it at a time."""

    def __init__(self, server: PixelServer) -> None:
        self._server = server
        self._array: NDArray[Any] | None = None
        self._busy = threading.Lock()

    def setPixelsId(self, pixels_id: int, bypass: bool, context: object) -> None:  # noqa: N802  # OMERO's name
        self._server.count("setPixelsId")
        self._array = self._server._arrays[pixels_id]

    def getPlane(self, z: int, c: int, t: int, context: object) -> bytes:  # noqa: N802  # OMERO's name
        return self._send("getPlane", (t, c, z))

    def getTile(  # noqa: N802  # OMERO's name
        self, z: int, c: int, t: int, x: int, y: int, w: int, h: int, context: object
    ) -> bytes:
        return self._send("getTile", (t, c, z, slice(y, y + h), slice(x, x + w)))

    def ice_invocationTimeout(self, timeout_ms: int) -> Store:  # noqa: N802  # Ice's name
        return self

    def close(self, context: object) -> None:
        self._server.count("close")
        self._server.open_stores -= 1

    def _send(self, operation: str, index: Any) -> bytes:
        assert self._busy.acquire(blocking=False), "two threads use one store"
        try:
            self._server.count(operation)
            assert self._array is not None
            part = self._array[index]
            data: bytes = part.astype(part.dtype.newbyteorder(">")).tobytes()
            return data
        finally:
            self._busy.release()


def numbered_planes(dtype: str, shape: tuple[int, int, int, int, int] = (2, 3, 3, 5, 7)) -> NDArray[Any]:
    """An array of planes that are each of one value, all different, whose bytes differ from each other."""
    planes = shape[0] * shape[1] * shape[2]
    step = 1 if np.dtype(dtype).itemsize == 1 else 257 + 3
    values = (np.arange(planes) * step + 1).astype(dtype)
    return np.broadcast_to(values.reshape(*shape[:3], 1, 1), shape).copy()


def wait(seconds_by_operation: dict[str, float]) -> Callable[[str], None]:
    """Make some operations slow."""

    def before(operation: str) -> None:
        time.sleep(seconds_by_operation.get(operation, 0))

    return before
