"""Zarr arrays without a store: the metadata document of an array, and the bytes of its chunks or shards.

An array has the axes (T, C, Z, Y, X), and no chunk holds pixels of two planes; so the files of a plane depend on that
plane alone and can be made in the thread that read it, with neither a lock nor an event loop. What is written follows
the Zarr v2 specification (chunk keys with ``/``, Blosc) and the Zarr v3 specification with its ``sharding_indexed``
codec (zarr-specs, ZEP 2).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import google_crc32c
import numpy as np
from numcodecs import Blosc  # type: ignore[import-untyped]  # has no type information

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

CHUNK_SIDE_V2: Final = 1024
CHUNK_SIDE_V3: Final = 512
SHARD_SIDE: Final = 8192
"""A shard holds one plane, or a tile of it with sides of at most so many pixels."""

AXES: Final = ("t", "c", "z", "y", "x")
_COMPRESSOR: Final = {"cname": "lz4", "clevel": 5}


@dataclass(frozen=True, slots=True)
class ArrayLayout:
    """How an array is cut into files.

    Parameters
    ----------
    shape : tuple of int
        (T, C, Z, Y, X).
    dtype : numpy.dtype
        Little-endian integer or floating point type.
    zarr_format : int
        2, or 3 with shards.
    """

    shape: tuple[int, int, int, int, int]
    dtype: np.dtype[np.generic]
    zarr_format: int

    @property
    def chunk(self) -> tuple[int, int]:
        """(Y, X) of a chunk; those at the end of a side are filled up with zeros."""
        side = CHUNK_SIDE_V2 if self.zarr_format == 2 else CHUNK_SIDE_V3
        return min(side, self.shape[3]), min(side, self.shape[4])

    @property
    def shard(self) -> tuple[int, int]:
        """(Y, X) of a shard: whole chunks."""
        y, x = (
            min(-(-size // side), SHARD_SIDE // side) * side
            for size, side in zip(self.shape[3:], self.chunk, strict=True)
        )
        return y, x

    def document(self) -> tuple[str, dict[str, Any]]:
        """Give the name and the content of the array's metadata file.

        Returns
        -------
        tuple of str and dict
            ``.zarray`` or ``zarr.json``, and what to write into it as JSON.
        """
        if self.zarr_format == 2:
            return ".zarray", {
                "zarr_format": 2,
                "shape": list(self.shape),
                "chunks": [1, 1, 1, *self.chunk],
                "dtype": self.dtype.str,
                "compressor": {"id": "blosc", **_COMPRESSOR, "shuffle": Blosc.BITSHUFFLE, "blocksize": 0},
                "fill_value": 0,
                "order": "C",
                "filters": None,
                "dimension_separator": "/",
            }
        little = {"name": "bytes", "configuration": {"endian": "little"}}
        blosc = {
            "name": "blosc",
            "configuration": {
                **_COMPRESSOR,
                "shuffle": "bitshuffle",
                "typesize": self.dtype.itemsize,
                "blocksize": 0,
            },
        }
        sharding = {
            "name": "sharding_indexed",
            "configuration": {
                "chunk_shape": [1, 1, 1, *self.chunk],
                "codecs": [little, blosc],
                "index_codecs": [little, {"name": "crc32c"}],
                "index_location": "end",
            },
        }
        return "zarr.json", {
            "zarr_format": 3,
            "node_type": "array",
            "shape": list(self.shape),
            "data_type": self.dtype.name,
            "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [1, 1, 1, *self.shard]}},
            "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
            "fill_value": 0.0 if self.dtype.kind == "f" else 0,
            "codecs": [sharding],
            "dimension_names": list(AXES),
            "attributes": {},
            "storage_transformers": [],
        }

    def encode(self, t: int, c: int, z: int, plane: NDArray[Any]) -> Iterator[tuple[str, bytes]]:
        """Make the files of one plane.

        Parameters
        ----------
        t, c, z : int
            Place of the plane.
        plane : numpy.ndarray
            Shape (Y, X), of this array's dtype.

        Yields
        ------
        tuple of str and bytes
            Path below the array, and content.
        """
        if self.zarr_format == 2:
            for (row, column), block in _blocks(plane, self.chunk):
                yield f"{t}/{c}/{z}/{row}/{column}", _compress(block)
        else:
            for (row, column), block in _blocks(plane, self.shard):
                yield f"c/{t}/{c}/{z}/{row}/{column}", self._shard_bytes(block)

    def _shard_bytes(self, block: NDArray[Any]) -> bytes:
        """Chunks one after the other in C order, then where each is (offset, length), then a checksum of that."""
        parts = [_compress(chunk) for _, chunk in _blocks(block, self.chunk)]
        lengths = np.array([len(part) for part in parts], "<u8")
        index = np.stack([np.cumsum(lengths) - lengths, lengths], axis=1).astype("<u8").tobytes()
        return b"".join([*parts, index, google_crc32c.value(index).to_bytes(4, "little")])


def _blocks(plane: NDArray[Any], size: tuple[int, int]) -> Iterator[tuple[tuple[int, int], NDArray[Any]]]:
    """Cut a plane into blocks of one size, in C order, filled up with zeros at its ends."""
    height, width = size
    for y in range(0, plane.shape[0], height):
        for x in range(0, plane.shape[1], width):
            block = plane[y : y + height, x : x + width]
            if block.shape != size:
                filled = np.zeros(size, plane.dtype)
                filled[: block.shape[0], : block.shape[1]] = block
                block = filled
            yield (y // height, x // width), np.ascontiguousarray(block)


def _compress(block: NDArray[Any]) -> bytes:
    return bytes(_BLOSC.encode(block))


_BLOSC: Final = Blosc(**_COMPRESSOR, shuffle=Blosc.BITSHUFFLE)
