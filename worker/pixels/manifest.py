"""What an export wrote, and which file came from which object in OMERO.

Results are later linked to their sources by this list and not by guessing from names.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any

from worker.errors import ExportError, RequestError
from worker.pixels.choice import PixelChoice
from worker.pixels.views import Taken


@dataclass(frozen=True, slots=True)
class ExportEntry:
    r"""One exported file or Zarr tree.

    Parameters
    ----------
    path : str
        Where it is in the archive: ``cells.zarr``, ``plate.zarr``, ``cells.tif``.
    object_type : str
        ``Image`` or ``Plate``.
    object_id : int
        Id of that object. A field that was exported as a file of its own belongs to its plate.
    name : str
        Name of that object in OMERO.
    images : tuple of tuple of int and str
        Id of each image in it, and where in the archive it is.
    shape : tuple of int
        (T, C, Z, Y, X) of its images; empty if the fields of a plate differ.
    sha256 : str
        Of the pixels at full resolution, little-endian, in the order T, C, Z, Y, X. For a plate in one tree: of the
        lines ``<sha256>  <path>\n`` of its images in the order of ``images``. An exporter that cannot know the pixels
        gives the sha256 of such lines for its files, by path.
    taken : tuple of Taken
        Which planes were taken of each image in ``images``; empty if all were.
    """

    path: str
    object_type: str
    object_id: int
    name: str
    images: tuple[tuple[int, str], ...]
    shape: tuple[int, ...]
    sha256: str
    taken: tuple[Taken, ...] = ()


@dataclass(frozen=True, slots=True)
class ExportManifest:
    """All that an export wrote.

    Parameters
    ----------
    entries : tuple of ExportEntry
        In the order of writing.
    choice : PixelChoice or None
        What of each image was wanted; None if everything was.
    """

    entries: tuple[ExportEntry, ...]
    choice: PixelChoice | None = None

    def to_json(self) -> str:
        """Write as JSON.

        Returns
        -------
        str
            The same for the same manifest.
        """
        return json.dumps(asdict(self), ensure_ascii=False, sort_keys=True)

    @classmethod
    def from_json(cls, text: str | bytes) -> ExportManifest:
        """Read back what `to_json` wrote.

        Parameters
        ----------
        text : str or bytes
            JSON.

        Returns
        -------
        ExportManifest
            An equal manifest.

        Raises
        ------
        ExportError
            This is not such a manifest.
        """
        try:
            data = json.loads(text)
            choice = data.get("choice")
            return cls(
                tuple(_entry(entry) for entry in data["entries"]),
                None if choice is None else PixelChoice.from_json(choice),
            )
        except (ValueError, KeyError, TypeError, AttributeError, RequestError) as error:
            raise ExportError(
                f"This is not an export manifest: {error}.", remedy="Export again to get a new one."
            ) from error


def _entry(data: dict[str, Any]) -> ExportEntry:
    return ExportEntry(
        path=str(data["path"]),
        object_type=str(data["object_type"]),
        object_id=int(data["object_id"]),
        name=str(data["name"]),
        images=tuple((int(image_id), str(path)) for image_id, path in data["images"]),
        shape=tuple(int(size) for size in data["shape"]),
        sha256=str(data["sha256"]),
        taken=tuple(_taken(taken) for taken in data.get("taken", ())),
    )


def _taken(data: dict[str, Any]) -> Taken:
    (first_t, last_t), (first_z, last_z) = data["t"], data["z"]
    return Taken((int(first_t), int(last_t)), tuple(int(c) for c in data["c"]), (int(first_z), int(last_z)))
