"""Chunks of Zarr arrays: none of them unpacks to more than the metadata of its array say.

zarr-python unpacks what it finds, and believes what the chunk itself says about its size. So the codecs of an array are
replaced by these, which know how many bytes there should be, and stop behind them.
"""

from __future__ import annotations

import asyncio
import bz2
import gzip
import io
import lzma
import math
import struct
import zlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import imagecodecs
import numcodecs  # type: ignore[import-untyped]  # has no type information
import numpy as np
from zarr.abc.codec import BytesBytesCodec
from zarr.codecs import BloscCodec, BytesCodec, Crc32cCodec, GzipCodec, ShardingCodec, TransposeCodec, ZstdCodec
from zarr.core.buffer.cpu import as_numpy_array_wrapper

from worker.results.readers.model import Unreadable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from zarr.abc.codec import Codec
    from zarr.core.array_spec import ArraySpec
    from zarr.core.buffer import Buffer

PACKING: Final = frozenset({"blosc", "bz2", "gzip", "lz4", "lzma", "zlib", "zstd"})
"""Codecs (of numcodecs) that a few bytes can make many of."""

_SLACK_BYTES: Final = 2**12
"""Checksums and headers of further codecs that were packed along."""

_LZ4_SIZE: Final = struct.Struct("<I")
_BLOSC_SIZES: Final = struct.Struct("<4xI")


def unpack(codec: Mapping[str, Any], data: bytes, size_bytes: int) -> Any:
    """Unpack what a codec has packed, as far as it is no more than it should be.

    Parameters
    ----------
    codec : Mapping
        Configuration of the codec as numcodecs knows it, with its ``id``.
    data : bytes
        What was packed.
    size_bytes : int
        How many bytes there may be.

    Returns
    -------
    bytes or numpy.ndarray
        What was packed.

    Raises
    ------
    Unreadable
        If there are more.
    """
    name, most = str(codec["id"]), size_bytes + 1
    if name in {"blosc", "lz4"}:
        (wanted,) = (_BLOSC_SIZES if name == "blosc" else _LZ4_SIZE).unpack_from(data)
        if wanted > size_bytes:
            raise _too_much(f"{wanted} bytes", size_bytes)
        return numcodecs.get_codec(dict(codec)).decode(data)
    if name == "zstd":
        try:
            return imagecodecs.zstd_decode(data, out=size_bytes)
        except imagecodecs.ZstdError as error:
            if "too small" in str(error):
                raise _too_much("more", size_bytes) from error
            raise
    if name == "zlib":
        unpacked = zlib.decompressobj().decompress(data, most)
    elif name == "gzip":
        with gzip.GzipFile(fileobj=io.BytesIO(data)) as stream:
            unpacked = stream.read(most)
    elif name == "bz2":
        with bz2.BZ2File(io.BytesIO(data)) as stream:
            unpacked = stream.read(most)
    else:
        kind, filters = codec.get("format", lzma.FORMAT_XZ), codec.get("filters")
        with lzma.LZMAFile(io.BytesIO(data), format=kind, filters=filters) as stream:
            unpacked = stream.read(most)
    if len(unpacked) > size_bytes:
        raise _too_much("more", size_bytes)
    return unpacked


def _too_much(wanted: str, size_bytes: int) -> Unreadable:
    return Unreadable(f"a chunk unpacks to {wanted}, and should be {size_bytes} bytes at most")


class BoundedV2:
    """A codec of an array of version 2 that unpacks no more than it should.

    Parameters
    ----------
    codec : numcodecs.abc.Codec
        The codec itself.
    size_bytes : int
        How many bytes it may unpack.
    """

    codec_id: str = "bounded"

    def __init__(self, codec: Any, size_bytes: int) -> None:
        self.codec_id = codec.codec_id
        self._config = codec.get_config()
        self._size_bytes = size_bytes

    def decode(self, buf: Any, _out: Any = None) -> Any:
        """Unpack a chunk."""
        return unpack(self._config, bytes(buf), self._size_bytes)

    def encode(self, _buf: Any) -> Any:
        """Refuse: results are read only."""
        raise NotImplementedError

    def get_config(self) -> dict[str, Any]:
        """Give the configuration of the codec."""
        return dict(self._config)

    @classmethod
    def from_config(cls, _config: Any) -> BoundedV2:
        """Refuse: these codecs are made of others."""
        raise NotImplementedError


@dataclass(frozen=True)
class BoundedV3(BytesBytesCodec):
    """A codec of an array of version 3 that unpacks no more than it should.

    Parameters
    ----------
    config : tuple
        Pairs of the configuration of the codec as numcodecs knows it.
    """

    is_fixed_size = False

    config: tuple[tuple[str, Any], ...]

    async def _decode_single(self, chunk_data: Buffer, chunk_spec: ArraySpec) -> Buffer:
        size_bytes = math.prod(chunk_spec.shape) * chunk_spec.dtype.to_native_dtype().itemsize

        def decode(data: Any) -> Any:
            return np.frombuffer(unpack(dict(self.config), bytes(data), size_bytes + _SLACK_BYTES), "u1")

        return await asyncio.to_thread(as_numpy_array_wrapper, decode, chunk_data, chunk_spec.prototype)

    def compute_encoded_size(self, _input_byte_length: int, _chunk_spec: ArraySpec) -> int:
        """Refuse: nobody knows."""
        raise NotImplementedError


def bounded_v2(metadata: Any) -> Any:
    """Replace the codecs of an array of version 2.

    Parameters
    ----------
    metadata : zarr.core.metadata.ArrayV2Metadata
        Metadata of the array.

    Returns
    -------
    zarr.core.metadata.ArrayV2Metadata
        The same, with codecs that know their bounds.
    """
    pixels = math.prod(metadata.chunks)
    names = {each.codec_id for each in metadata.filters or ()}
    if not names:
        size_bytes = pixels * metadata.dtype.to_native_dtype().itemsize
    elif "packbits" in names:
        size_bytes = pixels // 8 + 2
    else:
        # Filters may have made other types of pixels, of which the largest has 16 bytes.
        size_bytes = 16 * pixels
    size_bytes += _SLACK_BYTES if names else 0

    def bounded(codec: Any) -> Any:
        return BoundedV2(codec, size_bytes) if codec is not None and codec.codec_id in PACKING else codec

    filters = tuple(bounded(each) for each in metadata.filters) if metadata.filters else None
    return replace(metadata, compressor=bounded(metadata.compressor), filters=filters)


def bounded_v3(codecs: tuple[Codec, ...]) -> tuple[Codec, ...]:
    """Replace the codecs of an array of version 3, those inside of shards too.

    Parameters
    ----------
    codecs : tuple of Codec
        The codecs.

    Returns
    -------
    tuple of Codec
        Codecs that know their bounds.
    """
    return tuple(map(_bounded_v3, codecs))


def _bounded_v3(codec: Codec) -> Codec:
    if isinstance(codec, ShardingCodec):
        return ShardingCodec(
            chunk_shape=codec.chunk_shape,
            codecs=bounded_v3(codec.codecs),
            index_codecs=bounded_v3(codec.index_codecs),
            index_location=codec.index_location,
        )
    if isinstance(codec, GzipCodec | ZstdCodec | BloscCodec):
        return BoundedV3((("id", codec.to_dict()["name"]),))
    name = str(getattr(codec, "codec_name", "")).removeprefix("numcodecs.")
    if name in PACKING:
        return BoundedV3(tuple(getattr(codec, "codec_config", {}).items()))
    if not name and not isinstance(codec, BytesCodec | Crc32cCodec | TransposeCodec):
        raise Unreadable(f"nobody knows what {type(codec).__name__} unpacks")
    return codec
