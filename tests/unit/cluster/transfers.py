"""Files as they are sent, and folders as they are compared."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import pytest

from worker.cluster.uploads import TarUpload, UploadReport

if TYPE_CHECKING:
    from worker.cluster.transport import Transport


NAMES = [
    "plain.txt",
    "a.zarr/0/0.0.0",
    "with space/and 'quotes' \"both\"",
    "ünïcödé/细胞.tif",
    "-rf",
    "new\nline",
    "back\\slash",
    "%s",
    "x" * 200 + "/" + "y" * 200,
    "empty",
    "\udcff not UTF-8",
]


def content(name: str) -> bytes:
    return b"" if name == "empty" else hashlib.sha512(os.fsencode(name)).digest() * 100


def tree(folder: PurePosixPath | Path) -> dict[str, bytes]:
    root = Path(folder)
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def upload(transport: Transport, far: PurePosixPath, names: list[str]) -> UploadReport:
    with TarUpload(transport, far) as stream:
        for name in names:
            stream.add(name, content(name))
        return stream.close()


def break_off(transport: Transport, far: PurePosixPath, name: str) -> None:
    def export() -> None:
        with TarUpload(transport, far) as stream:
            stream.add(name, b"x" * 1_000_000)
            raise LookupError

    with pytest.raises(LookupError):
        export()
