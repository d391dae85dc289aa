"""Pixels as OMERO sees them, and arrays in files that are looked at in that way."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

AXES = "TCZYX"

DTYPES: dict[str, np.dtype[Any]] = {
    "bit": np.dtype(">u1"),
    "int8": np.dtype(">i1"),
    "uint8": np.dtype(">u1"),
    "int16": np.dtype(">i2"),
    "uint16": np.dtype(">u2"),
    "int32": np.dtype(">i4"),
    "uint32": np.dtype(">u4"),
    "float": np.dtype(">f4"),
    "double": np.dtype(">f8"),
    "complex": np.dtype(">c8"),
    "double-complex": np.dtype(">c16"),
}
"""Types of pixels as they lie on disk and travel: big endian."""


class Source(Protocol):
    """Something that is read by index: an array of numpy or of zarr."""

    shape: tuple[int, ...]
    dtype: Any

    def __getitem__(self, selection: Any) -> Any: ...


class Planes:
    """An image of (T, C, Z, Y, X) whose values are read from elsewhere as they are looked at, and never kept.

    Parameters
    ----------
    source : Source
        The values.
    axes : str
        Its axes, each one of T, C, Z, Y and X; an axis that it lacks has the size 1.
    dtype : dtype
        The type that is given out.
    """

    def __init__(self, source: Source, axes: str, dtype: np.dtype[Any]) -> None:
        if len(axes) != len(source.shape) or not set("YX") <= set(axes) <= set(AXES) or len(set(axes)) != len(axes):
            raise ValueError(f"axes {axes!r} and shape {source.shape} make no image")
        self._source = source
        self._axes = axes
        self.dtype = dtype
        sizes = dict(zip(axes, source.shape, strict=True))
        self.shape = tuple(sizes.get(axis, 1) for axis in AXES)

    def __getitem__(self, index: Any) -> NDArray[Any]:
        given = index if isinstance(index, tuple) else (index,)
        wanted = dict(zip(AXES, given + (slice(None),) * (len(AXES) - len(given)), strict=True))
        values = np.asarray(self._source[tuple(wanted[axis] for axis in self._axes)])
        ranges = [axis for axis in AXES if isinstance(wanted[axis], slice)]
        there = [axis for axis in self._axes if axis in ranges]
        for axis in ranges:
            if axis not in there:
                values = values[np.newaxis]
                there.insert(0, axis)
        return values.transpose([there.index(axis) for axis in ranges]).astype(self.dtype)
