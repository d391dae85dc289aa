"""A folder with Zarr arrays and groups, version 2 or 3, that somebody else has written.

Nothing outside of the folder is ever opened, whatever its metadata say; a folder with a link or a device in it is not
read at all. What metadata claim is checked before zarr-python acts on it: the size of chunks, and the codecs, some of
which (``pickle``) are made to run what they decode.
"""

from __future__ import annotations

import json
import math
import stat
from dataclasses import replace
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np
import zarr
from zarr.abc.store import RangeByteRequest, SuffixByteRequest
from zarr.storage import LocalStore

from worker.results.readers.codecs import bounded_v2, bounded_v3
from worker.results.readers.model import UNIT_BYTES_MAX, WHOLE_PLANE_BYTES, Unreadable, room_for

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from zarr.abc.store import ByteRequest
    from zarr.core.buffer import Buffer, BufferPrototype

    from worker.results.readers.model import Plane

METADATA_BYTES_MAX: Final = 2**24
"""Length of one metadata file; that of a plate with 1,536 wells has some 100 kB. In memory it may be 20
times as large."""

CHUNKS_AT_ONCE: Final = 1_000
"""Chunks that are read in one go, at most: for each of them there are objects in memory, however small it is."""

SHARD_CHUNKS_MAX: Final = 2**18
"""Chunks in a shard, whose index is in memory as a whole."""

_LARGEST_PIXEL_BYTES: Final = 16

_CODECS_V2: Final = frozenset(
    (
        "blosc",
        "bitround",
        "bz2",
        "crc32",
        "crc32c",
        "delta",
        "fixedscaleoffset",
        "fletcher32",
        "gzip",
        "imagecodecs_delta",
        "lz4",
        "lzma",
        "packbits",
        "quantize",
        "shuffle",
        "zlib",
        "zstd",
    )
)
_CODECS_V3: Final = frozenset(
    (
        "blosc",
        "bytes",
        "crc32c",
        "endian",
        "gzip",
        "sharding_indexed",
        "transpose",
        "zstd",
        *(f"numcodecs.{name}" for name in _CODECS_V2),
    )
)


class ZarrFolder:
    """A folder with Zarr arrays and groups.

    Parameters
    ----------
    root : Path
        The folder.

    Raises
    ------
    Unreadable
        If there is anything in it but files and folders.
    """

    def __init__(self, root: Path) -> None:
        _check_tree(root)
        self.root = root

    def attributes(self, path: str) -> dict[str, Any]:
        """Read what a group says about itself.

        Parameters
        ----------
        path : str
            The group, below the root; empty for the root itself.

        Returns
        -------
        dict
            Its OME-Zarr metadata (attributes of Zarr v2, those under ``ome`` of Zarr v3).

        Raises
        ------
        Unreadable
            If there is no group, or its metadata cannot be read.
        """
        group = _below(path)
        document = self._document(group, "zarr.json")
        if document is not None:
            attributes = document.get("attributes", {})
            if document.get("node_type") != "group" or not isinstance(attributes, dict):
                raise Unreadable(f"{group or 'it'} is no Zarr group")
            # OME-Zarr 0.5 puts its metadata under "ome"; some tools did without while it was being written.
            ome = attributes.get("ome", attributes)
        elif self._document(group, ".zgroup") is not None:
            ome = self._document(group, ".zattrs") or {}
        else:
            raise Unreadable(f"there is no Zarr group {group or 'in it'} (neither zarr.json nor .zgroup)")
        if not isinstance(ome, dict):
            raise Unreadable(f"the metadata of {group or 'its root'} are no JSON object")
        return ome

    def has_group(self, path: str) -> bool:
        """Say whether there is a group at ``path``."""
        group = self.root / _below(path)
        return (group / "zarr.json").is_file() or (group / ".zgroup").is_file()

    def array(self, path: str) -> ZarrArray:
        """Open an array.

        Parameters
        ----------
        path : str
            The array, below the root.

        Returns
        -------
        ZarrArray
            The array; its chunks are read when they are asked for.

        Raises
        ------
        Unreadable
            If there is none, or it is stored in a way that cannot be read, or must not be.
        """
        place = _below(path)
        document = self._document(place, "zarr.json")
        version: Literal[2, 3] = 2 if document is None else 3
        if document is None:
            document = self._document(place, ".zarray")
        if document is None:
            raise Unreadable(f"there is no Zarr array {place} (neither zarr.json nor .zarray)")
        codecs = _codecs_v2(document) if version == 2 else _codecs_v3(document.get("codecs"))
        unknown = sorted(codecs - (_CODECS_V2 if version == 2 else _CODECS_V3))
        if unknown:
            raise Unreadable(f"the codec {unknown[0]!r} of its array {place} is not one that can be read")
        array = zarr.open_array(_Store(self.root, read_only=True), path=place, mode="r", zarr_format=version)
        metadata: Any = array.metadata
        metadata = bounded_v2(metadata) if version == 2 else replace(metadata, codecs=bounded_v3(metadata.codecs))
        return ZarrArray(zarr.Array(zarr.AsyncArray(metadata, array.store_path)), place)

    def text(self, path: str) -> str | None:
        """Read a small text file; None if there is none."""
        data = self._bytes(self.root / _below(path))
        return None if data is None else data.decode(errors="replace")

    def _document(self, place: str, name: str) -> dict[str, Any] | None:
        data = self._bytes(self.root / place / name)
        if data is None:
            return None
        where = f"{place}/{name}" if place else name
        try:
            document = json.loads(data)
        except (ValueError, RecursionError) as error:
            raise Unreadable(f"its {where} is no JSON ({error})") from error
        if not isinstance(document, dict):
            raise Unreadable(f"its {where} is no JSON object")
        return document

    def _bytes(self, file: Path) -> bytes | None:
        try:
            with file.open("rb") as stream:
                data = stream.read(METADATA_BYTES_MAX + 1)
        except (FileNotFoundError, NotADirectoryError):
            return None
        if len(data) > METADATA_BYTES_MAX:
            raise Unreadable(f"its {file.relative_to(self.root)} has more than {METADATA_BYTES_MAX / 2**20:.0f} MiB")
        return data


class _Store(LocalStore):
    """A folder of which nothing is read that is larger than a chunk can be."""

    async def get(
        self, key: str, prototype: BufferPrototype | None = None, byte_range: ByteRequest | None = None
    ) -> Buffer | None:
        try:
            length = (self.root / key).stat().st_size
        except (FileNotFoundError, NotADirectoryError):
            return None
        if isinstance(byte_range, RangeByteRequest):
            length = byte_range.end - byte_range.start
        elif isinstance(byte_range, SuffixByteRequest):
            length = min(length, byte_range.suffix)
        if not 0 <= length <= UNIT_BYTES_MAX + UNIT_BYTES_MAX // 8:
            raise Unreadable(f"of its {key}, {length} bytes would have to be read for a chunk")
        return await super().get(key, prototype, byte_range)


class ZarrArray:
    """An array of numbers in a Zarr folder.

    Parameters
    ----------
    array : zarr.Array
        The array.
    place : str
        Where it is in its folder.

    Raises
    ------
    Unreadable
        If it holds anything but numbers, or its chunks are too large.
    """

    def __init__(self, array: Any, place: str) -> None:
        self.shape: tuple[int, ...] = tuple(int(size) for size in array.shape)
        self.chunks: tuple[int, ...] = tuple(int(size) for size in array.chunks)
        self.dtype: np.dtype[Any] = np.dtype(array.dtype)
        self._array = array
        self._place = place
        if self.dtype.kind not in "biufc":
            raise Unreadable(f"its array {place} holds {self.dtype}, which is no type of pixels")
        # Filters may make other types of pixels on their way.
        pixel_bytes = _LARGEST_PIXEL_BYTES if array.filters else self.dtype.itemsize
        self._chunk_bytes = math.prod(self.chunks) * pixel_bytes
        if self._chunk_bytes > UNIT_BYTES_MAX:
            raise Unreadable(
                f"the chunks of its array {place} are {' x '.join(map(str, self.chunks))} pixels large;"
                f" a chunk may take {UNIT_BYTES_MAX / 2**30:.0f} GiB at most"
            )
        inside = math.prod(shard // chunk for shard, chunk in zip(array.shards or (), self.chunks, strict=False))
        if array.shards and inside > SHARD_CHUNKS_MAX:
            raise Unreadable(f"the shards of its array {place} have {inside} chunks each; {SHARD_CHUNKS_MAX} at most")

    def __getitem__(self, index: tuple[slice, ...]) -> Plane:
        with room_for(self._chunk_bytes):
            return self._read(index)

    def _read(self, index: tuple[slice, ...]) -> Plane:
        """Read a part, no more chunks of it at once than memory is meant for."""
        sizes = zip(index, self.chunks, strict=True)
        counts = [(each.stop - 1) // chunk - each.start // chunk + 1 for each, chunk in sizes]
        chunks_max = max(1, min(CHUNKS_AT_ONCE, WHOLE_PLANE_BYTES // self._chunk_bytes))
        if math.prod(counts) <= chunks_max:
            try:
                return np.asarray(self._array[index])
            except Unreadable as error:
                where = ", ".join(f"{each.start} to {each.stop}" for each in index)
                raise Unreadable(f"in its array {self._place}, pixels {where}: {error}") from error
        axis = counts.index(max(counts))
        part, chunk = index[axis], self.chunks[axis]
        middle = (part.start // chunk + counts[axis] // 2) * chunk
        pixels = np.empty([each.stop - each.start for each in index], self.dtype)
        for half in (slice(part.start, middle), slice(middle, part.stop)):
            inside = [slice(None)] * len(index)
            inside[axis] = slice(half.start - part.start, half.stop - part.start)
            pixels[tuple(inside)] = self._read((*index[:axis], half, *index[axis + 1 :]))
        return pixels


def _check_tree(folder: Path) -> None:
    """Make sure that whatever is opened below a folder is a file in that folder."""
    if folder.is_symlink() or not folder.is_dir():
        raise Unreadable("it is no folder")
    waiting = [folder]
    while waiting:
        for member in waiting.pop().iterdir():
            mode = member.lstat().st_mode
            if stat.S_ISDIR(mode):
                waiting.append(member)
            elif not stat.S_ISREG(mode):
                what = "a symbolic link" if stat.S_ISLNK(mode) else "no file"
                raise Unreadable(f"its member {member.relative_to(folder)} is {what}, and is not followed")


def _below(path: str) -> str:
    """Check a path that metadata give: one that stays below the folder that it starts in."""
    parts = path.split("/") if path else []
    if not isinstance(path, str) or any(part in {"", ".", ".."} or "\\" in part or "\0" in part for part in parts):
        raise Unreadable(f"its metadata name the path {path!r}, which is none inside of it")
    return str(PurePosixPath(*parts)) if parts else ""


def _codecs_v2(document: Mapping[str, Any]) -> set[str]:
    chain = [document.get("compressor"), *(document.get("filters") or [])]
    return {str(each.get("id")) if isinstance(each, dict) else str(each) for each in chain if each is not None}


def _codecs_v3(chain: object) -> set[str]:
    """List the names of codecs, those inside of shards too."""
    found: set[str] = set()
    for each in chain if isinstance(chain, list) else []:
        name = each.get("name") if isinstance(each, dict) else each
        found.add(str(name))
        configuration = each.get("configuration") if isinstance(each, dict) else None
        if isinstance(configuration, dict):
            found |= _codecs_v3(configuration.get("codecs")) | _codecs_v3(configuration.get("index_codecs"))
    return found
