"""What a run knows that the rows of a table can be about: the analysed images and their surroundings, its ROIs."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from worker.results.model import SourceFile


@dataclass(frozen=True, slots=True)
class Well:
    """A well of an analysed plate.

    Parameters
    ----------
    plate_id, well_id : int
        Ids of its plate and its own.
    row, column : int
        Where it is, from 0.
    """

    plate_id: int
    well_id: int
    row: int
    column: int


@dataclass(frozen=True, slots=True)
class Known:
    """What rows can be about.

    Parameters
    ----------
    sources : Sequence of SourceFile
        What was analysed.
    wells : Sequence of Well
        The wells of the analysed plates.
    well_of_image : Mapping
        Id of an analysed image to the id of its well.
    plates, datasets : Mapping
        Names of the analysed plates and datasets by id.
    rois : Mapping
        (Id of an analysed image, number of a label on it) to the ids of the ROIs that this run made of it.
    """

    sources: Sequence[SourceFile] = ()
    wells: Sequence[Well] = ()
    well_of_image: Mapping[int, int] = field(default_factory=dict)
    plates: Mapping[int, str] = field(default_factory=dict)
    datasets: Mapping[int, str] = field(default_factory=dict)
    rois: Mapping[tuple[int, int], Collection[int]] = field(default_factory=dict)
