"""Small files that want much memory: each is refused, with the reason, by a process that may not take much.

All of them are read by one process whose address space is limited to what it has after its imports and
:data:`HEADROOM_BYTES`: a decoder that asks for more fails there with MemoryError, which is not the reason we expect.
"""

from __future__ import annotations

import bz2
import json
import lzma
import os
import re
import struct
import subprocess
import sys
import zlib
from functools import cache
from typing import TYPE_CHECKING, Any, Final

import imagecodecs
import numcodecs  # type: ignore[import-untyped]  # has no type information
import numpy as np
import pytest
import tifffile
import zarr
from zarr.codecs import BloscCodec, Crc32cCodec, GzipCodec, ZstdCodec
from zarr.codecs.numcodecs import BZ2, LZ4, LZMA, Zlib

from tests.unit.results.readers.ngff import write_image
from worker.results.readers import zarrfolder
from worker.results.readers.opening import open_images

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

HEADROOM_BYTES: Final = 192 * 2**20
BOMB_BYTES: Final = 2**29

_CHILD: Final = """
import json, resource, sys
from pathlib import Path
import tifffile, zarr
import worker.results.readers.opening as opening
from worker.errors import ResultsError
warm, *files = json.load(sys.stdin)
def outcome(file):
    try:
        with opening.open_images(Path(file)) as images:
            for image in images:
                image.read(0, 0, 0, slice(0, 4), slice(0, 4))
    except ResultsError as error:
        return str(error)
    return "read"
# Threads and modules that are loaded late are no part of what a file takes.
outcome(warm)
(size,) = [int(line.split()[1]) * 1024 for line in open("/proc/self/status") if line.startswith("VmSize")]
resource.setrlimit(resource.RLIMIT_AS, (size + int(sys.argv[1]),) * 2)
print(json.dumps([outcome(file) for file in files]))
"""


@cache
def zeros() -> bytes:
    return zlib.compress(bytes(BOMB_BYTES), 6)


def raw_deflate() -> bytes:
    return zeros()[2:-4]


@cache
def packed(codec: str) -> bytes:
    """Half a gigabyte of zeros, or what says that it is."""
    part, count = bytes(2**25), BOMB_BYTES // 2**25
    if codec == "zlib":
        return zeros()
    if codec == "gzip":
        head = b"\x1f\x8b\x08\0\0\0\0\0\0\xff"
        return head + raw_deflate() + struct.pack("<II", zlib.crc32(bytes(BOMB_BYTES)), BOMB_BYTES)
    if codec == "zstd":
        return bytes(imagecodecs.zstd_encode(part)) * count
    if codec == "bz2":
        return bz2.compress(part) * count
    if codec == "lzma":
        return lzma.compress(part, preset=0) * count
    if codec == "lz4":
        return struct.pack("<I", BOMB_BYTES) + bytes(numcodecs.LZ4().encode(bytes(64)))[4:]
    if codec == "blosc":
        honest = bytearray(numcodecs.Blosc().encode(np.zeros(2**16, "u1")))
        honest[4:8] = struct.pack("<I", 2**31 - 2**16)
        return bytes(honest)
    raise AssertionError(codec)


def tiff(compression: Any, segment: bytes, **options: Any) -> Callable[[Path], None]:
    """A page of 64 x 64 pixels whose one strip (or tile) is replaced."""

    def write(path: Path) -> None:
        tifffile.imwrite(path, np.zeros((64, 64), "uint8"), compression=compression, metadata=None, **options)
        replace_segment(path, segment)

    return write


def replace_segment(path: Path, segment: bytes) -> None:
    offset = path.stat().st_size
    with path.open("ab") as stream:
        stream.write(segment)
    overwrite(path, StripOffsets=offset, StripByteCounts=len(segment), TileOffsets=offset, TileByteCounts=len(segment))


def overwrite(path: Path, **tags: int) -> None:
    with tifffile.TiffFile(path, mode="r+") as file:
        for name, value in tags.items():
            if name in file.pages[0].tags:
                file.pages[0].tags[name].overwrite(value, dtype="I")


def jpeg() -> bytes:
    """A JPEG of 16 x 16 pixels that says that it has 65,000 x 65,000."""
    data = bytearray(imagecodecs.jpeg_encode(np.zeros((16, 16), "u1")))
    at = data.index(b"\xff\xc0")
    data[at + 5 : at + 9] = struct.pack(">HH", 65_000, 65_000)
    return bytes(data)


def jpeg_2000() -> bytes:
    data = bytearray(imagecodecs.jpeg2k_encode(np.zeros((16, 16), "u1"), level=0))
    at = data.index(b"\xff\x4f\xff\x51")
    for field in (8, 24):  # its size, and that of a tile
        data[at + field : at + field + 8] = struct.pack(">II", 60_000, 60_000)
    return bytes(data)


def png() -> bytes:
    data = bytearray(imagecodecs.png_encode(np.zeros((16, 16), "u1")))
    data[16:24] = struct.pack(">II", 60_000, 60_000)
    data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    return bytes(data)


def huge_tile(path: Path) -> None:
    tifffile.imwrite(path, np.zeros((64, 64), "uint8"), compression="zlib", tile=(16, 16), metadata=None)
    overwrite(path, TileWidth=65_520, TileLength=65_520)


def missing_tiles(path: Path) -> None:
    tifffile.imwrite(path, np.zeros((16, 16), "uint8"), compression="zlib", tile=(16, 16), metadata=None)
    overwrite(path, ImageWidth=8_000, ImageLength=8_000, TileWidth=1, TileLength=1)


def fat_strip(path: Path) -> None:
    tifffile.imwrite(path, np.zeros((64, 64), "uint8"), compression="zlib", metadata=None)
    overwrite(path, StripOffsets=path.stat().st_size, StripByteCounts=BOMB_BYTES)
    os.truncate(path, BOMB_BYTES + 2**20)


def many_samples(path: Path) -> None:
    """One strip whose pixels have 60,000 samples each."""
    tifffile.imwrite(path, np.zeros((200, 200), "uint8"), compression="zlib", metadata=None)
    with tifffile.TiffFile(path, mode="r+") as file:
        file.pages[0].tags["SamplesPerPixel"].overwrite(60_000)


def chunk_v2(codec: str, **options: Any) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        write_image(
            path,
            "",
            np.ones((1, 4, 4), "uint8"),
            "zyx",
            chunks=(1, 4, 4),
            compressors=numcodecs.get_codec({"id": codec}),
        )
        (path / "0" / "0.0.0").write_bytes(packed(codec))
        edit(path / "0" / ".zarray", **options)

    return write


def chunk_v3(codec: str, data: str, **configuration: Any) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        write_image(path, "", np.ones((1, 4, 4), "uint8"), "zyx", "0.5", chunks=(1, 4, 4))
        described = json.loads((path / "0" / "zarr.json").read_text())
        codecs = [{"name": "bytes"}, {"name": codec, "configuration": configuration}]
        edit(path / "0" / "zarr.json", codecs=codecs)
        assert described["codecs"] != codecs
        (path / "0" / "c" / "0" / "0" / "0").write_bytes(packed(data))

    return write


def shard(path: Path) -> None:
    """One shard of one chunk, packed by gzip, and its index at the end."""
    gzipped = [{"name": "bytes"}, {"name": "gzip", "configuration": {"level": 1}}]
    index = [{"name": "bytes", "configuration": {"endian": "little"}}]
    write_image(path, "", np.ones((1, 4, 4), "uint8"), "zyx", "0.5", chunks=(1, 4, 4))
    configuration = {"chunk_shape": [1, 4, 4], "codecs": gzipped, "index_codecs": index, "index_location": "end"}
    edit(path / "0" / "zarr.json", codecs=[{"name": "sharding_indexed", "configuration": configuration}])
    data = packed("gzip")
    (path / "0" / "c" / "0" / "0" / "0").write_bytes(data + struct.pack("<QQ", 0, len(data)))


def many_chunks_in_a_shard(path: Path) -> None:
    shard(path)
    document = path / "0" / "zarr.json"
    edit(document, shape=[1, 2**20, 2**20])
    edit(document, chunk_grid={"name": "regular", "configuration": {"chunk_shape": [1, 2**20, 2**20]}})


def fat_chunk(path: Path) -> None:
    write_image(path, "", np.ones((1, 4, 4), "uint8"), "zyx", chunks=(1, 4, 4), compressors=None)
    os.truncate(path / "0" / "0.0.0", 2**31)


def edit(document: Path, **changes: Any) -> None:
    document.write_text(json.dumps(json.loads(document.read_text()) | changes))


def metadata(text: str) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        write_image(path, "", np.ones((1, 4, 4), "uint8"), "zyx")
        (path / ".zattrs").write_text(text)

    return write


UNPACKS: Final = r"strip or tile 0 cannot be unpacked into the 4096 bytes"
SAYS: Final = r"strip or tile 0 should have 4096 samples, and says itself that they are \d{9,}"
CHUNK: Final = r"in its array 0, pixels 0 to 1, 0 to 4, 0 to 4: a chunk unpacks to (more|\d{9,} bytes), and should be"

BOMBS: Final[dict[str, tuple[Callable[[Path], None], str]]] = {
    "deflate.tif": (tiff("zlib", zeros()), UNPACKS),
    "zstd.tif": (tiff("zstd", packed("zstd")), UNPACKS),
    "packbits.tif": (tiff("packbits", b"\x81\0" * 2**18), UNPACKS),
    "predictor.tif": (tiff("zlib", zeros(), predictor=2), UNPACKS),
    "jpeg.tif": (tiff("jpeg", jpeg()), SAYS),
    "jpeg2000.tif": (tiff("jpeg2000", jpeg_2000()), SAYS),
    "png.tif": (tiff("png", png()), SAYS),
    "tile.tif": (huge_tile, "its strips or tiles are 65520 x 65520 pixels large"),
    "tiles.tif": (missing_tiles, "its page 1 should have 64000000 strips or tiles, and has 1"),
    "strip.tif": (fat_strip, "its page 1 has a strip or tile of 536870912 bytes, where the pixels of one take 4096"),
    "samples.tif": (many_samples, r"its strips or tiles are 200 x 200 x 60000 pixels large, 2\.2 GiB"),
    **{f"v2-{each}.zarr": (chunk_v2(each), CHUNK) for each in ("blosc", "bz2", "gzip", "lz4", "lzma", "zlib", "zstd")},
    "filtered.zarr": (
        chunk_v2("zlib", filters=[{"id": "delta", "dtype": "|u1"}]),
        r"a chunk unpacks to more, and should be 4\d\d\d bytes at most",
    ),
    "v3-gzip.zarr": (chunk_v3("gzip", "gzip", level=1), CHUNK),
    "v3-zstd.zarr": (chunk_v3("zstd", "zstd", level=1, checksum=False), CHUNK),
    "v3-blosc.zarr": (
        chunk_v3("blosc", "blosc", cname="lz4", clevel=1, shuffle="noshuffle", typesize=1, blocksize=0),
        CHUNK,
    ),
    "v3-bz2.zarr": (chunk_v3("numcodecs.bz2", "bz2", level=1), CHUNK),
    "shard.zarr": (shard, CHUNK),
    "index.zarr": (many_chunks_in_a_shard, r"the shards of its array 0 have 68719476736 chunks each; 262144 at most"),
    "chunk.zarr": (fat_chunk, r"of its 0/0\.0\.0, 2147483648 bytes would have to be read for a chunk"),
    "deep.zarr": (metadata("[" * 10**6), r"its \.zattrs is no JSON"),
    "long.zarr": (metadata("[" + "[]," * 2**23 + "[]]"), r"its \.zattrs has more than 16 MiB"),
}


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What reading each of them came to."""
    folder = tmp_path_factory.mktemp("bombs")
    write_image(folder / "warm.zarr", "", np.ones((1, 4, 4), "uint8"), "zyx")
    for name, (write, _) in BOMBS.items():
        write(folder / name)
    files = [str(folder / name) for name in ("warm.zarr", *BOMBS)]
    ended = subprocess.run(
        [sys.executable, "-c", _CHILD, str(HEADROOM_BYTES)],
        input=json.dumps(files),
        # One arena: each further one would take 64 MiB of address space, whatever is in it.
        env={**os.environ, "MALLOC_ARENA_MAX": "1"},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return dict(zip(BOMBS, json.loads(ended.stdout.splitlines()[-1]), strict=True))


@pytest.mark.parametrize("name", BOMBS)
def test_a_small_file_takes_no_more_memory_than_it_declares(outcomes: dict[str, str], name: str) -> None:
    assert re.search(f"{re.escape(name)} cannot be read as an image: .*{BOMBS[name][1]}", outcomes[name])


@pytest.mark.parametrize(
    "filters", [None, [numcodecs.Delta("<u2", "<i4")], [numcodecs.FixedScaleOffset(0, 2, "<u2", "<f8")]]
)
@pytest.mark.parametrize("codec", ["blosc", "bz2", "gzip", "lz4", "lzma", "zlib", "zstd"])
def test_what_is_packed_well_is_read(tmp_path: Path, codec: str, filters: Any) -> None:
    pixels = np.zeros((2, 500, 1000), "<u2")
    pixels[1, 7, 8] = 999
    packer = numcodecs.get_codec({"id": codec})
    write_image(tmp_path / "a.zarr", "", pixels, "zyx", chunks=(2, 500, 500), compressors=packer, filters=filters)
    assert zarr.open_array(tmp_path / "a.zarr" / "0", mode="r").nbytes_stored() < pixels.nbytes // 20
    with open_images(tmp_path / "a.zarr") as (image,):
        assert all(np.array_equal(image.plane(0, 0, z), pixels[z]) for z in range(2))


@pytest.mark.filterwarnings("ignore:Numcodecs codecs are not in the Zarr version 3 specification")
@pytest.mark.parametrize("shards", [None, (2, 1000, 1000)])
@pytest.mark.parametrize(
    "packers",
    [
        lambda: [GzipCodec()],
        lambda: [ZstdCodec(checksum=True)],
        lambda: [BloscCodec()],
        lambda: [BZ2(), Crc32cCodec()],
        lambda: [Crc32cCodec(), LZMA()],
        lambda: [LZ4(), Zlib(), GzipCodec()],
    ],
)
def test_what_is_packed_well_in_version_3_is_read(tmp_path: Path, packers: Any, shards: Any) -> None:
    pixels = np.zeros((2, 500, 1000), "uint16")
    pixels[1, 7, 8] = 999
    options = {"chunks": (1, 500, 500), "shards": shards, "compressors": packers()}
    write_image(tmp_path / "a.zarr", "", pixels, "zyx", "0.5", **options)
    with open_images(tmp_path / "a.zarr") as (image,):
        assert all(np.array_equal(image.plane(0, 0, z), pixels[z]) for z in range(2))


def test_a_plane_of_very_many_chunks_is_read_some_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = np.random.default_rng(0).integers(0, 200, (3, 50, 70)).astype("uint8")
    write_image(tmp_path / "a.zarr", "", pixels, "zyx", chunks=(2, 3, 4))
    monkeypatch.setattr(zarrfolder, "CHUNKS_AT_ONCE", 5)
    asked: list[int] = []
    original = zarr.Array.__getitem__

    def counted(array: Any, index: Any) -> Any:
        found: Any = original(array, index)
        asked.append(found.size)
        return found

    monkeypatch.setattr(zarr.Array, "__getitem__", counted)
    with open_images(tmp_path / "a.zarr") as (image,):
        assert all(np.array_equal(image.plane(0, 0, z), pixels[z]) for z in range(3))
        assert np.array_equal(image.read(0, 0, 1, slice(7, 41), slice(5, 66)), pixels[1, 7:41, 5:66])
    assert max(asked) <= 5 * 2 * 3 * 4
