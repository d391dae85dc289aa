"""Which pixels of an image are exported: its channels, its sections, its time points, and at what size.

Only the standard library: dialogs and requests use it too.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any, Final, Literal

from worker.errors import RequestError

if TYPE_CHECKING:
    from collections.abc import Mapping

Sections = Literal["default", "all", "max"] | tuple[int, int]
"""The ones last viewed, all, their maximum projection, or those from the first to the last number, counted from 1."""

WORDS: Final = ("default", "all", "max")
ZOOMS: Final = (25, 50, 100, 200, 300, 400)
"""Sizes in percent; see `worker.pixels.zoom` for how they come about."""


@dataclass(frozen=True, slots=True)
class PixelChoice:
    """What a person wants of each image; by default everything.

    Values are always those that OMERO stores, never rendered ones.

    Parameters
    ----------
    merged : bool
        Whether to write an image with all (chosen) channels.
    individual_channels : bool
        Whether to write an image for each (chosen) channel, in a file of its own.
    grey : bool
        Whether those are shown grey; otherwise in the colour that their channel has in OMERO. Values are the same.
    channel_names : tuple of str
        Names of the channels to take; none means all of them. Case and underscores for blanks do not matter.
    z : str or tuple of int
        ``default`` takes the section that was viewed last in OMERO, ``all`` each, ``max`` the maximum projection of
        all; (first, last) takes these, counted from 1, both included.
    t : str or tuple of int
        The same for time points.
    zoom_percent : int
        Size of the images that are written; one of `ZOOMS`.

    Raises
    ------
    RequestError
        A value makes no sense for any image.
    """

    merged: bool = True
    individual_channels: bool = False
    grey: bool = False
    channel_names: tuple[str, ...] = ()
    z: Sections = "all"
    t: Sections = "all"
    zoom_percent: int = 100

    def __post_init__(self) -> None:
        if not (self.merged or self.individual_channels):
            raise RequestError(
                "Neither the merged image nor individual channels are chosen.", remedy="Choose at least one of them."
            )
        for axis, value in (("Z", self.z), ("T", self.t)):
            _check_sections(axis, value)
        if not isinstance(self.zoom_percent, int) or self.zoom_percent not in ZOOMS:
            raise RequestError(
                f"Zoom is {self.zoom_percent} %.", remedy=f"It must be one of {', '.join(f'{z} %' for z in ZOOMS)}."
            )
        if any(not name.strip() for name in self.channel_names):
            raise RequestError("A channel name is empty.", remedy="Leave the names out to take all channels.")

    @property
    def whole(self) -> bool:
        """Whether images are exported as they are."""
        return self == PixelChoice(grey=self.grey)

    def to_json(self) -> dict[str, Any]:
        """Give plain values.

        Returns
        -------
        dict
            As `from_json` takes them.
        """
        data = asdict(self)
        return {name: list(value) if isinstance(value, tuple) else value for name, value in data.items()}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> PixelChoice:
        """Read back what `to_json` gave; what is left out is as by default.

        Parameters
        ----------
        data : mapping
            Plain values by field.

        Returns
        -------
        PixelChoice
            The choice.

        Raises
        ------
        RequestError
            A field is not known, or its value makes no sense.
        """
        unknown = sorted(set(data) - {field.name for field in fields(cls)})
        if unknown:
            raise RequestError(f"A choice of pixels has no field {', '.join(unknown)}.")
        values: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in data.items()
        }
        for name in ("merged", "individual_channels", "grey"):
            if not isinstance(values.get(name, False), bool):
                raise RequestError(f"{name} is {values[name]!r}.", remedy="It must be true or false.")
        names = values.get("channel_names", ())
        if not isinstance(names, tuple) or not all(isinstance(name, str) for name in names):
            raise RequestError(f"channel_names is {names!r}.", remedy="It must be a list of names.")
        return cls(**values)


def _check_sections(axis: str, value: object) -> None:
    if isinstance(value, str) and value in WORDS:
        return
    if (
        not isinstance(value, tuple)
        or len(value) != 2
        or not all(isinstance(number, int) and not isinstance(number, bool) for number in value)
    ):
        raise RequestError(
            f"{axis} is {value!r}.", remedy=f"It must be one of {', '.join(WORDS)}, or a first and a last number."
        )
    first, last = value
    if first < 1 or last < first:
        raise RequestError(
            f"{axis} is from {first} to {last}.", remedy="Numbers count from 1, and the first is not above the last."
        )
