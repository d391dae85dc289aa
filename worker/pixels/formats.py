"""What an export format must be able to do; OME-Zarr and OME-TIFF each are one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from worker.pixels.image import SourceImage
    from worker.pixels.planes import Plane
    from worker.pixels.selection import Selection
    from worker.pixels.sink import ArchiveSink


@dataclass(frozen=True, slots=True)
class Target:
    """An image and where it is to be written.

    Parameters
    ----------
    image : SourceImage
        The image.
    path : str
        Its file or group in the archive.
    entry_path : str
        The file or tree that contains it: the same, or that of the plate.
    object_type : str
        ``Image`` or ``Plate``.
    object_id : int
        Id of that object.
    object_name : str
        Its name in OMERO.
    """

    image: SourceImage
    path: str
    entry_path: str
    object_type: str
    object_id: int
    object_name: str


@dataclass(frozen=True, slots=True)
class PreparedPlane:
    """A plane after the work that can be done on it alone.

    Parameters
    ----------
    number : int
        Which target it belongs to, from 0.
    c : int
        Its channel.
    pixels : numpy.ndarray
        Shape (Y, X), little-endian.
    files : tuple of tuple of str and bytes
        Files below the image's path that are ready to be written.
    limits : tuple of float
        Its smallest and largest value.
    """

    number: int
    c: int
    pixels: NDArray[Any]
    files: tuple[tuple[str, bytes], ...] = ()
    limits: tuple[float, float] = (0.0, 0.0)


class ExportFormat(Protocol):
    """A way to write images and plates."""

    drop: ClassVar[tuple[str, ...]]
    """Endings of names, in lower case, that are replaced by the format's own."""

    def targets(self, selection: Selection) -> tuple[Target, ...]:
        """Decide where each image goes.

        Parameters
        ----------
        selection : Selection
            What is exported.

        Returns
        -------
        tuple of Target
            One for each image, in the order of writing.
        """

    def prepare(self, plane: Plane) -> PreparedPlane:
        """Do what can be done on a plane alone; called in several threads.

        Parameters
        ----------
        plane : Plane
            A plane.

        Returns
        -------
        PreparedPlane
            What `write_image` needs of it.
        """

    def write_containers(self, selection: Selection, sink: ArchiveSink) -> None:
        """Write what is around the images, such as the metadata of plates.

        Parameters
        ----------
        selection : Selection
            What is exported.
        sink : ArchiveSink
            Where to.
        """

    def write_image(self, target: Target, planes: Iterator[PreparedPlane], sink: ArchiveSink) -> None:
        """Write an image.

        Parameters
        ----------
        target : Target
            The image and its place.
        planes : iterator of PreparedPlane
            All its planes in the order T, C, Z; to be used up.
        sink : ArchiveSink
            Where to.
        """
