"""The export manifest."""

from __future__ import annotations

import pytest

from worker.errors import ExportError
from worker.pixels.manifest import ExportEntry, ExportManifest

MANIFEST = ExportManifest(
    (
        ExportEntry("zellen µ.zarr", "Image", 3, "zellen µ", ((3, "zellen µ.zarr"),), (1, 2, 3, 4, 5), "ab" * 32),
        ExportEntry("p.zarr", "Plate", 9, "p", ((4, "p.zarr/A/1/0"), (5, "p.zarr/A/2/0")), (), "cd" * 32),
    )
)


def test_a_manifest_survives_json() -> None:
    assert ExportManifest.from_json(MANIFEST.to_json()) == MANIFEST


def test_the_same_manifest_is_the_same_json() -> None:
    assert ExportManifest.from_json(MANIFEST.to_json()).to_json() == MANIFEST.to_json()


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"entries": [{}]}', '{"entries": 3}', '{"entries": ["x"]}'])
def test_what_is_not_a_manifest_is_refused(text: str) -> None:
    with pytest.raises(ExportError, match="not an export manifest"):
        ExportManifest.from_json(text)
