"""Result images as OMERO images: what they are called, how large their pixels are, and where they are linked to.

An image is saved with its key first, then its planes, and is linked to its dataset last, in the same transaction that
declares it complete. So nobody ever meets a half-written image in a dataset; one that fails is deleted, and one that
was left by a killed process is finished by the next.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import Ice
import omero
import omero.model
import omero.sys
from omero.rtypes import rdouble, rint, rstring, unwrap

from worker.errors import OmeroError
from worker.pixels.session import call_context
from worker.results.channels import channels_of
from worker.results.planes import PlaneStore, omero_pixel_type
from worker.results.readers.model import FileChannel, PixelSize

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from omero.gateway import BlitzGateway

    from worker.results.ledger import Key, Ledger
    from worker.results.readers.model import FileImage
    from worker.results.surroundings import AnalysedImage


_IN_DATASET: Final = "select l.child.id from DatasetImageLink l where l.parent.id = :id"
_ANNOTATED: Final = "select l.parent.id from ImageAnnotationLink l where l.child.id = :id"


@dataclass(frozen=True, slots=True)
class ImageLabel:
    """What an imported image is called.

    Parameters
    ----------
    name : str
        Its name in OMERO.
    description : str
        Its description.
    """

    name: str
    description: str


@dataclass(frozen=True, slots=True)
class BegunImage:
    """An image in OMERO whose pixels may be missing.

    Parameters
    ----------
    image_id : int
        Its id.
    pixels_id : int or None
        Id of its pixels that have to be written; None if it is complete.
    pixel_type : str
        Their OMERO pixel type.
    """

    image_id: int
    pixels_id: int | None = None
    pixel_type: str = ""


def write_image(ledger: Ledger, key: Key, image: FileImage, label: ImageLabel, *, source: AnalysedImage | None) -> int:
    """Create an image with all of its pixels, which nobody finds before its key is finished.

    Parameters
    ----------
    ledger : Ledger
        The run's ledger.
    key : Key
        Idempotency key of this image; whoever calls finishes it with what makes the image visible.
    image : FileImage
        The image in its file.
    label : ImageLabel
        Its name and description.
    source : AnalysedImage or None
        What it was made from, if known; gives the size of pixels, and channels.

    Returns
    -------
    int
        Id of the image in OMERO; at once, if it is complete already.

    Raises
    ------
    ResultsError
        If its pixels cannot be read, or have a type that OMERO does not have. The image is deleted again.
    """
    begun = begin_image(ledger, key, image, label, source=source)
    if begun.pixels_id is not None:
        with discarded_on_failure(ledger, key), PlaneStore(ledger.gateway) as store:
            store.write(begun.pixels_id, image, begun.pixel_type)
    return begun.image_id


def begin_image(
    ledger: Ledger, key: Key, image: FileImage, label: ImageLabel, *, source: AnalysedImage | None
) -> BegunImage:
    """Create an image without its pixels, or find the one that an earlier attempt has begun.

    Parameters
    ----------
    ledger : Ledger
        The run's ledger.
    key : Key
        Idempotency key of this image.
    image : FileImage
        The image in its file.
    label : ImageLabel
        Its name and description.
    source : AnalysedImage or None
        What it was made from, if known; gives the size of pixels, and channels.

    Returns
    -------
    BegunImage
        The image in OMERO.

    Raises
    ------
    ResultsError
        If its pixels have a type that OMERO does not have, or had to be read to find out and cannot be.
    """
    entry = ledger.find(key)
    if entry is not None and entry.complete:
        return BegunImage(entry.object_id)
    pixel_type = omero_pixel_type(image)
    if entry is not None:
        return BegunImage(entry.object_id, _pixels_id(ledger.gateway, entry.object_id), pixel_type)
    item = _new_image(image, pixel_type, label, _pixel_size(image, source), channels_of(image, source))
    saved, entry = ledger.create(item, key, complete=False)
    return BegunImage(entry.object_id, int(saved.getPrimaryPixels().getId().val), pixel_type)


def finish_image(ledger: Ledger, key: Key, image_id: int, dataset_id: int, annotation_ids: Sequence[int]) -> None:
    """Make an image with all of its pixels visible.

    Parameters
    ----------
    ledger : Ledger
        The run's ledger.
    key : Key
        Its key.
    image_id : int
        The image.
    dataset_id : int
        Dataset to link it to.
    annotation_ids : Sequence of int
        Annotations to link to it.
    """
    ledger.finish(key, [_dataset_link(image_id, dataset_id), *annotation_links(image_id, annotation_ids)])


def link_missing(ledger: Ledger, image_ids: Sequence[int], dataset_id: int, annotation_ids: Sequence[int]) -> None:
    """Link images that were complete before this import to what it is asked to link them to, where that is missing.

    Parameters
    ----------
    ledger : Ledger
        The run's ledger.
    image_ids : Sequence of int
        The images.
    dataset_id : int
        Dataset that they shall be in, whatever others they are in.
    annotation_ids : Sequence of int
        Annotations that they shall have.
    """
    links = [_dataset_link(image_id, dataset_id) for image_id in _without(ledger, _IN_DATASET, image_ids, dataset_id)]
    for annotation_id in annotation_ids:
        for image_id in _without(ledger, _ANNOTATED, image_ids, annotation_id):
            links += annotation_links(image_id, [annotation_id])
    if links:
        ledger.save_all(links)


def _without(ledger: Ledger, linked: str, image_ids: Sequence[int], other_id: int) -> list[int]:
    """Find those of the images that a query does not find linked to something."""
    parameters = omero.sys.ParametersI()
    parameters.addLong("id", other_id)
    service = ledger.gateway.c.sf.getQueryService()
    found = {row[0] for row in unwrap(service.projection(linked, parameters, call_context(ledger.gateway)))}
    return [image_id for image_id in image_ids if image_id not in found]


def annotation_links(image_id: int, annotation_ids: Sequence[int]) -> list[Any]:
    """Make the links between an image and what says where it comes from.

    Parameters
    ----------
    image_id : int
        The image.
    annotation_ids : Sequence of int
        Map annotations.

    Returns
    -------
    list of omero.model.ImageAnnotationLink
        To be saved when the image is finished.
    """
    links = []
    for annotation_id in annotation_ids:
        link = omero.model.ImageAnnotationLinkI()
        link.setParent(omero.model.ImageI(image_id, False))
        link.setChild(omero.model.MapAnnotationI(annotation_id, False))
        links.append(link)
    return links


@contextmanager
def discarded_on_failure(ledger: Ledger, key: Key) -> Iterator[None]:
    """Delete an image again if it cannot be finished: a placeholder full of zeros must not stay.

    Parameters
    ----------
    ledger : Ledger
        The run's ledger.
    key : Key
        The image's key.
    """
    try:
        yield
    except Exception as error:
        discard(ledger, key, error)
        raise


def discard(ledger: Ledger, key: Key, reason: BaseException) -> None:
    """Delete an image that is not going to be finished, if OMERO lets us.

    Parameters
    ----------
    ledger : Ledger
        The run's ledger.
    key : Key
        The image's key.
    reason : BaseException
        Why; the error that matters. It gets a note if the image is still there: the next attempt finds it by its key.
    """
    try:
        ledger.discard(key)
    except (Ice.Exception, omero.ClientError, OmeroError) as second:
        reason.add_note(f"An unfinished image is still there: {type(second).__name__}.")


def _pixels_id(gateway: BlitzGateway, image_id: int) -> int:
    service = gateway.c.sf.getContainerService()
    image = service.getImages("Image", [image_id], None, call_context(gateway))[0]
    return int(image.getPrimaryPixels().getId().val)


def _pixel_size(image: FileImage, source: AnalysedImage | None) -> PixelSize:
    """Take the source's if the result has its rows and columns, else what the file says."""
    if source is None or (source.sizes["Y"], source.sizes["X"]) != (image.size_y, image.size_x):
        return image.pixel_size
    z_um = source.pixel_size.z_um if image.size_z == source.sizes["Z"] else None
    return PixelSize(source.pixel_size.x_um, source.pixel_size.y_um, z_um)


def _new_image(
    image: FileImage, pixel_type: str, label: ImageLabel, pixel_size: PixelSize, channels: Sequence[FileChannel]
) -> Any:
    pixels = omero.model.PixelsI()
    pixels.setSizeX(rint(image.size_x))
    pixels.setSizeY(rint(image.size_y))
    pixels.setSizeZ(rint(image.size_z))
    pixels.setSizeC(rint(image.size_c))
    pixels.setSizeT(rint(image.size_t))
    pixels.setSha1(rstring("Pending..."))
    pixels.setPixelsType(_enumeration(omero.model.PixelsTypeI(), pixel_type))
    pixels.setDimensionOrder(_enumeration(omero.model.DimensionOrderI(), "XYZCT"))
    for axis, size_um in (("X", pixel_size.x_um), ("Y", pixel_size.y_um), ("Z", pixel_size.z_um)):
        if size_um is not None:
            length = omero.model.LengthI(size_um, omero.model.enums.UnitsLength.MICROMETER)
            getattr(pixels, f"setPhysicalSize{axis}")(length)
    for each in channels or [FileChannel()] * image.size_c:
        pixels.addChannel(_new_channel(each))
    item = omero.model.ImageI()
    item.setName(rstring(label.name))
    item.setDescription(rstring(label.description))
    item.addPixels(pixels)
    return item


def _new_channel(described: FileChannel) -> Any:
    logical = omero.model.LogicalChannelI()
    if described.name:
        logical.setName(rstring(described.name))
    channel = omero.model.ChannelI()
    channel.setLogicalChannel(logical)
    channel.setStatsInfo(_stats(0.0, 1.0))
    if described.colour_rgb:
        for name, value in zip(("Red", "Green", "Blue", "Alpha"), (*described.colour_rgb, 255), strict=True):
            getattr(channel, f"set{name}")(rint(value))
    return channel


def _enumeration(item: Any, value: str) -> Any:
    item.setValue(rstring(value))
    return item


def _stats(low: float, high: float) -> Any:
    stats = omero.model.StatsInfoI()
    stats.setGlobalMin(rdouble(low))
    stats.setGlobalMax(rdouble(high))
    return stats


def _dataset_link(image_id: int, dataset_id: int) -> Any:
    link = omero.model.DatasetImageLinkI()
    link.setParent(omero.model.DatasetI(dataset_id, False))
    link.setChild(omero.model.ImageI(image_id, False))
    return link
