"""IPixels and RawPixelsStore."""

from __future__ import annotations

import hashlib
import math
from typing import TYPE_CHECKING, Any

import numpy as np
import omero
from omero.rtypes import rlong

from tests.lab.omero.imagefiles import UnknownImage
from tests.lab.omero.model.encode import Encoder, encode
from tests.lab.omero.model.rows import Quantity, Row
from tests.lab.omero.planes import AXES, DTYPES
from tests.lab.omero.services.base import Service, encode_all, model_class
from tests.lab.omero.serving.dispatch import servant, unlocked, writes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from tests.lab.omero.files import PixelBuffer
    from tests.lab.omero.model.store import Store
    from tests.lab.omero.security.call import Call

_COPIED = ("physicalSizeX", "physicalSizeY", "physicalSizeZ", "timeIncrement")


def pixels_object(store: Store, call: Call, pixels: Row) -> Any:
    """Return Pixels with channels and image, as ``retrievePixDescription`` and rendering engines do."""
    channels = store.collection(pixels, "channels")
    loaded = {pixels, *channels}
    for channel in channels:
        loaded.update(value for value in channel.values.values() if isinstance(value, Row))
    collections = {(pixels, "channels"): channels}
    image = pixels["image"]
    if image is not None:
        loaded.add(image)
        collections[image, "pixels"] = store.collection(image, "pixels")
    return Encoder(call, loaded, collections).object(pixels)


def settings_object(store: Store, call: Call, settings: Row) -> Any:
    """Return a RenderingDef with its channels."""
    bindings = store.collection(settings, "waveRendering")
    loaded = {settings, settings.owner, settings["quantization"], settings["model"], *bindings}
    loaded.update(binding["family"] for binding in bindings)
    collections: dict[tuple[Row, str], list[Row]] = {(settings, "waveRendering"): bindings}
    collections |= {(binding, "spatialDomainEnhancement"): [] for binding in bindings}
    return Encoder(call, loaded, collections).object(settings)


@servant(omero.api.IPixels)
class PixelsService(Service):
    """Images: their description, and new ones."""

    def retrievePixDescription(self, pixels_id: int, current: Any = None) -> Any:
        call = self.call(current)
        pixels = self.store.get("Pixels", pixels_id)
        return pixels_object(self.store, call, pixels) if pixels is not None and call.may_see(pixels) else None

    def getAllEnumerations(self, class_name: str, current: Any = None) -> list[Any]:
        return encode_all(self.call(current), self.store.all(model_class(class_name)))

    def getEnumeration(self, class_name: str, value: str, current: Any = None) -> Any:
        row = self.store.enumerated(model_class(class_name), value)
        if row is None:
            raise omero.ApiUsageException("", "", f"there is no {class_name} {value}")
        return encode(self.call(current), row)

    def getBitDepth(self, pixel_type: Any, current: Any = None) -> int:
        return DTYPES[pixel_type._value.val].itemsize * 8

    def _pixel_type(self, obj: Any) -> str:
        if obj._value is not None:
            return str(obj._value.val)
        row = self.store.get("PixelsType", obj._id.val)
        if row is None:
            raise omero.ValidationException("", "", f"there is no PixelsType {obj._id.val}")
        return str(row["value"])

    def _new_image(self, call: Call, name: str, sizes: Sequence[int], pixel_type: str, description: str | None) -> Row:
        owner, group = call.owner_and_group(None)
        return self.blitz.imaging.new_image(owner, group, self.event(call), name, sizes, pixel_type, description)

    @writes
    def createImage(
        self,
        size_x: int,
        size_y: int,
        size_z: int,
        size_t: int,
        channels: Sequence[int],
        pixel_type: Any,
        name: str,
        description: str,
        current: Any = None,
    ) -> Any:
        sizes = (size_x, size_y, size_z, len(channels), size_t)
        image = self._new_image(self.call(current), name, sizes, self._pixel_type(pixel_type), description)
        pixels = self.store.collection(image, "pixels")[0]
        for channel, wavelength in zip(self.store.collection(pixels, "channels"), channels, strict=True):
            emission = Quantity("Length", float(wavelength), "NANOMETER")
            self.store.set(channel["logicalChannel"], emissionWave=emission)
        return rlong(image.id)

    @writes
    def copyAndResizeImage(
        self,
        image_id: int,
        size_x: Any,
        size_y: Any,
        size_z: Any,
        size_t: Any,
        channels: Sequence[int],
        methodology: str,
        copy_statistics: bool,
        current: Any = None,
    ) -> Any:
        call = self.call(current)
        source = self.visible(call, "Image", image_id)
        original = self.store.collection(source, "pixels")[0]
        given = {"X": size_x, "Y": size_y, "Z": size_z, "T": size_t}
        sizes = [
            len(channels) if axis == "C" else original[f"size{axis}"] if given[axis] is None else given[axis].val
            for axis in "XYZCT"
        ]
        image = self._new_image(call, source["name"], sizes, original["pixelsType"]["value"], source["description"])
        pixels = self.store.collection(image, "pixels")[0]
        self.store.set(pixels, methodology=methodology, **{name: original[name] for name in _COPIED})
        originals = self.store.collection(original, "channels")
        for channel, index in zip(self.store.collection(pixels, "channels"), channels, strict=True):
            self._copy_channel(originals[index], channel)
        return rlong(image.id)

    def _copy_channel(self, source: Row, target: Row) -> None:
        self.store.set(target, **{name: source[name] for name in ("red", "green", "blue", "alpha")})
        logical = source["logicalChannel"].values
        copied = {name: value for name, value in logical.items() if not isinstance(value, Row)}
        self.store.set(target["logicalChannel"], **copied)

    @writes
    def setChannelGlobalMinMax(self, pixels_id: int, index: int, low: float, high: float, current: Any = None) -> None:
        call = self.call(current)
        pixels = self.visible(call, "Pixels", pixels_id)
        call.check_update(pixels)
        channel = self.store.collection(pixels, "channels")[index]
        statistics = channel["statsInfo"]
        if statistics is None:
            statistics = self.store.new("StatsInfo", channel.owner, channel.group, channel.creation_event)
            self.store.set(channel, statsInfo=statistics)
        self.store.set(statistics, globalMin=low, globalMax=high)

    def retrieveRndSettings(self, pixels_id: int, current: Any = None) -> Any:
        return self.retrieveRndSettingsFor(pixels_id, self.session.user.id, current)

    def retrieveRndSettingsFor(self, pixels_id: int, user_id: int, current: Any = None) -> Any:
        call = self.call(current)
        user = self.blitz.people.user_by_id(user_id)
        settings = self.blitz.imaging.settings_of(self.visible(call, "Pixels", pixels_id), user)
        return settings_object(self.store, call, settings) if settings is not None else None

    def retrieveAllRndSettings(self, pixels_id: int, user_id: int, current: Any = None) -> list[Any]:
        call = self.call(current)
        settings = self.store.collection(self.visible(call, "Pixels", pixels_id), "settings")
        wanted = [row for row in settings if user_id < 0 or (row.owner is not None and row.owner.id == user_id)]
        return [settings_object(self.store, call, row) for row in wanted]

    def loadRndSettings(self, settings_id: int, current: Any = None) -> Any:
        call = self.call(current)
        return settings_object(self.store, call, self.visible(call, "RenderingDef", settings_id))


class PixelsReader(Service):
    """A service that works on one Pixels object at a time. There are no pyramids: one level of resolution."""

    stateful = True
    pixels: Row
    buffer: PixelBuffer | None = None

    def open(self, pixels_id: int, current: Any) -> None:
        """Turn to a Pixels object; ResourceError if the caller cannot see one with this id."""
        call = self.call(current)
        row = self.store.get("Pixels", pixels_id)
        if row is None or not call.may_see(row):
            raise omero.ResourceError("", "", f"Cannot read pixels with id={pixels_id}")
        self.pixels = row
        try:
            self.buffer = self.blitz.files.pixels(row)
        except UnknownImage as error:
            raise omero.ResourceError("", "", f"Cannot read pixels with id={pixels_id}: {error}") from error

    def released(self) -> None:
        self.buffer = None

    @property
    def data(self) -> PixelBuffer:
        """The opened pixels."""
        if self.buffer is None:
            raise omero.ApiUsageException("", "", "no pixels were chosen")
        return self.buffer

    @property
    def array(self) -> Any:
        """The opened pixels as something to be indexed, (T, C, Z, Y, X)."""
        return self.data.array

    def requiresPixelsPyramid(self, current: Any = None) -> bool:
        return False

    def getResolutionLevels(self, current: Any = None) -> int:
        return 1

    def getResolutionLevel(self, current: Any = None) -> int:
        return 0

    def setResolutionLevel(self, level: int, current: Any = None) -> None:
        if level:
            raise omero.ApiUsageException("", "", f"there is no level {level}: there are no pyramids here")

    def getResolutionDescriptions(self, current: Any = None) -> list[Any]:
        description = omero.api.ResolutionDescription()
        description.sizeX, description.sizeY = self.data.size_x, self.data.size_y
        return [description]

    def getTileSize(self, current: Any = None) -> list[int]:
        return [min(self.data.size_x, 1024), min(self.data.size_y, 1024)]


@servant(omero.api.RawPixelsStore)
class RawPixelsService(PixelsReader):
    """The bytes of pixels."""

    modified = False

    @unlocked
    def close(self, current: Any = None) -> None:
        """Save what was written, as OMERO's own does."""
        self.save(current)
        super().close(current)

    def setPixelsId(self, pixels_id: int, bypass: bool, current: Any = None) -> None:
        self.open(pixels_id, current)

    def getPixelsId(self, current: Any = None) -> int:
        return self.pixels.id

    def prepare(self, ids: Sequence[int], current: Any = None) -> None:
        """Do nothing: there is nothing to be prepared."""

    def getByteWidth(self, current: Any = None) -> int:
        return self.data.dtype.itemsize

    def _size_bytes(self, axes: str) -> int:
        """Return how many bytes there are along some of the last axes."""
        shape: tuple[int, ...] = self.data.array.shape
        return math.prod(shape[-len(axes) :]) * self.data.dtype.itemsize

    def getRowSize(self, current: Any = None) -> int:
        return self._size_bytes("X")

    def getPlaneSize(self, current: Any = None) -> int:
        return self._size_bytes("YX")

    def getStackSize(self, current: Any = None) -> int:
        return self._size_bytes("ZYX")

    def getTimepointSize(self, current: Any = None) -> int:
        return self._size_bytes("CZYX")

    def getTotalSize(self, current: Any = None) -> int:
        return self._size_bytes(AXES)

    def isSigned(self, current: Any = None) -> bool:
        return self.data.dtype.kind in "if"

    def isFloat(self, current: Any = None) -> bool:
        return self.data.dtype.kind == "f"

    @unlocked
    def getPlane(self, z: int, c: int, t: int, current: Any = None) -> bytes:
        return self._bytes(self._plane(z, c, t))

    @unlocked
    def getTile(self, z: int, c: int, t: int, x: int, y: int, w: int, h: int, current: Any = None) -> bytes:
        self._check_region(x, y, w, h)
        return self._bytes(self._plane(z, c, t)[y : y + h, x : x + w])

    @unlocked
    def getRow(self, y: int, z: int, c: int, t: int, current: Any = None) -> bytes:
        return self._bytes(self._plane(z, c, t)[y])

    @unlocked
    def getStack(self, c: int, t: int, current: Any = None) -> bytes:
        return self._bytes(self.array[t, c])

    @unlocked
    def getTimepoint(self, t: int, current: Any = None) -> bytes:
        return self._bytes(self.array[t])

    @unlocked
    def getHypercube(
        self, offset: Sequence[int], size: Sequence[int], step: Sequence[int], current: Any = None
    ) -> bytes:
        slices = [slice(o, o + n, s) for o, n, s in zip(offset, size, step, strict=True)]
        # The API's axes are XYZCT, the array's are TCZYX.
        return self._bytes(self.array[tuple(reversed(slices))])

    @unlocked
    def setPlane(self, data: bytes, z: int, c: int, t: int, current: Any = None) -> None:
        self._write(self._plane(z, c, t), data, current)

    @unlocked
    def setTile(self, data: bytes, z: int, c: int, t: int, x: int, y: int, w: int, h: int, current: Any = None) -> None:
        self._check_region(x, y, w, h)
        self._write(self._plane(z, c, t)[y : y + h, x : x + w], data, current)

    @unlocked
    def setRow(self, data: bytes, y: int, z: int, c: int, t: int, current: Any = None) -> None:
        self._write(self._plane(z, c, t)[y], data, current)

    @unlocked
    def setStack(self, data: bytes, z: int, c: int, t: int, current: Any = None) -> None:
        """Write a stack; the parameter *z* has no meaning in OMERO either."""
        self._write(self.array[t, c], data, current)

    @unlocked
    def setTimepoint(self, data: bytes, t: int, current: Any = None) -> None:
        self._write(self.array[t], data, current)

    def _plane(self, z: int, c: int, t: int) -> NDArray[Any]:
        data = self.data
        for name, index, size in (("z", z, data.size_z), ("c", c, data.size_c), ("t", t, data.size_t)):
            if not 0 <= index < size:
                message = f"{name}={index} is outside of the image, which has {size}"
                raise omero.ApiUsageException("", "DimensionsOutOfBoundsException", message)
        plane: NDArray[Any] = self.array[t, c, z]
        return plane

    def _check_region(self, x: int, y: int, w: int, h: int) -> None:
        data = self.data
        if x < 0 or y < 0 or w < 1 or h < 1 or x + w > data.size_x or y + h > data.size_y:
            message = f"the region {x},{y},{w},{h} is outside of the image of {data.size_x}x{data.size_y}"
            raise omero.ApiUsageException("", "DimensionsOutOfBoundsException", message)

    def _bytes(self, values: NDArray[Any]) -> bytes:
        return values.tobytes()

    def _write(self, target: NDArray[Any], data: bytes, current: Any) -> None:
        with self.store.lock:
            self.call(current).check_update(self.pixels)
        if not self.data.writable:
            raise omero.ApiUsageException("", "", f"{self.pixels} was imported: its file stays as it is")
        if len(data) != target.nbytes:
            raise omero.ApiUsageException("", "", f"{len(data)} bytes were sent where {target.nbytes} belong")
        target[...] = np.frombuffer(data, target.dtype).reshape(target.shape)
        self.modified = True

    @unlocked
    def calculateMessageDigest(self, current: Any = None) -> bytes:
        digest = hashlib.sha1(usedforsecurity=False)
        for t, c, z in np.ndindex(self.data.size_t, self.data.size_c, self.data.size_z):
            digest.update(self.array[t, c, z].tobytes())
        return digest.digest()

    @unlocked
    def findMinMax(self, channels: Sequence[int], current: Any = None) -> dict[int, list[float]]:
        return {channel: list(self.data.range_of(channel)) for channel in channels}

    @unlocked
    def save(self, current: Any = None) -> Any:
        if not self.modified:
            return None
        digest = self.calculateMessageDigest().hex()
        with self.store.transaction():
            call = self.call(current)
            call.check_update(self.pixels)
            self.store.set(self.pixels, sha1=digest)
            self.modified = False
            return encode(call, self.pixels)
