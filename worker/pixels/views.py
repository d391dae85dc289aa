"""What is exported of each image when not everything is: which of its planes, made into which image."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from worker.errors import RequestError
from worker.pixels.names import MAX_BYTES, safe_stem, without_ending
from worker.pixels.selection import Selection
from worker.pixels.zoom import zoomed, zoomed_size

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from numpy.typing import NDArray

    from worker.pixels.choice import PixelChoice, Sections
    from worker.pixels.image import Channel, SourceImage
    from worker.pixels.plate import PlateIndex, Well

GREY: Final = "FFFFFF"
_NAMED_AT_ONCE: Final = 3
_SUFFIX_BYTES: Final = 60
"""How long the part of a file name may be that tells channels apart; long names of images must not push it out."""
_ROOM_BYTES: Final = 50
"""What a format may add to a name: a well, a number, an extension."""


@dataclass(frozen=True, slots=True)
class Taken:
    """Which planes of an image were taken; numbers from 0, ends included.

    Parameters
    ----------
    t : tuple of int
        First and last time point.
    c : tuple of int
        Channels.
    z : tuple of int
        First and last section.
    """

    t: tuple[int, int]
    c: tuple[int, ...]
    z: tuple[int, int]


@dataclass(frozen=True, slots=True)
class View:
    """An image as it is written, and how its planes come out of the one in OMERO.

    Parameters
    ----------
    source : SourceImage
        The image in OMERO.
    image : SourceImage
        The image that is written: its sizes, channels, physical sizes and name.
    taken : Taken
        What it is made from.
    projected_t, projected_z : bool
        Whether the maximum is taken over time points, or over sections.
    zoom_percent : int
        Its size.
    """

    source: SourceImage
    image: SourceImage
    taken: Taken
    projected_t: bool
    projected_z: bool
    zoom_percent: int

    @property
    def held_bytes(self) -> int:
        """Most that is in memory while a plane is made."""
        return 2 * self.source.plane_bytes + (self.image.plane_bytes if self.zoom_percent != 100 else 0)

    @property
    def read_bytes(self) -> int:
        """How much is read for the whole of it."""
        (first_t, last_t), (first_z, last_z) = self.taken.t, self.taken.z
        return self.source.plane_bytes * (last_t - first_t + 1) * len(self.taken.c) * (last_z - first_z + 1)

    def pixels(
        self, read: Callable[[SourceImage, int, int, int], NDArray[Any]], t: int, c: int, z: int
    ) -> NDArray[Any]:
        """Make a plane; a projection holds two planes of its source at a time, however deep the stack is.

        Parameters
        ----------
        read : callable
            Reads a plane of an image in OMERO by T, C and Z.
        t, c, z : int
            Place of the plane in the image that is written.

        Returns
        -------
        numpy.ndarray
            Shape (Y, X) of that image.
        """
        planes = (
            read(self.source, source_t, self.taken.c[c], source_z)
            for source_t in _behind(self.taken.t, t, projected=self.projected_t)
            for source_z in _behind(self.taken.z, z, projected=self.projected_z)
        )
        plane = next(planes)
        for other in planes:
            # What is not a number in one section is left out, as long as there is a number in another.
            np.fmax(plane, other, out=plane)
        return zoomed(plane, self.zoom_percent)


@dataclass(frozen=True, slots=True)
class Chosen:
    """A selection as it is written.

    Parameters
    ----------
    selection : Selection
        Its images and plates; an image may be in it several times, in parts.
    views : tuple of View
        One for each of its images, in their order.
    """

    selection: Selection
    views: tuple[View, ...]


def choose(
    selection: Selection, choice: PixelChoice, viewed: Mapping[int, tuple[int, int]], *, drop: tuple[str, ...] = ()
) -> Chosen:
    """Apply a choice to a selection.

    Parameters
    ----------
    selection : Selection
        What a person selected in OMERO.
    choice : PixelChoice
        What they want of it.
    viewed : mapping of int to tuple of int
        (Z, T) that was viewed last, by image, as `last_viewed` gives it; only needed where that is chosen.
    drop : tuple of str
        Endings, in lower case, that are taken off a name before that of a channel is added.

    Returns
    -------
    Chosen
        Merged images, then those of single channels, of each image; plates likewise, those of single channels with the
        fields that have the channel.

    Raises
    ------
    RequestError
        A section, time point or channel is chosen that an image does not have.
    """
    _require(selection, choice)
    images: list[View] = []
    for image in selection.images:
        if choice.merged:
            images.append(_merged(image, choice, viewed))
        if choice.individual_channels:
            images.extend(
                _view(image, choice, (c,), viewed, suffix=_suffix(label), drop=drop, alone=True)
                for (label, _), c in _single_channels(image, choice).items()
            )
    plates: list[PlateIndex] = []
    fields: list[View] = []
    for plate in selection.plates:
        if choice.merged:
            _add_plate(plates, fields, plate, partial(_merged, choice=choice, viewed=viewed))
        if choice.individual_channels:
            for single in dict.fromkeys(
                single for _, field in plate.fields() for single in _single_channels(field.image, choice)
            ):
                named = replace(plate, name=_named(plate.name, _suffix(single[0]), drop))
                _add_plate(plates, fields, named, partial(_of_channel, single=single, choice=choice, viewed=viewed))
    return Chosen(Selection(tuple(view.image for view in images), tuple(plates)), (*images, *fields))


def _add_plate(
    plates: list[PlateIndex], views: list[View], plate: PlateIndex, view_of: Callable[[SourceImage], View | None]
) -> None:
    """Add a plate as it is written, and the views of its fields in their order."""
    wells: list[Well] = []
    for well in plate.wells:
        kept = [(field, view) for field in well.fields if (view := view_of(field.image)) is not None]
        views.extend(view for _, view in kept)
        if kept:
            wells.append(replace(well, fields=tuple(replace(field, image=view.image) for field, view in kept)))
    plates.append(replace(plate, wells=tuple(wells)))


def _merged(image: SourceImage, choice: PixelChoice, viewed: Mapping[int, tuple[int, int]]) -> View:
    return _view(image, choice, _channels(image, choice), viewed)


def _of_channel(
    image: SourceImage, single: tuple[str, int], choice: PixelChoice, viewed: Mapping[int, tuple[int, int]]
) -> View | None:
    channel = _single_channels(image, choice).get(single)
    return None if channel is None else _view(image, choice, (channel,), viewed, alone=True)


def _view(
    image: SourceImage,
    choice: PixelChoice,
    channels: tuple[int, ...],
    viewed: Mapping[int, tuple[int, int]],
    *,
    suffix: str = "",
    drop: tuple[str, ...] = (),
    alone: bool = False,
) -> View:
    """Describe the image that is written."""
    default_z, default_t = viewed.get(image.image_id, (0, 0))
    z = _range(choice.z, image.size_z, default_z)
    t = _range(choice.t, image.size_t, default_t)
    scale = 100 / choice.zoom_percent
    written = replace(
        image,
        name=_named(image.name, suffix, drop) if suffix else image.name,
        size_t=1 if choice.t == "max" else t[1] - t[0] + 1,
        size_c=len(channels),
        size_z=1 if choice.z == "max" else z[1] - z[0] + 1,
        size_y=zoomed_size(image.size_y, choice.zoom_percent),
        size_x=zoomed_size(image.size_x, choice.zoom_percent),
        pixel_size_x_um=None if image.pixel_size_x_um is None else image.pixel_size_x_um * scale,
        pixel_size_y_um=None if image.pixel_size_y_um is None else image.pixel_size_y_um * scale,
        # A projection has neither a thickness nor a duration.
        pixel_size_z_um=None if choice.z == "max" else image.pixel_size_z_um,
        time_increment_s=None if choice.t == "max" else image.time_increment_s,
        channels=tuple(_shown(image.channels[c], grey=alone and choice.grey) for c in channels),
    )
    return View(image, written, Taken(t, channels, z), choice.t == "max", choice.z == "max", choice.zoom_percent)


def _shown(channel: Channel, *, grey: bool) -> Channel:
    return replace(channel, colour=GREY) if grey else channel


def _channels(image: SourceImage, choice: PixelChoice) -> tuple[int, ...]:
    """The chosen channels of an image, in its own order."""
    wanted = {_key(name) for name in choice.channel_names}
    return tuple(c for c, channel in enumerate(image.channels) if not wanted or _key(channel.label) in wanted)


def _single_channels(image: SourceImage, choice: PixelChoice) -> dict[tuple[str, int], int]:
    """The chosen channels by label, and which of that label it is, as nothing keeps labels apart."""
    singles: dict[tuple[str, int], int] = {}
    seen: Counter[str] = Counter()
    for c in _channels(image, choice):
        label = image.channels[c].label
        singles[label, seen[label]] = c
        seen[label] += 1
    return singles


def _key(name: str) -> str:
    return name.strip().replace("_", " ").casefold()


def _suffix(label: str) -> str:
    return "_" + label.replace(" ", "_")


def _named(name: str, suffix: str, drop: tuple[str, ...]) -> str:
    """Add a channel to a name, so that it is there in the name of the file however long both are."""
    part = safe_stem("x" + suffix, max_bytes=_SUFFIX_BYTES)[1:]
    room = MAX_BYTES - _ROOM_BYTES - len(part.encode())
    return safe_stem(without_ending(name, drop), max_bytes=room) + part


def _range(sections: Sections, size: int, default: int) -> tuple[int, int]:
    """First and last of the chosen sections, from 0."""
    if isinstance(sections, tuple):
        return sections[0] - 1, sections[1] - 1
    return (default, default) if sections == "default" else (0, size - 1)


def _behind(taken: tuple[int, int], number: int, *, projected: bool) -> Iterator[int]:
    """The sections of the source behind one that is written."""
    first, last = taken
    return iter(range(first, last + 1) if projected else (first + number,))


def _require(selection: Selection, choice: PixelChoice) -> None:
    """Find out before anything is read whether every image has what is chosen."""
    for axis, what, sections in (("Z", "sections", choice.z), ("T", "time points", choice.t)):
        if not isinstance(sections, tuple):
            continue
        last = sections[1]
        short = {
            f"image {image.image_id} ({image.name}) has {size}": size
            for image in selection.all_images()
            if (size := image.size_z if axis == "Z" else image.size_t) < last
        }
        if short:
            raise RequestError(
                f"{axis} from {sections[0]} to {last} is beyond the {what} of {_some(short)}.",
                remedy=f"Choose numbers from 1 to {min(short.values())}, or leave these images out.",
            )
    for name in choice.channel_names:
        lacking = {
            f"image {image.image_id} ({image.name}), which has {', '.join(repr(c.label) for c in image.channels)}": 0
            for image in selection.all_images()
            if _key(name) not in {_key(channel.label) for channel in image.channels}
        }
        if lacking:
            raise RequestError(
                f"There is no channel {name!r} in {_some(lacking)}.", remedy="Choose channels that all images have."
            )


def _some(images: Mapping[str, int]) -> str:
    named = list(images)[:_NAMED_AT_ONCE]
    more = len(images) - len(named)
    return "; ".join(named) + (f"; and {more} more" if more else "")
