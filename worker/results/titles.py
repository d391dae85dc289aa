"""Titles of columns that name something: which they are, and how programs write them.

Upper and lower case, blanks and punctuation do not count, and neither do ``Metadata_`` and ``Image_`` in front, which
CellProfiler puts there.
"""

from __future__ import annotations

import re
from typing import Final

IMAGE: Final = frozenset(
    {
        *("image", "images", "imageid", "imagename", "imagefile", "imagefilename", "imagepath", "omeroimageid"),
        *("file", "filename", "filepath", "source", "sourceimage", "sourcefile", "sourceimageid"),
    }
)
OBJECT: Final = frozenset({"object", "objectid", "objectnumber"})

_TITLES: Final = {
    "image": IMAGE,
    "image number": frozenset({"imagenumber"}),
    "well": frozenset({"well", "wellname", "wellid", "wellposition", "welllabel"}),
    "well row": frozenset({"row", "wellrow", "platerow"}),
    "well column": frozenset({"column", "col", "wellcolumn", "wellcol", "platecolumn", "platecol"}),
    "plate": frozenset({"plate", "platename", "plateid"}),
    "dataset": frozenset({"dataset", "datasetname", "datasetid"}),
    "roi": frozenset(
        {
            *("roi", "roiid", "roiname", "roilabel", "label", "labelid", "labelnumber", "labelvalue", "objectlabel"),
            *OBJECT,
        }
    ),
    "roi id": frozenset({"roi", "roiid"}),
    "no label": frozenset({"roiid"}),
    "object": OBJECT,
}
_IN_FRONT: Final = re.compile(r"^(?:image_(?=metadata_|filename_))?(?:metadata_)?", re.IGNORECASE)


def is_titled(title: str, kind: str) -> bool:
    """Say whether a column has the title of one that names something.

    Parameters
    ----------
    title : str
        What stands in the header.
    kind : str
        What it would name: ``image``; ``image number`` (a number that a program has given it); ``well``, ``well row``,
        ``well column``; ``plate``; ``dataset``; ``roi`` (a ROI or a label), ``roi id`` (one that may be an id), ``no
        label`` (one that is nothing but an id); ``object`` (one of the objects of an image, by a number that a program
        has given it).

    Returns
    -------
    bool
        True if it has.
    """
    bare = _IN_FRONT.sub("", title.strip(), count=1).lower()
    if kind == "image" and bare.startswith("filename_"):
        # CellProfiler: FileName_DNA, FileName_Actin.
        return True
    return "".join(character for character in bare if character.isalnum()) in _TITLES[kind]
