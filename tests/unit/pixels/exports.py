"""Exporting images of noise, and reading what was written."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import tifffile
import zarr

from tests.unit.pixels.sinks import FolderSink
from tests.unit.pixels.test_export import silently
from worker.pixels.exporter import FormatName, export

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from tests.unit.pixels.pixel_server import PixelServer
    from worker.pixels.choice import PixelChoice
    from worker.pixels.manifest import ExportManifest
    from worker.pixels.selection import Selection

SHAPE = (3, 2, 4, 5, 7)


def noise(dtype: str, shape: tuple[int, int, int, int, int] = SHAPE) -> NDArray[Any]:
    values = np.random.default_rng(7).integers(-30_000, 30_000, shape)
    return values.astype(dtype)


def write(
    server: PixelServer, selection: Selection, choice: PixelChoice, folder: Path, format_name: FormatName = "zarr-0.5"
) -> ExportManifest:
    return export(
        server.gateway,
        selection,
        format=format_name,
        sink=FolderSink(folder),
        progress=silently,
        choice=choice,
    )


def read(path: Path) -> NDArray[Any]:
    """Read the full resolution of a file or tree, (T, C, Z, Y, X)."""
    if path.is_dir():
        return np.asarray(zarr.open_array(str(path / "0"), mode="r")[:])
    with tifffile.TiffFile(path) as file:
        series = file.series[0]
        return np.asarray(series.asarray(squeeze=False)).reshape(series.get_shape(squeeze=False)[:5])
