"""Names and colours of a result's channels: its own, else those of the image that was analysed."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Final

from worker.results.labels import LABEL_WORDS

if TYPE_CHECKING:
    from worker.results.readers.model import FileChannel, FileImage
    from worker.results.surroundings import AnalysedImage

_NUMBERED: Final = re.compile(r"(channel|chan|ch|c)?[\s_:.-]*\d*([:.]\d+)*", re.IGNORECASE)
"""What programs call channels that have no name: ``Channel 0``, ``C:1``, ``ch2``, ``3``, or nothing."""


def channels_of(image: FileImage, source: AnalysedImage | None) -> tuple[FileChannel, ...]:
    """Decide what the channels of a result are called, and in which colours they are shown.

    Parameters
    ----------
    image : FileImage
        The result.
    source : AnalysedImage or None
        What it was made from, if known.

    Returns
    -------
    tuple of FileChannel
        One for each of its channels, or none. Names that the analysis gave beat those of the source, which beat mere
        numbers. A label image has none: what it holds was never in a channel.
    """
    if image.label or _called_labels(image):
        return ()
    theirs = source.channels if source is not None and len(source.channels) == image.size_c else ()
    if not theirs or not _named(image.channels):
        return theirs or image.channels
    return tuple(
        own if own.colour_rgb else replace(own, colour_rgb=their.colour_rgb)
        for own, their in zip(image.channels, theirs, strict=True)
    )


def _called_labels(image: FileImage) -> bool:
    """Whether a file that cannot say so holds labels, to judge by its name and type."""
    name = PurePosixPath(image.file).name.lower()
    return image.size_c == 1 and image.dtype.kind in "iub" and any(word in name for word in LABEL_WORDS)


def _named(channels: tuple[FileChannel, ...]) -> bool:
    return any(not _NUMBERED.fullmatch(channel.name.strip()) for channel in channels)
