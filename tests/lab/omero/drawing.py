"""From pixels to pictures."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class ChannelView:
    """How a channel is shown.

    Parameters
    ----------
    active : bool
        Whether it is shown at all.
    start, end : float
        The values that are shown darkest and brightest.
    colour : tuple of int
        Red, green, blue of the brightest, 0 to 255.
    coefficient : float
        Exponent of the transfer function; 1 is linear.
    """

    active: bool
    start: float
    end: float
    colour: tuple[int, int, int]
    coefficient: float = 1.0


def draw(planes: Sequence[NDArray[Any]], views: Sequence[ChannelView], *, grey: bool) -> NDArray[np.uint8]:
    """Draw planes on top of each other.

    Parameters
    ----------
    planes : sequence of ndarray
        One plane of each channel, (Y, X).
    views : sequence of ChannelView
        How each is shown.
    grey : bool
        Show the first active channel alone, in grey.

    Returns
    -------
    ndarray
        The picture, (Y, X, 3).
    """
    picture = np.zeros((*planes[0].shape, 3), np.float32)
    for plane, view in zip(planes, views, strict=True):
        if not view.active:
            continue
        span = (view.end - view.start) or 1.0
        level = np.clip((plane.astype(np.float32) - view.start) / span, 0, 1) ** view.coefficient
        if grey:
            picture += level[..., np.newaxis] * 255
            break
        picture += level[..., np.newaxis] * np.asarray(view.colour, np.float32)
    return np.clip(picture, 0, 255).astype(np.uint8)


def jpeg(picture: NDArray[np.uint8], quality: float = 0.85) -> bytes:
    """Return a picture as JPEG; the quality is between 0 and 1."""
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "JPEG", quality=int(quality * 100) or 85)
    return file.getvalue()


def thumbnail(picture: NDArray[np.uint8], width: int, height: int) -> bytes:
    """Return a picture in another size, as JPEG."""
    small = Image.fromarray(picture).resize((max(1, width), max(1, height)), Image.Resampling.BILINEAR)
    return jpeg(np.asarray(small))
