"""However the pixels of a TIFF are stored, they are read as they are: compressions, strips, tiles, predictors, bits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tifffile

from worker.results.readers import tiff
from worker.results.readers.opening import open_images

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from worker.results.readers.model import FileImage

SMOOTH: NDArray[Any] = np.add.outer(np.arange(70), np.arange(100))


def same(image: FileImage, planes: NDArray[Any], tolerance: int = 0) -> bool:
    """Whether the first channel's planes are these, as a whole and in parts."""
    whole = np.stack([image.plane(0, 0, z) for z in range(image.size_z)]).astype(float)
    part = image.read(0, 0, image.size_z - 1, slice(3, 61), slice(17, 99)).astype(float)
    return bool(np.all(abs(whole - planes) <= tolerance) and np.all(abs(part - planes[-1, 3:61, 17:99]) <= tolerance))


@pytest.fixture(params=["whole pages", "pieces of pages"])
def pages(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages are decoded as a whole, or as if they were too large for that."""
    if request.param == "pieces of pages":
        monkeypatch.setattr(tiff, "_PAGE_BYTES_MAX", 100)


@pytest.mark.usefixtures("pages")
@pytest.mark.parametrize("options", [{}, {"tile": (32, 48)}, {"rowsperstrip": 16}], ids=["strip", "tiles", "strips"])
@pytest.mark.parametrize("compression", [None, "zlib", "lzw", "lzma", "zstd", "packbits", "jpeg2000", "png", "jpegxl"])
@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_compressions_without_loss(tmp_path: Path, compression: Any, dtype: str, options: dict[str, Any]) -> None:
    planes = np.stack([SMOOTH, SMOOTH + 3]).astype(dtype)
    lossless = {"compressionargs": {"level": 0, "reversible": True}} if compression == "jpeg2000" else {}
    tifffile.imwrite(
        tmp_path / "a.tif", planes, photometric="minisblack", compression=compression, **options, **lossless
    )
    with open_images(tmp_path / "a.tif") as (image,):
        assert image.dtype == dtype
        assert same(image, planes)


@pytest.mark.usefixtures("pages")
@pytest.mark.parametrize("compression", ["jpeg", "webp", "png", "lerc", "jpegxr", "zlib"])
@pytest.mark.parametrize("tile", [None, (32, 48)])
def test_colours(tmp_path: Path, compression: str, tile: Any) -> None:
    pixels = np.stack([SMOOTH, SMOOTH[::-1], SMOOTH // 2], axis=-1).astype("uint8")
    tifffile.imwrite(tmp_path / "a.tif", pixels, photometric="rgb", compression=compression, tile=tile)
    with open_images(tmp_path / "a.tif") as (image,):
        assert image.size_c == 3
        assert same(image, pixels[np.newaxis, ..., 0], tolerance=40 if compression == "jpeg" else 12)


@pytest.mark.usefixtures("pages")
@pytest.mark.parametrize("byteorder", ["<", ">"])
@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize(
    "dtype", ["bool", "int8", "int16", "uint32", "int64", "float16", "float32", "float64", "complex64", "complex128"]
)
def test_every_type_in_either_byte_order(tmp_path: Path, dtype: str, compression: Any, byteorder: Any) -> None:
    planes = (np.stack([SMOOTH, SMOOTH + 3]) % 2 if dtype == "bool" else np.stack([SMOOTH, SMOOTH - 99]) // 2).astype(
        dtype
    )
    options = {"photometric": "minisblack", "compression": compression, "byteorder": byteorder}
    tifffile.imwrite(tmp_path / "a.tif", planes, **options)
    with open_images(tmp_path / "a.tif") as (image,):
        assert image.dtype == dtype
        assert all(np.array_equal(image.plane(0, 0, z), planes[z]) for z in range(2))
        assert np.array_equal(image.read(0, 0, 1, slice(3, 61), slice(17, 99)), planes[1, 3:61, 17:99])


@pytest.mark.usefixtures("pages")
@pytest.mark.parametrize(("predictor", "dtype"), [(2, "uint16"), (2, "uint8"), (3, "float32")])
def test_predictors(tmp_path: Path, predictor: int, dtype: str) -> None:
    planes = np.stack([SMOOTH, SMOOTH + 3]).astype(dtype)
    tifffile.imwrite(
        tmp_path / "a.tif", planes, photometric="minisblack", compression="zlib", predictor=predictor, tile=(32, 48)
    )
    with open_images(tmp_path / "a.tif") as (image,):
        assert same(image, planes)


@pytest.mark.usefixtures("pages")
@pytest.mark.parametrize("compression", [None, "zlib", "packbits"])
def test_samples_of_one_bit(tmp_path: Path, compression: Any) -> None:
    pixels = SMOOTH[:, :96] % 3 == 0
    tifffile.imwrite(tmp_path / "a.tif", pixels, compression=compression, photometric="minisblack")
    with open_images(tmp_path / "a.tif") as (image,):
        assert np.array_equal(image.plane(0, 0, 0), pixels)


@pytest.mark.usefixtures("pages")
@pytest.mark.parametrize("options", [{}, {"bigtiff": True}, {"imagej": True}, {"ome": True}], ids="".join)
@pytest.mark.parametrize("compression", [None, "zlib"])
def test_planes_and_planar_colours(tmp_path: Path, compression: Any, options: dict[str, Any]) -> None:
    planes = np.stack([SMOOTH + each for each in range(6)]).reshape(2, 3, 70, 100).astype("uint16")
    axes = "ZCYX" if options else None
    if axes:
        options = {**options, "metadata": {"axes": axes}}
    tifffile.imwrite(tmp_path / "a.tif", planes, photometric="minisblack", compression=compression, **options)
    with open_images(tmp_path / "a.tif", {"Z": 2, "C": 3, "T": 1}) as (image,):
        assert (image.size_z, image.size_c, image.size_t) == (2, 3, 1)
        assert all(np.array_equal(image.plane(0, c, z), planes[z, c]) for z in range(2) for c in range(3))
        assert np.array_equal(image.read(0, 2, 1, slice(9, 20), slice(30, 40)), planes[1, 2, 9:20, 30:40])


@pytest.mark.usefixtures("pages")
@pytest.mark.parametrize("planarconfig", ["contig", "separate"])
@pytest.mark.parametrize("compression", [None, "zlib"])
def test_samples_beside_or_behind_each_other(tmp_path: Path, planarconfig: Any, compression: Any) -> None:
    stack = np.stack([SMOOTH + each for each in range(6)]).reshape(2, 3, 70, 100).astype("uint8")
    pixels = stack if planarconfig == "separate" else stack.transpose(0, 2, 3, 1)
    tifffile.imwrite(tmp_path / "a.tif", pixels, photometric="rgb", planarconfig=planarconfig, compression=compression)
    with open_images(tmp_path / "a.tif", {"Z": 2}) as (image,):
        assert (image.size_z, image.size_c) == (2, 3)
        assert all(np.array_equal(image.plane(0, c, z), stack[z, c]) for z in range(2) for c in range(3))
