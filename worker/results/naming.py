"""Names of imported images: the pattern that a person may give, and what its variables stand for.

===================  =======================================================================
``{original_file}``  name of the image that was analysed, without its extension
``{original_ext}``   extension of that name, without the dot
``{file}``           name of the result file, without its extension
``{ext}``            extension of the result file, without the dot (``tif``, ``ome.tiff``)
===================  =======================================================================

For a result whose image is not known, ``{original_file}`` and ``{original_ext}`` are those of the result itself.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from worker.errors import RequestError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

NAME_LENGTH = 255
"""Most characters of a name in OMERO: its database has varchar(255) for names of images, containers and files."""

VARIABLES = ("original_file", "original_ext", "file", "ext")

_VARIABLE = re.compile(r"\{([^{}]*)\}")
_UNSHOWN = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
_COMPOUND = re.compile(r"\.(ome\.(?:tiff?|zarr)|tar\.gz|nii\.gz)$", re.IGNORECASE)


def check_pattern(pattern: str) -> None:
    """Check a pattern before anything is computed with it.

    Parameters
    ----------
    pattern : str
        What the person gave.

    Raises
    ------
    RequestError
        If it is blank or has a variable that does not exist.
    """
    unknown = [name for name in _VARIABLE.findall(pattern) if name not in VARIABLES]
    if unknown or not pattern.strip():
        what = f"has the unknown variable {{{unknown[0]}}}" if unknown else "is empty"
        known = ", ".join(f"{{{name}}}" for name in VARIABLES)
        raise RequestError(
            f"The pattern {pattern!r} for the names of images {what}.", remedy=f"Variables are: {known}."
        )


def rename(pattern: str | None, path: str, original: str | None) -> str:
    """Name one imported image.

    Parameters
    ----------
    pattern : str or None
        The pattern; None keeps the name of the file, and so does one that comes to nothing for it (``{original_ext}``).
    path : str
        Path of the result file.
    original : str or None
        Name, in OMERO, of the image that it was made from, if known.

    Returns
    -------
    str
        The name.
    """
    name = PurePosixPath(path).name
    if pattern is None:
        return name
    stem, ext = split_name(name)
    original_stem, original_ext = split_name(original) if original is not None else (stem, ext)
    values: Mapping[str, str] = dict(zip(VARIABLES, (original_stem, original_ext, stem, ext), strict=True))
    # Not str.format: a pattern is a person's text, and format would let it reach into objects.
    return _VARIABLE.sub(lambda found: values[found[1]], pattern).strip() or name


def split_name(name: str) -> tuple[str, str]:
    """Split a file name into stem and extension, keeping extensions like ``ome.tiff`` whole.

    Parameters
    ----------
    name : str
        A file name without folders.

    Returns
    -------
    tuple of str
        Stem and extension (without its dot; empty if there is none).
    """
    compound = _COMPOUND.search(name)
    if compound and compound.start():
        return name[: compound.start()], compound[1]
    stem, dot, ext = name.rpartition(".")
    # "Exp. 12 final" has a dot but no extension.
    if not dot or not stem or not ext.isalnum() or len(ext) > 5:
        return name, ""
    return stem, ext


def flat_names(paths: Iterable[str]) -> dict[str, str]:
    """Name files for a place where there are no folders.

    Parameters
    ----------
    paths : Iterable of str
        Different paths, with ``/``.

    Returns
    -------
    dict
        Path to name: its last part; where several have the same, with its folders before it (``a/m.txt``: ``a_m.txt``).
    """
    paths = tuple(paths)
    names = Counter(PurePosixPath(path).name for path in paths)
    taken = {name for name, count in names.items() if count == 1}
    return {
        path: name if names[name] == 1 else distinct(path.replace("/", "_"), taken)
        for path in paths
        for name in (PurePosixPath(path).name,)
    }


def distinct(name: str, taken: set[str]) -> str:
    """Make a name fit, and differ from those taken, and take it.

    Parameters
    ----------
    name : str
        The name wanted.
    taken : set of str
        Names in use; the answer is added.

    Returns
    -------
    str
        ``name``, or ``name_2`` and so on, the number before the extension; shortened if it is too long for OMERO.
    """
    stem, ext = split_name(name)
    count, answer = 1, fitting(name)
    while answer in taken:
        count += 1
        answer = fitting(f"{stem}_{count}.{ext}" if ext else f"{stem}_{count}")
    taken.add(answer)
    return answer


def fitting(name: str, limit: int = NAME_LENGTH) -> str:
    """Shorten a name to what OMERO's database holds.

    Parameters
    ----------
    name : str
        The name wanted.
    limit : int
        Most characters that it may have.

    Returns
    -------
    str
        The name; of one that is too long, beginning and end with an ellipsis between them, and its extension. Names
        that differ in the middle alone get a mark each, so that they go on to differ. Line breaks, other control
        characters and those that turn the direction of writing become ``_``: OMERO.web could not offer such a file for
        download, and nobody could trust what it shows.
    """
    name = _UNSHOWN.sub("_", name.encode("utf-8", "replace").decode())
    if len(name) <= limit:
        return name
    mark = f"…{hashlib.sha256(name.encode()).hexdigest()[:6]}…"
    stem, ext = split_name(name)
    end = f"{stem[-limit // 4 :]}.{ext}" if ext else stem[-limit // 4 :]
    return f"{stem[: limit - len(mark) - len(end)]}{mark}{end}"
