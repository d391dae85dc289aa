"""Which result images hold labels: in each pixel the number of the object that it belongs to.

Labels inside an OME-Zarr always do. Of other images of one source, those that can hold labels by their type are looked
at: the one that a person's pattern names, else the only one, else the one whose name says so. If several are left,
none is taken: which one was meant is not for us to guess. Images of a type for fractions may hold labels too, as some
programs know no other type, but count only where there is no other image. What an image holds has the last word: a
picture is recognised by its boundaries, which are everywhere, or by its fractions.
"""

from __future__ import annotations

import fnmatch
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from worker.errors import ResultsError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from worker.results.outlines import Boundaries
    from worker.results.readers.model import FileImage

LABEL_WORDS: Final = ("mask", "label", "segment", "instance", "prediction")
"""What the names of label images have in them."""

_CLASSES: Final = 16
"""Up to so many labels may stand for kinds of tissue instead of objects, and have any number of parts."""

_PARTS_OF_AN_OBJECT: Final = 8
"""Objects have fewer parts than this, on the average; the grey values of a picture have many more."""


_EXACT: Final = 2**53
"""Below it, every whole number has a float64 of its own."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """An image among the results that may hold labels.

    Parameters
    ----------
    path : str
        Path of the result below the output folder: a file, or the folder of an OME-Zarr.
    index : int
        Which of the images in it, from 0.
    name : str
        Its name inside of it, if it has one.
    declared : bool
        Whether the result itself says that it holds labels.
    fractions : bool
        Whether its type is one for fractions; its values may be whole numbers all the same.
    refusal : str
        Why it can hold none; empty if it can.
    """

    path: str
    index: int
    name: str = ""
    declared: bool = False
    fractions: bool = False
    refusal: str = ""

    def __str__(self) -> str:
        return f"{self.path} ({self.name})" if self.name else self.path


def candidate(path: str, index: int, image: FileImage, *, named: bool) -> Candidate:
    """Look at what a result says about one of its images.

    Parameters
    ----------
    path : str
        Path of the result.
    index : int
        Which of its images.
    image : FileImage
        The image; its pixels are not read.
    named : bool
        Whether its own name counts: it is not the only one there.

    Returns
    -------
    Candidate
        The image as a candidate.
    """
    refusal = ""
    if image.dtype.kind not in "iubf":
        refusal = f"its pixels are of type {image.dtype.newbyteorder('=').name}, not whole numbers"
    elif image.size_c != 1:
        refusal = f"it has {image.size_c} channels"
    return Candidate(path, index, image.name if named else "", image.label, image.dtype.kind == "f", refusal)


def choose_labels(candidates: Sequence[Candidate], pattern: str) -> tuple[Candidate, ...]:
    """Choose the label images of one source.

    Parameters
    ----------
    candidates : Sequence of Candidate
        All images that were made from it.
    pattern : str
        What the person gave: a part of the name, or a pattern with ``*``, ``?`` and ``[]`` for all of it; upper and
        lower case are the same. Empty: find out.

    Returns
    -------
    tuple of Candidate
        One, or all label images of an OME-Zarr.

    Raises
    ------
    ResultsError
        If there is none, or it is not clear which one.
    """
    named = [each for each in candidates if _matches(each, pattern)] if pattern else list(candidates)
    if not named:
        raise ResultsError(
            f"None of its results ({_listed(candidates)}) has a name like {pattern!r}.",
            remedy="Give a part of the names of the label images.",
        )
    able = [each for each in named if not each.refusal]
    if not able:
        raise ResultsError(f"{'; '.join(f'{each} holds no labels: {each.refusal}' for each in named)}.")
    declared = [each for each in able if each.declared]
    if declared:
        return tuple(declared)
    able = [each for each in able if not each.fractions] or able
    if len(able) > 1 and not pattern:
        able = [each for each in able if any(word in _name(each) for word in LABEL_WORDS)] or able
    if len(able) > 1:
        raise ResultsError(
            f"It is not clear which of its results ({_listed(able)}) holds the labels.",
            remedy="Give a part of the name that only this one has as the label image pattern.",
        )
    return tuple(able)


def check_values(found: Boundaries) -> None:
    """Check that the values of a plane are labels, and not the brightness of a picture.

    Parameters
    ----------
    found : Boundaries
        The boundaries on the plane.

    Raises
    ------
    ResultsError
        If a value is negative, or each of many values is in many places.
    """
    if len(found) and found.labels[0] < 0:
        raise ResultsError(f"It holds no labels: it has negative values ({found.labels[0]}).")
    if len(found) > _CLASSES and found.parts > _PARTS_OF_AN_OBJECT * len(found):
        raise ResultsError(
            f"It looks like a picture, not like labels: its {len(found):,} values lie in {found.parts:,} places."
        )


def whole_numbers(values: NDArray[Any]) -> NDArray[Any]:
    """Give the values of a label image as whole numbers, of whatever type they were stored.

    Parameters
    ----------
    values : numpy.ndarray
        Some of its pixels.

    Returns
    -------
    numpy.ndarray
        The same as integers.

    Raises
    ------
    ResultsError
        If a value is no whole number, or so large that not every one has a number of its own.
    """
    if values.dtype.kind != "f":
        return values
    numbers = values.astype(np.float64)
    wrong = numbers[~(np.abs(numbers) < _EXACT) | (numbers != np.rint(numbers))]
    if wrong.size:
        raise ResultsError(
            f"It holds no labels: it has values that are not whole numbers ({wrong[0]:g}).",
            remedy="Let the analysis write the numbers of objects as whole numbers.",
        )
    return numbers.astype(np.int64)


def _matches(each: Candidate, pattern: str) -> bool:
    wanted = pattern.strip().lower()
    names = {PurePosixPath(each.path).name.lower(), _name(each)} | ({each.name.lower()} if each.name else set())
    if any(sign in wanted for sign in "*?["):
        return any(fnmatch.fnmatchcase(name, wanted) for name in names)
    return any(wanted in name for name in names)


def _name(each: Candidate) -> str:
    return f"{PurePosixPath(each.path).name} {each.name}".lower()


def _listed(candidates: Sequence[Candidate]) -> str:
    shown = ", ".join(str(each) for each in candidates[:5])
    return f"{shown} and {len(candidates) - 5} more" if len(candidates) > 5 else shown
