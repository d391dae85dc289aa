"""An analysis that tells what it was given: its arguments, its environment and the files that it sees.

It takes no option of its own, so that it can stand for analyses of every schema: the folder to write to is the argument
that names one below ``data/out``. There it writes ``echo.json``, and a copy of each TIFF and OME-Zarr that it finds. A
TIFF with ``big_endian`` in its name gets its bytes in that order, as machines of another kind write them.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path

import tifffile

OUTPUT = "/data/out"
FIXED_FOLDERS = ("/inputs", "/outputs")
"""Where a descriptor may ask for its folders to be."""


def folders(arguments: list[str]) -> list[Path]:
    """List the folders among some arguments, with or without an option before them."""
    paths = [Path(piece) for word in arguments for piece in (word, word.partition("=")[2]) if piece.startswith("/")]
    return [path for path in [*dict.fromkeys(paths), *map(Path, FIXED_FOLDERS)] if path.is_dir()]


def main() -> None:
    """Write down what was given."""
    seen = folders(sys.argv[1:])
    output = next(folder for folder in seen if OUTPUT in str(folder) or str(folder) == "/outputs")
    files = {str(folder): sorted(str(path.relative_to(folder)) for path in folder.rglob("*")) for folder in seen}
    record = {"arguments": sys.argv[1:], "environment": dict(os.environ), "files": files}
    # Half a surrogate pair, which stands for a byte that is not UTF-8, is an escape in ASCII.
    (output / "echo.json").write_text(json.dumps(record, indent=1), encoding="ascii")
    inputs = [folder for folder in seen if OUTPUT not in str(folder) and str(folder) != "/outputs"]
    images = {path.name: path for folder in inputs for path in folder.rglob("*.tif*") if path.is_file()}
    for name, path in images.items():
        copy_tiff(path, output / f"{name.partition('.')[0]}_copy.tif")
    zarrs = {path.name: path for folder in inputs for path in folder.glob("*.zarr")}
    for name, path in zarrs.items():
        shutil.copytree(path, output / f"{name.partition('.')[0]}_copy.zarr")
    print(f"100% of {len(images) + len(zarrs)} images")


def copy_tiff(source: Path, target: Path) -> None:
    """Copy a TIFF, or write its pixels anew in the other order of bytes."""
    if "big_endian" not in source.name:
        shutil.copyfile(source, target)
        return
    with tifffile.TiffFile(source) as tiff:
        series = tiff.series[0]
        tifffile.imwrite(
            target, series.asarray(), byteorder=">", photometric="minisblack", metadata={"axes": series.axes}
        )


if __name__ == "__main__":
    main()
