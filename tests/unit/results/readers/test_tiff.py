"""Result images as they are in their files, each plane at its place."""

from __future__ import annotations

import contextlib
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tifffile
from PIL import Image

from worker.errors import ResultsError
from worker.results.readers.model import FileChannel, PixelSize
from worker.results.readers.opening import open_images

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray


def constant_planes(size_t: int, size_c: int, size_z: int, dtype: str = "uint16") -> NDArray[Any]:
    """Planes, shape (T, C, Z, 4, 5), whose every pixel says which plane it is in: 100 z + 10 c + t."""
    t, c, z = np.ogrid[:size_t, :size_c, :size_z]
    values = (100 * z + 10 * c + t).astype(dtype)
    return np.broadcast_to(values[..., np.newaxis, np.newaxis], (*values.shape, 4, 5)).copy()


def assert_every_plane_in_its_place(path: Path, size_t: int, size_c: int, size_z: int) -> None:
    with open_images(path) as images:
        (image,) = images
        assert (image.size_t, image.size_c, image.size_z, image.size_y, image.size_x) == (size_t, size_c, size_z, 4, 5)
        for t, c, z in image.coordinates():
            assert np.unique(image.plane(t, c, z)).tolist() == [100 * z + 10 * c + t]


@pytest.mark.parametrize("byteorder", ["<", ">"])
def test_ome_tiff_keeps_every_plane_in_its_place_in_either_byte_order(tmp_path: Path, byteorder: Any) -> None:
    path = tmp_path / "a.ome.tif"
    tifffile.imwrite(path, constant_planes(2, 3, 3), metadata={"axes": "TCZYX"}, byteorder=byteorder)
    assert_every_plane_in_its_place(path, 2, 3, 3)


@pytest.mark.parametrize("axes", ["TZCYX", "CTZYX", "ZCTYX", "ZTCYX"])
def test_ome_tiff_in_any_order_of_dimensions(tmp_path: Path, axes: str) -> None:
    path = tmp_path / "a.ome.tif"
    order = ["TCZYX".index(axis) for axis in axes]
    tifffile.imwrite(path, constant_planes(2, 3, 3).transpose(order), metadata={"axes": axes})
    assert_every_plane_in_its_place(path, 2, 3, 3)


def test_imagej_hyperstack(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    stack = constant_planes(2, 3, 3).transpose(0, 2, 1, 3, 4)
    tifffile.imwrite(path, stack, imagej=True, metadata={"axes": "TZCYX"})
    assert_every_plane_in_its_place(path, 2, 3, 3)


def test_a_single_plane(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, constant_planes(1, 1, 1)[0, 0, 0])
    assert_every_plane_in_its_place(path, 1, 1, 1)


def test_samples_of_a_pixel_are_channels(tmp_path: Path) -> None:
    path = tmp_path / "rgb.tif"
    pixels = np.random.default_rng(0).integers(0, 255, (6, 7, 3)).astype("uint8")
    tifffile.imwrite(path, pixels, photometric="rgb")
    with open_images(path) as images:
        assert images[0].size_c == 3
        assert all(np.array_equal(images[0].plane(0, c, 0), pixels[..., c]) for c in range(3))


@pytest.mark.parametrize(("expected", "dimension"), [({}, "z"), ({"Z": 3}, "z"), ({"T": 3}, "t"), ({"C": 3}, "c")])
def test_unnamed_pages_are_the_dimension_of_the_analysed_image_that_has_their_number(
    tmp_path: Path, expected: dict[str, int], dimension: str
) -> None:
    path = tmp_path / "pages.tif"
    with tifffile.TiffWriter(path) as writer:
        for page in range(3):
            writer.write(np.full((4, 5), page, "uint8"), metadata=None, contiguous=False)
    with open_images(path, {"Z": 1, "T": 1, "C": 1} | expected) as images:
        (image,) = images
        assert {"t": image.size_t, "c": image.size_c, "z": image.size_z}[dimension] == 3
        assert [int(image.plane(t, c, z)[0, 0]) for t, c, z in image.coordinates()] == [0, 1, 2]


def test_every_series_is_an_image(tmp_path: Path) -> None:
    path = tmp_path / "a.ome.tif"
    with tifffile.TiffWriter(path, ome=True) as writer:
        writer.write(np.zeros((4, 5), "uint8"), metadata={"axes": "YX"})
        writer.write(np.ones((2, 6, 7), "uint16"), metadata={"axes": "ZYX"})
    with open_images(path) as images:
        assert [(image.size_z, image.size_y, image.dtype.name) for image in images] == [
            (1, 4, "uint8"),
            (2, 6, "uint16"),
        ]


def test_a_pyramid_is_one_image(tmp_path: Path) -> None:
    path = tmp_path / "pyramid.ome.tif"
    data = np.random.default_rng(0).integers(0, 99, (256, 256)).astype("uint16")
    with tifffile.TiffWriter(path) as writer:
        writer.write(data, tile=(64, 64), subifds=1, metadata={"axes": "YX"})
        writer.write(data[::2, ::2], tile=(64, 64), subfiletype=1)
    with open_images(path) as images:
        (image,) = images
        assert np.array_equal(image.plane(0, 0, 0), data)
        assert np.array_equal(image.read(0, 0, 0, slice(10, 90), slice(60, 200)), data[10:90, 60:200])


def test_the_size_of_pixels_that_ome_metadata_give_is_read_in_micrometres(tmp_path: Path) -> None:
    path = tmp_path / "a.ome.tif"
    metadata = {"axes": "YX", "PhysicalSizeX": 250, "PhysicalSizeXUnit": "nm", "PhysicalSizeY": 0.5}
    tifffile.imwrite(path, np.zeros((4, 5), "uint8"), metadata=metadata)
    with open_images(path) as images:
        assert images[0].pixel_size == PixelSize(x_um=0.25, y_um=0.5, z_um=None)


def test_the_names_and_colours_of_channels_are_those_of_ome_metadata(tmp_path: Path) -> None:
    path = tmp_path / "a.ome.tif"
    metadata = {"axes": "CYX", "Channel": {"Name": ["DAPI", "GFP"], "Color": [0x0000FFFF, -16776961]}, "Name": "cells"}
    tifffile.imwrite(path, np.zeros((2, 4, 5), "uint8"), metadata=metadata, photometric="minisblack")
    with open_images(path) as (image,):
        assert image.channels == (FileChannel("DAPI", (0, 0, 255)), FileChannel("GFP", (255, 0, 0)))
        assert image.name == "cells"


def test_what_imagej_says_of_pixels_and_colours(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    table = np.zeros((3, 256), "uint8")
    table[1] = np.arange(256)
    metadata = {"axes": "ZCYX", "unit": "micron", "spacing": 2.0, "mode": "composite", "LUTs": [table, table[::-1]]}
    tifffile.imwrite(path, np.zeros((2, 2, 4, 5), "uint8"), imagej=True, resolution=(4, 2), metadata=metadata)
    with open_images(path) as (image,):
        assert image.pixel_size == PixelSize(x_um=0.25, y_um=0.5, z_um=2.0)
        assert [channel.colour_rgb for channel in image.channels] == [(0, 255, 0), (0, 255, 0)]


@pytest.mark.parametrize("unit", ["um", "micron", "\\u00B5m", "\\u03bcm", "µm"])
def test_imagej_writes_micrometres_in_many_ways(tmp_path: Path, unit: str) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, np.zeros((4, 5), "uint8"), imagej=True, resolution=(4, 4))
    text = f"ImageJ=1.54f\nunit={unit}\n".encode("latin-1")
    tifffile.tiffcomment(path, text)
    with open_images(path) as (image,):
        assert image.pixel_size == PixelSize(x_um=0.25, y_um=0.25)


@pytest.mark.parametrize(
    ("unit", "factor"),
    [("pm", 1e-6), ("Å", 1e-4), ("mm", 1e3), ("cm", 1e4), ("dm", 1e5), ("in", 25_400), ("pixel", None)],
)
def test_units_of_ome_metadata(tmp_path: Path, unit: str, factor: float | None) -> None:
    path = tmp_path / "a.ome.tif"
    tifffile.imwrite(
        path, np.zeros((4, 5), "uint8"), metadata={"axes": "YX", "PhysicalSizeX": 2, "PhysicalSizeXUnit": unit}
    )
    with open_images(path) as (image,):
        assert image.pixel_size.x_um == (None if factor is None else pytest.approx(2 * factor))


@pytest.mark.parametrize("compression", ["zlib", "lzma"])
def test_compressed_tiff(tmp_path: Path, compression: str) -> None:
    path = tmp_path / "a.tif"
    data = np.random.default_rng(0).integers(0, 9, (3, 40, 50)).astype("uint16")
    tifffile.imwrite(path, data, photometric="minisblack", compression=compression, metadata={"axes": "ZYX"})
    with open_images(path) as images:
        assert all(np.array_equal(images[0].plane(0, 0, z), data[z]) for z in range(3))


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int32", "float32"])
def test_lzw_as_many_tools_write_it(tmp_path: Path, dtype: str) -> None:
    path = tmp_path / "lzw.tif"
    pages = [np.random.default_rng(page).integers(0, 99, (40, 50)).astype(dtype) for page in range(3)]
    first, *others = [Image.fromarray(page) for page in pages]
    first.save(path, compression="tiff_lzw", save_all=True, append_images=others)
    with open_images(path) as images:
        (image,) = images
        assert image.size_z == 3
        assert all(np.array_equal(image.plane(0, 0, z), page) for z, page in enumerate(pages))


def test_metadata_cannot_make_us_read_another_file(tmp_path: Path) -> None:
    other, path = tmp_path / "private.ome.tif", tmp_path / "out" / "a.ome.tif"
    path.parent.mkdir()
    tifffile.imwrite(other, np.full((4, 5), 77, "uint8"), metadata={"axes": "YX"})
    tifffile.imwrite(path, np.full((4, 5), 1, "uint8"), metadata={"axes": "YX"})
    with tifffile.TiffFile(other) as tiff:
        uuid = tiff.ome_metadata.split('UUID="')[1].split('"')[0]
    with tifffile.TiffFile(path) as tiff:
        xml = tiff.ome_metadata
    data = xml.replace("<TiffData", f'<TiffData><UUID FileName="../private.ome.tif">{uuid}</UUID></TiffData><TiffData')
    tifffile.tiffcomment(path, data.encode())
    with open_images(path) as images:
        assert {int(value) for image in images for value in np.unique(image.plane(0, 0, 0))} == {1}


def test_a_damaged_image_is_an_error_with_its_name(tmp_path: Path) -> None:
    path = tmp_path / "broken.tif"
    path.write_bytes(b"II*\0 but nothing more")
    with pytest.raises(ResultsError, match=r"broken\.tif has no image in it"), open_images(path):
        pass


def test_an_image_that_ends_too_early_is_an_error_when_its_missing_part_is_read(tmp_path: Path) -> None:
    path = tmp_path / "short.tif"
    ones = np.ones((3, 40, 50), "uint16")
    tifffile.imwrite(path, ones, photometric="minisblack", compression="zlib", metadata={"axes": "ZYX"})
    with tifffile.TiffFile(path) as tiff:
        page: Any = tiff.pages[2]
        offset = page.dataoffsets[0]
    with path.open("r+b") as stream:
        stream.seek(offset)
        stream.write(b"\xff" * 20)
    with open_images(path) as images, pytest.raises(ResultsError, match=r"short.tif cannot be read"):
        images[0].plane(0, 0, 2)


def test_an_image_without_pixels_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "empty.tif"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tifffile.imwrite(path, np.zeros((0, 5), "uint8"))
    with pytest.raises(ResultsError, match=r"empty\.tif .*it has no pixels"), open_images(path):
        pass


@pytest.mark.parametrize(
    ("compression", "reason"),
    [(None, "there should be 4611686014132420609 bytes"), ("zlib", "are 2147483647 x 2147483647 pixels large")],
)
def test_a_file_that_claims_to_be_huge_is_refused(tmp_path: Path, compression: str | None, reason: str) -> None:
    path = tmp_path / "huge.tif"
    tifffile.imwrite(path, np.zeros((4, 5), "uint8"), compression=compression, metadata=None)
    with tifffile.TiffFile(path, mode="r+") as tiff:
        for name in ("ImageWidth", "ImageLength", "RowsPerStrip"):
            tiff.pages[0].tags[name].overwrite(2**31 - 1, dtype="I")
    with pytest.raises(ResultsError, match=rf"huge\.tif .*{reason}"), open_images(path):
        pass


@pytest.mark.parametrize("part", [0.02, 0.25, 0.5, 0.75, 0.99])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"compression": "zlib"},
        {"compression": "lzw"},
        {"compression": "packbits"},
        {"compression": "zlib", "tile": (64, 64)},
        {"ome": True, "metadata": {"axes": "ZYX"}},
        {"ome": True, "compression": "lzw", "metadata": {"axes": "ZYX"}},
        {"imagej": True, "metadata": {"axes": "ZYX"}},
        {"bigtiff": True, "compression": "zlib"},
    ],
    ids=lambda options: " ".join(options) or "plain",
)
def test_a_file_that_was_cut_off_is_never_taken_for_a_shorter_one(
    tmp_path: Path, options: dict[str, Any], part: float
) -> None:
    path = tmp_path / "cut.tif"
    data = np.random.default_rng(0).integers(0, 50, (4, 100, 120)).astype("uint16")
    tifffile.imwrite(path, data, photometric="minisblack", **options)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * part)])
    planes: list[NDArray[Any]] = []
    with contextlib.suppress(ResultsError), open_images(path) as (image,):
        planes = [image.plane(t, c, z) for t, c, z in image.coordinates()]
    # It may be read if only what comes behind the last pixel is missing.
    assert not planes or (part == 0.99 and np.array_equal(planes, data))


def test_ten_thousand_pages_are_ten_thousand_planes(tmp_path: Path) -> None:
    path = tmp_path / "pages.tif"
    with tifffile.TiffWriter(path) as writer:
        for page in range(10_000):
            writer.write(np.full((2, 2), page, "uint16"), metadata=None, contiguous=False)
    with open_images(path) as (image,):
        assert image.size_z == 10_000
        assert [int(image.plane(0, 0, z)[0, 0]) for z in range(10_000)] == list(range(10_000))
