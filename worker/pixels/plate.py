"""A whole plate as one immutable value: wells, fields, acquisitions and the image behind each field."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from worker.pixels.image import SourceImage


@dataclass(frozen=True, slots=True)
class Acquisition:
    """One run of the microscope over the plate.

    Parameters
    ----------
    acquisition_id : int
        Id of the PlateAcquisition.
    name : str or None
        Its name.
    description : str or None
        Its description.
    start_ms, end_ms : int or None
        When it began and ended, in milliseconds since 1970.
    """

    acquisition_id: int
    name: str | None = None
    description: str | None = None
    start_ms: int | None = None
    end_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Field:
    """A field of view of a well.

    Parameters
    ----------
    index : int
        Its number in the well, from 0; numbers may be missing.
    acquisition_id : int or None
        The acquisition it belongs to.
    image : SourceImage
        Its image.
    """

    index: int
    acquisition_id: int | None
    image: SourceImage


@dataclass(frozen=True, slots=True)
class Well:
    """A well that has at least one image.

    Parameters
    ----------
    well_id : int
        Id of the Well.
    row, column : int
        Its place, from 0.
    fields : tuple of Field
        Its fields, by number.
    """

    well_id: int
    row: int
    column: int
    fields: tuple[Field, ...]

    @property
    def label(self) -> str:
        """A letter and two digits: ``A01``, ``AF48``."""
        return well_label(self.row, self.column)


@dataclass(frozen=True, slots=True)
class PlateIndex:
    """Everything about a plate but its pixels.

    Parameters
    ----------
    plate_id : int
        Id of the Plate.
    name : str
        Its name.
    rows, columns : tuple of str
        Names of all rows and columns of the grid, empty ones too, by the plate's naming convention.
    wells : tuple of Well
        Wells that have images, by row, then column.
    acquisitions : tuple of Acquisition
        By id.
    screen_id : int or None
        The screen in which it was found.
    """

    plate_id: int
    name: str
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    wells: tuple[Well, ...]
    acquisitions: tuple[Acquisition, ...] = ()
    screen_id: int | None = None

    def fields(self) -> Iterator[tuple[Well, Field]]:
        """Walk through all fields, by well, then number.

        Yields
        ------
        tuple of Well and Field
            A field and the well that it belongs to.
        """
        for well in self.wells:
            for field in well.fields:
                yield well, field

    @property
    def field_count(self) -> int:
        """The largest number of fields in a well."""
        return max((len(well.fields) for well in self.wells), default=0)

    def fields_of(self, acquisition_id: int) -> int:
        """Count the largest number of fields that an acquisition has in a well.

        Parameters
        ----------
        acquisition_id : int
            Id of the PlateAcquisition.

        Returns
        -------
        int
            0 if it has none.
        """
        return max((sum(f.acquisition_id == acquisition_id for f in well.fields) for well in self.wells), default=0)


def letters(index: int) -> str:
    """Name a row by letters, as OMERO does.

    Parameters
    ----------
    index : int
        From 0.

    Returns
    -------
    str
        ``A`` to ``Z``, then ``AA``, ``AB``, ...

    Examples
    --------
    >>> letters(0), letters(25), letters(26), letters(31)
    ('A', 'Z', 'AA', 'AF')
    """
    name = ""
    index += 1
    while index:
        index, rest = divmod(index - 1, 26)
        name = chr(ord("A") + rest) + name
    return name


def axis_names(count: int, convention: str) -> tuple[str, ...]:
    """Name the rows or columns of a plate.

    Parameters
    ----------
    count : int
        How many there are.
    convention : str
        OMERO's naming convention: ``letter``, or else numbers from 1.

    Returns
    -------
    tuple of str
        Names in order.
    """
    if convention == "letter":
        return tuple(letters(index) for index in range(count))
    return tuple(str(index + 1) for index in range(count))


def well_label(row: int, column: int) -> str:
    """Name a well by a letter and two digits, whatever the plate's own convention is.

    Parameters
    ----------
    row, column : int
        Its place, from 0.

    Returns
    -------
    str
        ``A01``, ``AF48``.
    """
    return f"{letters(row)}{column + 1:02d}"
