"""Convert an OME-Zarr image to TIFF, called as BIOMERO's converters are: with its path, beside which it writes."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import tifffile
import zarr


def main() -> None:
    """Convert the image that is named on the command line."""
    source = Path(sys.argv[1])
    full_resolution = zarr.open_array(source / "0", mode="r")
    print(f"Converting {source.name}: {full_resolution.shape} {full_resolution.dtype}")
    pixels = np.asarray(full_resolution[...])
    tifffile.imwrite(
        source.with_suffix(".0.tif"), pixels, ome=True, photometric="minisblack", metadata={"axes": "TCZYX"}
    )


if __name__ == "__main__":
    main()
