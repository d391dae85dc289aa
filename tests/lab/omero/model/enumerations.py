"""Enumerations of the model and the values that a fresh server has."""

from __future__ import annotations

import functools
from types import MappingProxyType
from typing import TYPE_CHECKING

import omero.model

from tests.lab.omero.model.schema import SCHEMA

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.lab.omero.model.store import Store

ADMIN_PRIVILEGES = (
    "Chgrp",
    "Chown",
    "DeleteFile",
    "DeleteManagedRepo",
    "DeleteOwned",
    "DeleteScriptRepo",
    "ModifyGroup",
    "ModifyGroupMembership",
    "ModifyUser",
    "ReadSession",
    "Sudo",
    "WriteFile",
    "WriteManagedRepo",
    "WriteOwned",
    "WriteScriptRepo",
)
"""What an administrator may be allowed, since OMERO 5.4."""

PIXEL_BITS: Mapping[str, int] = MappingProxyType(
    {
        "bit": 1,
        "int8": 8,
        "int16": 16,
        "int32": 32,
        "uint8": 8,
        "uint16": 16,
        "uint32": 32,
        "float": 32,
        "double": 64,
        "complex": 64,
        "double-complex": 128,
    }
)
"""Bits of a pixel, by pixel type."""

VALUES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "PixelsType": tuple(PIXEL_BITS),
        "DimensionOrder": ("XYZCT", "XYZTC", "XYCTZ", "XYCZT", "XYTCZ", "XYTZC"),
        "JobStatus": (
            *("Submitted", "Resubmitted", "Queued", "Requeued", "Running", "Error", "Waiting", "Finished"),
            "Cancelled",
        ),
        "RenderingModel": ("rgb", "greyscale"),
        "Family": ("linear", "polynomial", "exponential", "logarithmic"),
        "EventType": ("Bootstrap", "Internal", "Initialize", "Task", "User", "Sessions", "Processor"),
        "ChecksumAlgorithm": (
            *("Adler-32", "CRC-32", "MD5-128", "Murmur3-32", "Murmur3-128", "SHA1-160"),
            "File-Size-64",
        ),
        "Format": ("Zarr", "OMETiff", "PNG", "Fake", "Companion/JPEG"),
        "AdminPrivilege": ADMIN_PRIVILEGES,
        "Illumination": ("Transmitted", "Epifluorescence", "Other"),
        "AcquisitionMode": ("WideField", "LaserScanningConfocalMicroscopy", "Other"),
        "ContrastMethod": ("Brightfield", "Phase", "Fluorescence", "Other"),
    }
)
"""Values by enumeration. Those of enumerations that are not listed are not known here, and asking for one fails."""


@functools.cache
def enumerations() -> frozenset[str]:
    """Return the classes whose objects are values of enumerations: there is nothing to them but a value."""
    return frozenset(
        name
        for name in SCHEMA.classes
        if "value" in SCHEMA.fields[name]
        and set(SCHEMA.fields[name]) <= {"value", "measurementSystem", "bitSize"}
        and not hasattr(getattr(omero.model, name), "getStage")
    )


def fill(store: Store) -> None:
    """Store the values of a fresh server."""
    for cls, values in VALUES.items():
        for value in values:
            row = store.new(cls, value=value)
            if cls == "PixelsType":
                store.set(row, bitSize=PIXEL_BITS[value])
