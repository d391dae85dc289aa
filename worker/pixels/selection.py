"""What a person chose, looked up: the images and plates behind a data type and its ids.

The number of questions to OMERO does not depend on how much was chosen (up to 10,000 images; then once more for each
further 10,000): 4 for images, datasets and plates, 5 for screens.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import omero.clients  # before the model, whose modules need each other
import omero.constants.permissions
import omero.model
from omero.model.enums import UnitsLength, UnitsTime

from worker.errors import NotPermitted, RequestError
from worker.pixels import query
from worker.pixels.image import DEFAULT_COLOURS, Channel, SourceImage
from worker.pixels.plate import Acquisition, Field, PlateIndex, Well, axis_names, well_label

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from omero.gateway import BlitzGateway

__all__ = ["DATA_TYPES", "Channel", "Selection", "SourceImage", "read_selection"]

DATA_TYPES: Final = ("Dataset", "Image", "Plate", "Screen")


@dataclass(frozen=True, slots=True)
class Selection:
    """What is to be exported.

    Parameters
    ----------
    images : tuple of SourceImage
        Images that are exported by themselves, each once, in the order of choice and then of ids.
    plates : tuple of PlateIndex
        Plates that are exported as a whole, each once.
    """

    images: tuple[SourceImage, ...]
    plates: tuple[PlateIndex, ...] = ()

    def all_images(self) -> Iterator[SourceImage]:
        """Walk through every image, those of plates too.

        Yields
        ------
        SourceImage
            First the single images, then the fields of the plates.
        """
        yield from self.images
        for plate in self.plates:
            for _, field in plate.fields():
                yield field.image

    @property
    def plane_count(self) -> int:
        """Number of planes of all images."""
        return sum(image.plane_count for image in self.all_images())


def read_selection(gateway: BlitzGateway, data_type: str, ids: Sequence[int]) -> Selection:
    """Look up what was chosen.

    Parameters
    ----------
    gateway : omero.gateway.BlitzGateway
        Session of the person who chose; only what they can read is found.
    data_type : str
        ``Dataset``, ``Image``, ``Plate`` or ``Screen``.
    ids : sequence of int
        Ids of such objects; repeated ones count once.

    Returns
    -------
    Selection
        Its images and plates.

    Raises
    ------
    RequestError
        The type is not one of the four, no id is given, an id does not exist or cannot be read, or there is no image
        behind one.
    NotPermitted
        The policy of the server, or the group, does not let this person take the raw data away.
    OmeroError
        OMERO does not answer, or refuses.
    """
    if data_type not in DATA_TYPES:
        raise RequestError(f"{data_type!r} cannot be exported.", remedy=f"Choose one of: {', '.join(DATA_TYPES)}.")
    wanted = list(dict.fromkeys(int(number) for number in ids))
    if not wanted:
        raise RequestError(f"No {data_type} was chosen.", remedy="Give at least one id.")
    if data_type == "Image":
        return Selection(images=_chosen_images(gateway, wanted))
    if data_type == "Dataset":
        return Selection(images=_dataset_images(gateway, wanted))
    if data_type == "Plate":
        return Selection(images=(), plates=_plates(gateway, wanted, {}))
    return Selection(images=(), plates=_screen_plates(gateway, wanted))


def _chosen_images(gateway: BlitzGateway, ids: Sequence[int]) -> tuple[SourceImage, ...]:
    found = _images(gateway, ids)
    _require("Image", ids, found)
    datasets: dict[int, int] = {}
    for image_id, dataset_id in query.rows(
        gateway,
        "select l.child.id, l.parent.id from DatasetImageLink l where l.child.id in (:ids) order by l.id",
        ids,
        what="datasets of images",
    ):
        datasets.setdefault(image_id, dataset_id)
    places = {
        image_id: {"plate_id": plate_id, "well": well_label(row, column), "field": field}
        for image_id, plate_id, row, column, field in query.rows(
            gateway,
            "select ws.image.id, w.plate.id, w.row, w.column, index(ws) from Well w join w.wellSamples ws"
            " where ws.image.id in (:ids)",
            ids,
            what="wells of images",
        )
    }
    return tuple(replace(found[i], dataset_id=datasets.get(i), **places.get(i, {})) for i in ids)


def _dataset_images(gateway: BlitzGateway, ids: Sequence[int]) -> tuple[SourceImage, ...]:
    readable = query.rows(gateway, "select d.id from Dataset d where d.id in (:ids)", ids, what="datasets")
    _require("Dataset", ids, {row[0] for row in readable})
    links = query.rows(
        gateway,
        "select l.parent.id, l.child.id from DatasetImageLink l where l.parent.id in (:ids)",
        ids,
        what="images of datasets",
    )
    position = {dataset_id: place for place, dataset_id in enumerate(ids)}
    first_seen: dict[int, int] = {}
    for dataset_id, image_id in sorted(links, key=lambda link: (position[link[0]], link[1])):
        first_seen.setdefault(image_id, dataset_id)
    empty = [str(i) for i in ids if i not in {link[0] for link in links}]
    if empty:
        raise RequestError(
            f"There is no image in Dataset {', '.join(empty)}.", remedy="Choose datasets that contain images."
        )
    found = _images(gateway, list(first_seen))
    # A link may be readable when its image is not any more.
    _require("Image", list(first_seen), found)
    return tuple(replace(found[image_id], dataset_id=dataset_id) for image_id, dataset_id in first_seen.items())


def _screen_plates(gateway: BlitzGateway, ids: Sequence[int]) -> tuple[PlateIndex, ...]:
    links = query.rows(
        gateway,
        "select s.id, l.child.id from Screen s left outer join s.plateLinks l where s.id in (:ids)",
        ids,
        what="plates of screens",
    )
    _require("Screen", ids, {row[0] for row in links})
    empty = [str(i) for i in ids if all(plate_id is None for screen_id, plate_id in links if screen_id == i)]
    if empty:
        raise RequestError(f"There is no plate in Screen {', '.join(empty)}.", remedy="Choose screens with plates.")
    position = {screen_id: place for place, screen_id in enumerate(ids)}
    screens: dict[int, int] = {}
    for screen_id, plate_id in sorted((row for row in links if row[1]), key=lambda row: (position[row[0]], row[1])):
        screens.setdefault(plate_id, screen_id)
    return _plates(gateway, list(screens), screens)


def _plates(gateway: BlitzGateway, ids: Sequence[int], screens: dict[int, int]) -> tuple[PlateIndex, ...]:
    plates = {
        plate.getId().getValue(): plate
        for plate in query.objects(
            gateway,
            "select p from Plate p left outer join fetch p.plateAcquisitions where p.id in (:ids)",
            ids,
            what="plates",
        )
    }
    _require("Plate", ids, plates)
    _require_download(("Plate", i, plate) for i, plate in plates.items())
    samples = query.rows(
        gateway,
        "select w.plate.id, w.id, w.row, w.column, index(ws), pa.id, i.id"
        " from Well w join w.wellSamples ws left outer join ws.plateAcquisition pa join ws.image i"
        " where w.plate.id in (:ids)",
        ids,
        what="wells of plates",
    )
    empty = [str(i) for i in ids if i not in {sample[0] for sample in samples}]
    if empty:
        raise RequestError(f"There is no image in Plate {', '.join(empty)}.", remedy="Choose plates with images.")
    image_ids = list(dict.fromkeys(sample[6] for sample in samples))
    images = _images(gateway, image_ids)
    _require("Image", image_ids, images)
    return tuple(_plate(plates[i], [s for s in samples if s[0] == i], images, screens.get(i)) for i in ids)


def _plate(plate: Any, samples: list[list[Any]], images: dict[int, SourceImage], screen_id: int | None) -> PlateIndex:
    plate_id = plate.getId().getValue()
    wells: dict[tuple[int, int, int], list[Field]] = {}
    for _, well_id, row, column, index, acquisition_id, image_id in samples:
        image = replace(images[image_id], plate_id=plate_id, well=well_label(row, column), field=index)
        wells.setdefault((row, column, well_id), []).append(Field(index, acquisition_id, image))
    return PlateIndex(
        plate_id=plate_id,
        name=_value(plate.getName()) or str(plate_id),
        rows=axis_names(
            max(_value(plate.getRows()) or 0, 1 + max(row for row, _, _ in wells)),
            "number" if (_value(plate.getRowNamingConvention()) or "").lower() == "number" else "letter",
        ),
        columns=axis_names(
            max(_value(plate.getColumns()) or 0, 1 + max(column for _, column, _ in wells)),
            "letter" if (_value(plate.getColumnNamingConvention()) or "").lower() == "letter" else "number",
        ),
        wells=tuple(
            Well(well_id, row, column, tuple(sorted(fields, key=lambda field: field.index)))
            for (row, column, well_id), fields in sorted(wells.items(), key=lambda item: item[0])
        ),
        acquisitions=tuple(
            sorted((_acquisition(a) for a in plate.copyPlateAcquisitions()), key=lambda a: a.acquisition_id)
        ),
        screen_id=screen_id,
    )


def _acquisition(acquisition: Any) -> Acquisition:
    return Acquisition(
        acquisition_id=acquisition.getId().getValue(),
        name=_value(acquisition.getName()),
        description=_value(acquisition.getDescription()),
        start_ms=_value(acquisition.getStartTime()),
        end_ms=_value(acquisition.getEndTime()),
    )


def _images(gateway: BlitzGateway, ids: Sequence[int]) -> dict[int, SourceImage]:
    """Look images up, by id; two questions. Objects and not values, because of their permissions and units."""
    pixels: dict[int, Any] = {}
    for candidate in query.objects(
        gateway,
        "select p from Pixels p join fetch p.image join fetch p.pixelsType where p.image.id in (:ids) order by p.id",
        ids,
        what="images",
    ):
        pixels.setdefault(candidate.getImage().getId().getValue(), candidate)
    _require_download(("Image", i, p.getImage()) for i, p in pixels.items())
    channels: dict[int, dict[int, Channel]] = {}
    for pixels_id, index, *values in query.rows(
        gateway,
        "select p.id, index(c), lc.name, lc.emissionWave.value, c.red, c.green, c.blue, si.globalMin, si.globalMax"
        " from Pixels p join p.channels c join c.logicalChannel lc left outer join c.statsInfo si"
        " where p.image.id in (:ids)",
        ids,
        what="channels",
    ):
        channels.setdefault(pixels_id, {})[index] = _channel(index, *values)
    return {i: _image(p, channels.get(p.getId().getValue(), {})) for i, p in pixels.items()}


def _image(pixels: Any, channels: dict[int, Channel]) -> SourceImage:
    image_id = pixels.getImage().getId().getValue()
    size_c = pixels.getSizeC().getValue()
    return SourceImage(
        image_id=image_id,
        name=_value(pixels.getImage().getName()) or str(image_id),
        size_t=pixels.getSizeT().getValue(),
        size_c=size_c,
        size_z=pixels.getSizeZ().getValue(),
        size_y=pixels.getSizeY().getValue(),
        size_x=pixels.getSizeX().getValue(),
        pixel_type=pixels.getPixelsType().getValue().getValue(),
        pixels_id=pixels.getId().getValue(),
        pixel_size_x_um=_micrometres(pixels.getPhysicalSizeX()),
        pixel_size_y_um=_micrometres(pixels.getPhysicalSizeY()),
        pixel_size_z_um=_micrometres(pixels.getPhysicalSizeZ()),
        time_increment_s=_seconds(pixels.getTimeIncrement()),
        channels=tuple(channels.get(c) or _channel(c) for c in range(size_c)),
    )


def _channel(
    index: int,
    name: str | None = None,
    emission: float | None = None,
    red: int | None = None,
    green: int | None = None,
    blue: int | None = None,
    minimum: float | None = None,
    maximum: float | None = None,
) -> Channel:
    label = (name or "").strip() or (f"{emission:g}" if emission is not None else str(index))
    if red is None or green is None or blue is None:
        colour = DEFAULT_COLOURS[index % len(DEFAULT_COLOURS)]
    else:
        colour = f"{red & 255:02X}{green & 255:02X}{blue & 255:02X}"
    # OMERO writes 0 to 1 where nobody counted.
    counted = minimum is not None and maximum is not None and minimum < maximum and (minimum, maximum) != (0.0, 1.0)
    return Channel(label, colour, minimum if counted else None, maximum if counted else None)


def _micrometres(length: Any) -> float | None:
    """Convert a length; None for pixels, reference frames and other units without a size, and for nonsense."""
    if length is None or UnitsLength.MICROMETER not in omero.model.LengthI.CONVERSIONS.get(length.getUnit(), {}):
        same = length is not None and length.getUnit() == UnitsLength.MICROMETER
        return _positive(length.getValue()) if same else None
    return _positive(omero.model.LengthI(length, UnitsLength.MICROMETER).getValue())


def _seconds(time: Any) -> float | None:
    if time is None:
        return None
    if time.getUnit() == UnitsTime.SECOND:
        return _positive(time.getValue())
    return _positive(omero.model.TimeI(time, UnitsTime.SECOND).getValue())


def _positive(value: float) -> float | None:
    return float(value) if 0 < value < float("inf") else None


def _value(rtype: Any) -> Any:
    return rtype.getValue() if rtype is not None else None


def _require(data_type: str, wanted: Iterable[int], found: Iterable[int]) -> None:
    missing = sorted(set(wanted) - set(found))
    if missing:
        raise RequestError(
            f"There is no {data_type} {', '.join(map(str, missing))} that you can read in this group.",
            remedy="Check the ids, and that the active group in OMERO is the one that holds the data.",
        )


def _require_download(candidates: Iterable[tuple[str, int, Any]]) -> None:
    restricted = [
        f"{kind} {i}"
        for kind, i, candidate in candidates
        if candidate.getDetails().getPermissions().isRestricted(omero.constants.permissions.BINARYACCESS)
    ]
    if restricted:
        raise NotPermitted(
            f"You may look at {', '.join(restricted)}, but not take the raw data away.",
            remedy="Ask the owner of the group, or an OMERO admin: it is a policy of the server.",
        )
