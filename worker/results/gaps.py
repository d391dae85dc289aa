"""What a plate of results has nothing of: which of the analysed fields, well by well."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from worker.results.wellnames import letters

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from worker.results.surroundings import WellPlace

_NAMED: Final = 96
"""How many wells are named: all of an ordinary plate."""


def describe_gaps(name: str, analysed: Mapping[int, WellPlace], placed: Collection[int]) -> str:
    """Say which analysed fields a plate has no results of.

    Parameters
    ----------
    name : str
        Name of the plate of results.
    analysed : Mapping
        The analysed images of one plate, by id, and where they are in it.
    placed : Collection of int
        Those that there are results of.

    Returns
    -------
    str
        Sentences for the person; empty if there are results of all.
    """
    missing: dict[tuple[int, int], list[int]] = {}
    there: dict[tuple[int, int], list[int]] = {}
    for image_id, place in analysed.items():
        (there if image_id in placed else missing).setdefault((place.row, place.column), []).append(place.field + 1)
    if not missing:
        return ""
    named = [
        f"{letters(row)}{column + 1}" + (f" (field {_listed(fields)})" if (row, column) in there else "")
        for (row, column), fields in sorted(missing.items())
    ]
    more = f" and {len(named) - _NAMED} more wells" if len(named) > _NAMED else ""
    count = sum(len(fields) for fields in missing.values())
    said = (
        f"Plate {name} has no result of {count} of the {len(analysed)} analysed fields:"
        f" {', '.join(named[:_NAMED])}{more}."
    )
    if any(min(fields) < max(there.get(well, ()), default=0) for well, fields in missing.items()):
        said += (
            " OMERO numbers the fields of a well without gaps, so those behind a missing one have moved up:"
            " the description of each image says which one it was made from."
        )
    return said


def _listed(fields: Iterable[int]) -> str:
    return ", ".join(str(each) for each in sorted(fields))
