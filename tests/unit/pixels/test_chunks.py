"""Bytes of chunks and shards, judged by reading them with zarr."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pytest
import zarr

from worker.pixels.chunks import ArrayLayout

if TYPE_CHECKING:
    from pathlib import Path

DTYPES = ["u1", "i1", "u2", "i2", "u4", "i4", "f4", "f8"]
SIZES = [(1, 1), (7, 5), (512, 512), (513, 1025), (1300, 700)]


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("size", SIZES)
def test_zarr_reads_back_what_was_encoded(tmp_path: Path, zarr_format: int, dtype: str, size: tuple[int, int]) -> None:
    array = np.random.default_rng(1).integers(0, 100, (1, 2, 1, *size)).astype("<" + dtype)
    layout = ArrayLayout((1, 2, 1, *size), array.dtype, zarr_format)
    name, document = layout.document()
    (tmp_path / name).write_text(json.dumps(document))
    for c in range(2):
        for key, data in layout.encode(0, c, 0, array[0, c, 0]):
            (tmp_path / key).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / key).write_bytes(data)
    read = zarr.open_array(str(tmp_path), mode="r")
    assert read.dtype == array.dtype
    assert np.array_equal(np.asarray(read[:]), array)


def test_a_plane_is_one_shard_unless_it_is_huge() -> None:
    assert ArrayLayout((1, 1, 1, 2048, 2000), np.dtype("<u2"), 3).shard == (2048, 2048)
    assert ArrayLayout((1, 1, 1, 20_000, 300), np.dtype("<u2"), 3).shard == (8192, 300)


def test_shards_are_whole_chunks() -> None:
    for size in [(1, 1), (300, 513), (20_000, 9_000), (8_191, 8_193)]:
        layout = ArrayLayout((1, 1, 1, *size), np.dtype("<u2"), 3)
        assert [side % chunk for side, chunk in zip(layout.shard, layout.chunk, strict=True)] == [0, 0]
        assert max(layout.shard) <= 8192


def test_a_black_plane_is_written_like_any_other() -> None:
    layout = ArrayLayout((1, 1, 1, 2000, 2000), np.dtype("<u2"), 2)
    assert len(list(layout.encode(0, 0, 0, np.zeros((2000, 2000), "<u2")))) == 4
