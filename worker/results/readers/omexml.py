"""What OME-XML says about images: their names, the size of their pixels, their channels.

Source: the OME data model, https://docs.openmicroscopy.org/ome-model/.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from dataclasses import dataclass

from worker.results.readers.model import FileChannel, PixelSize, micrometres


@dataclass(frozen=True, slots=True)
class DescribedImage:
    """An image as OME-XML describes it.

    Parameters
    ----------
    name : str
        Its name; empty if it has none.
    pixel_size : PixelSize
        Physical size of its pixels.
    channels : tuple of FileChannel
        Its channels.
    """

    name: str
    pixel_size: PixelSize
    channels: tuple[FileChannel, ...]


def images(xml: str) -> tuple[DescribedImage, ...]:
    """Read OME-XML.

    Parameters
    ----------
    xml : str
        The document.

    Returns
    -------
    tuple of DescribedImage
        Its images, in their order; none if it is no XML: pixels can be read without it.
    """
    try:
        root = ET.fromstring(xml)  # noqa: S314  # no entities: expat refuses amplification by itself
    except ET.ParseError:
        return ()
    return tuple(_image(element) for element in root.iter() if _is(element, "Image"))


def _image(element: ET.Element) -> DescribedImage:
    pixels = next((child for child in element if _is(child, "Pixels")), ET.Element("Pixels"))
    return DescribedImage(
        element.get("Name", ""),
        PixelSize(
            *(
                micrometres(pixels.get(f"PhysicalSize{axis}"), pixels.get(f"PhysicalSize{axis}Unit", "µm"))
                for axis in "XYZ"
            )
        ),
        tuple(_channel(child) for child in pixels if _is(child, "Channel")),
    )


def _channel(element: ET.Element) -> FileChannel:
    return FileChannel(element.get("Name", ""), _colour(element.get("Color")))


def _colour(text: str | None) -> tuple[int, int, int] | None:
    """Take an OME colour, a signed 32-bit integer of red, green, blue and alpha, apart."""
    try:
        value = int(text or "") & 0xFFFFFFFF
    except ValueError:
        return None
    return value >> 24, value >> 16 & 255, value >> 8 & 255


def _is(element: ET.Element, name: str) -> bool:
    return element.tag.rpartition("}")[2] == name
