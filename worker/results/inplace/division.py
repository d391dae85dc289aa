"""Which results the importer is given, and which it cannot take: those come through OMERO's API, like all others do.

==============================  ============================  ==========================
a result                        into a dataset                into a screen
==============================  ============================  ==========================
file of an image                ordered                       through the API (in wells)
OME-Zarr with an image          ordered                       through the API
... its labels                  ordered, by themselves        as into a dataset
OME-Zarr with a plate           through the API               ordered
table, text and the like        never ordered
==============================  ============================  ==========================

The importer must not be given OME-Zarr for the other kind of destination: it would look for a screen with the id of the
dataset, and might find one that has nothing to do with it. Files that it cannot be given are those whose path OMERO's
client would write differently (`worker.results.inplace.layout.plain_path`), and those inside of something that it
takes for OME-Zarr.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, Final, Literal

from worker.results.inplace.layout import plain_path
from worker.results.readers.model import Unreadable
from worker.results.readers.zarrfolder import ZarrFolder

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence
    from pathlib import Path

    from worker.results.model import ImportOptions

SUFFIXES: Final = (
    *(".tif", ".tiff", ".png", ".jpg", ".jpeg", ".jp2", ".bmp", ".gif"),
    *(".czi", ".lsm", ".zvi", ".lif", ".scn", ".nd2", ".oib", ".ims", ".dv", ".r3d", ".stk", ".sld"),
    *(".svs", ".ndpi", ".qptiff", ".dcm", ".mrc", ".nii", ".nii.gz", ".psd", ".flex"),
)
"""Files that Bio-Formats reads and that need no other file beside them."""

ZARR: Final = ".zarr"

AT_ONCE: Final = 100
"""How many paths an order has at most. The importer works on several orders at a time, but on the files of one after
another, and writes the names of all files of an order into an annotation of each of its images."""


@dataclass(frozen=True, slots=True)
class Share:
    """Results that make one order.

    Parameters
    ----------
    what : str
        ``images`` or ``labels``; ``images-2`` and so on for further ones of many.
    destination : str
        ``Dataset`` or ``Screen``.
    paths : tuple of str
        Paths below the results: files, OME-Zarr folders, or label images inside these.
    parts : Mapping
        Of an OME-Zarr folder that holds several images, their paths.
    """

    what: str
    destination: Literal["Dataset", "Screen"]
    paths: tuple[str, ...]
    parts: Mapping[str, frozenset[str]] = field(default_factory=dict, compare=False)

    def only(self, paths: Collection[str]) -> Share:
        """Leave some of it."""
        return replace(self, paths=tuple(path for path in self.paths if path in paths))


def divide(
    results: Path, paths: Sequence[str], options: ImportOptions, *, registers_zarr: bool = True
) -> tuple[Share, ...]:
    """Say what the importer is given: images, and labels, each in as many orders as it takes.

    Parameters
    ----------
    results : Path
        Where the results lie in the archive.
    paths : Sequence of str
        Their paths below it.
    options : ImportOptions
        What the person chose.
    registers_zarr : bool
        Whether the importer registers OME-Zarr; handed to Bio-Formats, it would not be known by its path.

    Returns
    -------
    tuple of Share
        None if there is nothing for it.
    """
    folders = sorted({found for path in paths if (found := zarr_of(path)) is not None and plain_path(found)})
    zarrs = [(folder, _Zarr.read(results / folder)) for folder in folders] if registers_zarr else []
    files = [path for path in sorted(set(paths)) if path.lower().endswith(SUFFIXES) and _may_be_ordered(path)]
    wants_labels = options.into_dataset and options.label_zarrs
    labels = [f"{folder}/{label}" for folder, zarr in zarrs for label in zarr.labels if wants_labels]
    parts = {folder: frozenset(f"{folder}/{part}" for part in zarr.parts) for folder, zarr in zarrs if zarr.parts}
    if options.into_screen:
        images = [folder for folder, zarr in zarrs if zarr.kind == "plate"]
        shares = [Share("images", "Screen", tuple(images), parts)]
    elif options.into_dataset:
        leave_out = options.label_zarrs and options.only_labels
        whole = [folder for folder, zarr in zarrs if zarr.kind == "image" and not (leave_out and zarr.labels)]
        shares = [Share("images", "Dataset", (*files, *whole), parts)]
    else:
        shares = []
    shares.append(Share("labels", "Dataset", tuple(labels)))
    return tuple(portion for share in shares for portion in _portions(share))


def _portions(share: Share) -> Iterator[Share]:
    """Divide what is too much for one order."""
    for number, start in enumerate(range(0, len(share.paths), AT_ONCE), start=1):
        what = share.what if number == 1 else f"{share.what}-{number}"
        yield replace(share, what=what, paths=share.paths[start : start + AT_ONCE])


def zarr_of(path: str) -> str | None:
    """Find the OME-Zarr folder that a path lies in, the outermost of several; None if it is in none."""
    parts = PurePosixPath(path).parts
    for end, part in enumerate(parts[:-1], start=1):
        if part.lower().endswith(ZARR):
            return "/".join(parts[:end])
    return None


def _may_be_ordered(path: str) -> bool:
    """Whether the importer takes a file for a file, and OMERO knows it by this path."""
    # The importer looks for these letters anywhere in the path, and for the last three in the file's suffix.
    return plain_path(path) and ZARR not in path.lower() and "zar" not in PurePosixPath(path).suffix.lower()


@dataclass(frozen=True, slots=True)
class _Zarr:
    """What an OME-Zarr folder is: its kind, and the paths of its label images, and of its images if it is not one."""

    kind: Literal["image", "plate", "none"]
    labels: tuple[str, ...] = ()
    parts: tuple[str, ...] = ()

    @classmethod
    def read(cls, folder: Path) -> _Zarr:
        """Look at the metadata of a folder; one that we cannot read is not given to anybody else."""
        try:
            zarr = ZarrFolder(folder)
            attributes = zarr.attributes("")
            if "plate" in attributes:
                fields = list(_fields(zarr, attributes["plate"]))
                return cls("plate", tuple(label for field in fields for label in _labels(zarr, field)), tuple(fields))
            if "bioformats2raw.layout" in attributes:
                series: list[str] = []
                while zarr.has_group(str(len(series))):
                    series.append(str(len(series)))
                return cls("image", tuple(label for each in series for label in _labels(zarr, each)), tuple(series))
            if "multiscales" in attributes:
                return cls("image", tuple(_labels(zarr, "")))
        except Unreadable:
            # What is wrong with it is told by whoever imports it through the API.
            return cls("none")
        return cls("none")


def _fields(zarr: ZarrFolder, plate: Any) -> Iterator[str]:
    wells = plate.get("wells") if isinstance(plate, dict) else None
    for well in wells if isinstance(wells, list) else []:
        path = str(well.get("path", "")) if isinstance(well, dict) else ""
        about = zarr.attributes(path).get("well") if path else None
        images = about.get("images") if isinstance(about, dict) else None
        for image in images if isinstance(images, list) else []:
            if isinstance(image, dict) and image.get("path"):
                yield f"{path}/{image['path']}"


def _labels(zarr: ZarrFolder, image: str) -> Iterator[str]:
    group = f"{image}/labels" if image else "labels"
    if not zarr.has_group(group):
        return
    names = zarr.attributes(group).get("labels")
    for name in names if isinstance(names, list) else []:
        path = f"{group}/{name}"
        if isinstance(name, str) and plain_path(path) and zarr.has_group(path):
            yield path
