"""OME-Zarr folders for tests, with metadata that a test may put its own into."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import zarr

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

ZARR_FORMATS: dict[str, Any] = {"0.4": 2, "0.5": 3}
KINDS = {"t": "time", "c": "channel"}


def axes_of(letters: str, unit: str | None = "micrometer") -> list[dict[str, str]]:
    """Describe axes, for instance ``tczyx``."""
    described = []
    for letter in letters:
        axis = {"name": letter, "type": KINDS.get(letter, "space")}
        if unit and letter in "zyx":
            axis["unit"] = unit
        described.append(axis)
    return described


def write_group(root: Path, path: str, version: str, attributes: Mapping[str, Any]) -> zarr.Group:
    """Write a group with OME-Zarr metadata."""
    group = zarr.open_group(root, path=path, mode="a", zarr_format=ZARR_FORMATS[version])
    group.attrs.update({"ome": {"version": version, **attributes}} if version == "0.5" else dict(attributes))
    return group


def write_image(
    root: Path,
    path: str,
    pixels: NDArray[Any],
    letters: str,
    version: str = "0.4",
    *,
    scale: Sequence[float] | None = None,
    attributes: Mapping[str, Any] | None = None,
    axes: Any = None,
    **array: Any,
) -> None:
    """Write an image with a second level that must not be read, half as large and all 99."""
    transformations = [{"type": "scale", "scale": list(scale or [1.0] * pixels.ndim)}]
    multiscale = {
        "name": "an image",
        "axes": axes_of(letters) if axes is None else axes,
        "datasets": [{"path": level, "coordinateTransformations": transformations} for level in ("0", "1")],
    }
    group = write_group(root, path, version, {"multiscales": [multiscale], **(attributes or {})})
    array.setdefault("chunks", (*(1,) * (pixels.ndim - 2), 2, 3))
    group.create_array("0", shape=pixels.shape, dtype=pixels.dtype, **array)[...] = pixels
    group.create_array("1", shape=[max(1, side // 2) for side in pixels.shape], dtype=pixels.dtype)[...] = 99
