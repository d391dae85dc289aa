"""PNG results: their values as they were stored, and nothing decoded that only claims to be large."""

from __future__ import annotations

import struct
import zlib
from typing import TYPE_CHECKING, Any

import imagecodecs
import numpy as np
import pytest
from PIL import Image

from worker.errors import ResultsError
from worker.results.readers.opening import open_images

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray


@pytest.mark.parametrize(
    "pixels",
    [
        np.arange(20, dtype="uint8").reshape(4, 5, 1),
        np.arange(20, dtype="uint16").reshape(4, 5, 1) * 3000,
        np.arange(60, dtype="uint8").reshape(4, 5, 3),
        np.arange(80, dtype="uint8").reshape(4, 5, 4),
        np.arange(40, dtype="uint16").reshape(4, 5, 2) * 1000,
        np.arange(60, dtype="uint16").reshape(4, 5, 3) * 1000,
    ],
    ids=["grey", "16 bit", "RGB", "RGBA", "16 bit with alpha", "16 bit RGB"],
)
def test_every_sample_of_a_pixel_is_a_channel(tmp_path: Path, pixels: NDArray[Any]) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(imagecodecs.png_encode(pixels.squeeze()))
    with open_images(path) as (image,):
        assert (image.size_t, image.size_c, image.size_z, image.size_y, image.size_x) == (1, pixels.shape[2], 1, 4, 5)
        assert image.dtype == pixels.dtype
        for c in range(image.size_c):
            assert np.array_equal(image.plane(0, c, 0), pixels[..., c])


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_few_bits_keep_the_numbers_that_were_stored(tmp_path: Path, bits: int) -> None:
    path = tmp_path / "mask.png"
    labels = (np.arange(20, dtype="uint8") % 2**bits).reshape(4, 5)
    picture = Image.fromarray(labels.astype(bool) if bits == 1 else labels)
    picture.save(path, bits=bits)
    assert path.read_bytes()[24] == bits
    with open_images(path) as (image,):
        assert np.array_equal(image.plane(0, 0, 0), labels)


@pytest.mark.parametrize("options", [{}, {"transparency": 0}])
def test_a_palette_becomes_colours(tmp_path: Path, options: dict[str, Any]) -> None:
    path = tmp_path / "overlay.png"
    picture = Image.fromarray(np.array([[0, 1], [2, 3]], "uint8"))
    picture.putpalette([9, 8, 7, 0, 255, 0, 1, 2, 3, 255, 255, 255])
    picture.save(path, **options)
    with open_images(path) as (image,):
        assert image.size_c == 3
        assert [image.plane(0, c, 0).tolist() for c in range(3)] == [
            [[9, 0], [1, 255]],
            [[8, 255], [2, 255]],
            [[7, 0], [3, 255]],
        ]


def test_nothing_is_decoded_before_it_is_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(imagecodecs.png_encode(np.zeros((300, 300), "uint8"))[:60])
    with open_images(path) as (image,):
        assert (image.size_y, image.size_x) == (300, 300)
        with pytest.raises(ResultsError, match=r"a\.png cannot be read as an image"):
            image.plane(0, 0, 0)


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def test_a_small_file_that_claims_to_be_huge_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "bomb.png"
    header = struct.pack(">IIBBBBB", 100_000, 100_000, 8, 2, 0, 0, 0)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(10**6))))
    with pytest.raises(ResultsError, match=r"bomb\.png .* claims to have 100000 x 100000 pixels"), open_images(path):
        pass


@pytest.mark.parametrize("content", [b"", b"\x89PNG\r\n\x1a\n", b"GIF89a" + bytes(100)], ids=["empty", "short", "GIF"])
def test_what_is_no_png_is_an_error_with_its_name(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "broken.png"
    path.write_bytes(content)
    with pytest.raises(ResultsError, match=r"broken\.png cannot be read as an image: it"), open_images(path):
        pass
