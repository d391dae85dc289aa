"""An analysis that tells what it was given: its arguments, its environment and the files that it sees.

It takes no option of its own, so that it can stand for analyses of every schema: the folder to write to is the argument
that names one below ``data/out``. There it writes ``echo.json``, and copies of the first TIFF and the first OME-Zarr
that it finds.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path

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
    images = sorted(path for folder in seen for path in folder.rglob("*.tif*") if OUTPUT not in str(path))
    if images:
        shutil.copyfile(images[0], output / f"{images[0].name.partition('.')[0]}_copy.tif")
    zarrs = sorted(path for folder in seen if OUTPUT not in str(folder) for path in folder.glob("*.zarr"))
    if zarrs:
        shutil.copytree(zarrs[0], output / f"{zarrs[0].name.partition('.')[0]}_copy.zarr")
    print(f"100% of {len(images) + len(zarrs)} images")


if __name__ == "__main__":
    main()
