"""RenderingEngine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import omero

from tests.lab.omero import drawing
from tests.lab.omero.drawing import ChannelView
from tests.lab.omero.model.encode import encode
from tests.lab.omero.services.base import encode_all
from tests.lab.omero.services.pixels import PixelsReader, pixels_object
from tests.lab.omero.serving.dispatch import servant, unlocked, writes

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tests.lab.omero.model.rows import Row
    from tests.lab.omero.model.store import Store

_FLOAT_RANGE = (0.0, 32768.0)
"""What OMERO takes for the range of values that are no integers."""

_COLOURS = ("red", "green", "blue")


def channel_views(store: Store, settings: Row) -> list[ChannelView]:
    """Return how settings show each channel."""
    return [
        ChannelView(
            active=bool(binding["active"]),
            start=binding["inputStart"],
            end=binding["inputEnd"],
            colour=(binding["red"], binding["green"], binding["blue"]),
            coefficient=binding["coefficient"] or 1.0,
        )
        for binding in store.collection(settings, "waveRendering")
    ]


class Renderer(PixelsReader):
    """A service that draws pixels with a user's settings."""

    settings: Row | None = None

    def _settings(self) -> Row:
        if self.settings is None:
            with self.store.lock:
                settings = self.blitz.imaging.settings_of(self.pixels, self.session.user)
            self.settings = settings or self._reset()
        return self.settings

    def _reset(self) -> Row:
        with self.store.transaction():
            call = self.blitz.call(self.session, {})
            return self.blitz.imaging.reset_settings(self.pixels, self.session.user, self.event(call))

    def _picture(self, planes: list[NDArray[Any]]) -> NDArray[np.uint8]:
        settings = self._settings()
        with self.store.lock:
            views, grey = channel_views(self.store, settings), settings["model"]["value"] == "greyscale"
        return drawing.draw(planes, views, grey=grey)


@servant(omero.api.RenderingEngine)
class RenderingEngineService(Renderer):
    """Pictures of one image, with settings that are this engine's own until they are saved."""

    quality = 0.85

    def __init__(self, blitz: Any, session: Any) -> None:
        super().__init__(blitz, session)
        self._changed: dict[int, dict[str, Any]] = {}
        self._changed_settings: dict[str, Any] = {}

    # Opening

    @unlocked
    def lookupPixels(self, pixels_id: int, current: Any = None) -> None:
        with self.store.lock:
            self.open(pixels_id, current)
        self._forget()

    @unlocked
    def lookupRenderingDef(self, pixels_id: int, current: Any = None) -> bool:
        with self.store.lock:
            self.open(pixels_id, current)
            self._forget()
            self.settings = self.blitz.imaging.settings_of(self.pixels, self.session.user)
        return self.settings is not None

    def loadRenderingDef(self, settings_id: int, current: Any = None) -> None:
        self.settings = self.visible(self.call(current), "RenderingDef", settings_id)
        self._forget(keep_settings=True)

    @unlocked
    def load(self, current: Any = None) -> None:
        self._settings()

    @unlocked
    def resetDefaultSettings(self, save: bool, current: Any = None) -> int:
        if not save:
            raise omero.ApiUsageException("", "", "resetting without saving is not known here")
        self.settings = self._reset()
        self._forget(keep_settings=True)
        return self.settings.id

    def _forget(self, *, keep_settings: bool = False) -> None:
        self._changed, self._changed_settings = {}, {}
        if not keep_settings:
            self.settings = None

    # Settings

    def _binding(self, index: int) -> dict[str, Any]:
        binding = self.store.collection(self._settings(), "waveRendering")[index]
        return binding.values | self._changed.get(index, {})

    def _change(self, index: int, **values: Any) -> None:
        self._changed.setdefault(index, {}).update(values)

    def _setting(self, name: str) -> Any:
        return self._changed_settings.get(name, self._settings()[name])

    def getRenderingDefId(self, current: Any = None) -> int:
        return self._settings().id

    def getPixels(self, current: Any = None) -> Any:
        return pixels_object(self.store, self.call(current), self.pixels)

    def getDefaultZ(self, current: Any = None) -> int:
        return int(self._setting("defaultZ"))

    def getDefaultT(self, current: Any = None) -> int:
        return int(self._setting("defaultT"))

    def setDefaultZ(self, z: int, current: Any = None) -> None:
        self._changed_settings["defaultZ"] = z

    def setDefaultT(self, t: int, current: Any = None) -> None:
        self._changed_settings["defaultT"] = t

    def getModel(self, current: Any = None) -> Any:
        return encode(self.call(current), self._setting("model"))

    def setModel(self, model: Any, current: Any = None) -> None:
        self._changed_settings["model"] = self.visible(self.call(current), "RenderingModel", model._id.val)

    def getAvailableModels(self, current: Any = None) -> list[Any]:
        return encode_all(self.call(current), self.store.all("RenderingModel"))

    def getAvailableFamilies(self, current: Any = None) -> list[Any]:
        return encode_all(self.call(current), self.store.all("Family"))

    def getQuantumDef(self, current: Any = None) -> Any:
        return encode(self.call(current), self._settings()["quantization"])

    def getChannelWindowStart(self, index: int, current: Any = None) -> float:
        return float(self._binding(index)["inputStart"])

    def getChannelWindowEnd(self, index: int, current: Any = None) -> float:
        return float(self._binding(index)["inputEnd"])

    def setChannelWindow(self, index: int, start: float, end: float, current: Any = None) -> None:
        self._change(index, inputStart=start, inputEnd=end)

    def getRGBA(self, index: int, current: Any = None) -> list[int]:
        binding = self._binding(index)
        return [binding[name] for name in (*_COLOURS, "alpha")]

    def setRGBA(self, index: int, red: int, green: int, blue: int, alpha: int, current: Any = None) -> None:
        self._change(index, red=red, green=green, blue=blue, alpha=alpha)

    def isActive(self, index: int, current: Any = None) -> bool:
        return bool(self._binding(index)["active"])

    def setActive(self, index: int, active: bool, current: Any = None) -> None:
        self._change(index, active=active)

    def getChannelFamily(self, index: int, current: Any = None) -> Any:
        return encode(self.call(current), self._binding(index)["family"])

    def getChannelCurveCoefficient(self, index: int, current: Any = None) -> float:
        return float(self._binding(index)["coefficient"])

    def getChannelNoiseReduction(self, index: int, current: Any = None) -> bool:
        return bool(self._binding(index)["noiseReduction"])

    def setQuantizationMap(
        self, index: int, family: Any, coefficient: float, noise_reduction: bool, current: Any = None
    ) -> None:
        row = self.visible(self.call(current), "Family", family._id.val)
        if row["value"] not in {"linear", "polynomial"}:
            raise omero.ApiUsageException("", "", f"drawing with the family {row['value']} is not known here")
        self._change(index, family=row, coefficient=coefficient, noiseReduction=noise_reduction)

    def getChannelLookupTable(self, index: int, current: Any = None) -> str:
        return self._binding(index).get("lookupTable") or ""

    def setChannelLookupTable(self, index: int, table: str | None, current: Any = None) -> None:
        if table:
            raise omero.ApiUsageException("", "", "lookup tables are not known here")
        self._change(index, lookupTable="")

    def getCodomainMapContext(self, index: int, current: Any = None) -> list[Any]:
        """Return nothing: none can be added here."""
        return []

    def removeCodomainMapFromChannel(self, context: Any, index: int, current: Any = None) -> None:
        """Do nothing: there is none, since none can be added here."""

    def _bound(self, place: int) -> float:
        if self.data.dtype.kind not in "iu":
            return _FLOAT_RANGE[place]
        limits = np.iinfo(self.data.dtype)
        return float((limits.min, limits.max)[place])

    def getPixelsTypeLowerBound(self, index: int, current: Any = None) -> float:
        return self._bound(0)

    def getPixelsTypeUpperBound(self, index: int, current: Any = None) -> float:
        return self._bound(1)

    def isPixelsTypeSigned(self, current: Any = None) -> bool:
        return self.data.dtype.kind in "if"

    def setCompressionLevel(self, quality: float, current: Any = None) -> None:
        self.quality = quality

    def getCompressionLevel(self, current: Any = None) -> float:
        return self.quality

    @writes
    def saveCurrentSettings(self, current: Any = None) -> None:
        call = self.call(current)
        settings = self._settings()
        if settings.owner is not call.user:
            settings = self.blitz.imaging.reset_settings(self.pixels, call.user, self.event(call))
        bindings = self.store.collection(settings, "waveRendering")
        for index, values in self._changed.items():
            self.store.set(bindings[index], **values)
        if self._changed_settings:
            self.store.set(settings, **self._changed_settings)
        self.settings = settings
        self._forget(keep_settings=True)

    # Drawing

    def _views(self) -> list[ChannelView]:
        with self.store.lock:
            views = []
            for index in range(self.data.size_c):
                values = self._binding(index)
                colour = (values["red"], values["green"], values["blue"])
                window = (values["inputStart"], values["inputEnd"])
                views.append(ChannelView(bool(values["active"]), *window, colour, values["coefficient"] or 1.0))
            return views

    def _draw(self, planes: list[NDArray[Any]]) -> NDArray[np.uint8]:
        return drawing.draw(planes, self._views(), grey=self._setting("model")["value"] == "greyscale")

    def _picture_of(self, plane: Any) -> NDArray[np.uint8]:
        if plane.slice != omero.romio.XY:
            raise omero.ApiUsageException("", "", "only XY planes are drawn here")
        data, region = self.data, plane.region
        window = (slice(None), slice(None))
        if region is not None:
            window = (slice(region.y, region.y + region.height), slice(region.x, region.x + region.width))
        return self._draw([data.array[plane.t, channel, plane.z][window] for channel in range(data.size_c)])

    @unlocked
    def renderCompressed(self, plane: Any, current: Any = None) -> bytes:
        return drawing.jpeg(self._picture_of(plane), self.quality)

    @unlocked
    def renderAsPackedInt(self, plane: Any, current: Any = None) -> list[int]:
        red, green, blue = np.moveaxis(self._picture_of(plane).astype(np.uint32), -1, 0)
        packed = np.uint32(0xFF000000) | (red << 16) | (green << 8) | blue
        values: list[int] = packed.astype(np.uint32).view(np.int32).ravel().tolist()
        return values

    @unlocked
    def renderProjectedCompressed(
        self, algorithm: Any, t: int, step: int, start: int, end: int, current: Any = None
    ) -> bytes:
        stack = self.array[t, :, start : end + 1 : max(step, 1)]
        projection: Any = {"MAXIMUMINTENSITY": np.max, "MEANINTENSITY": np.mean, "SUMINTENSITY": np.sum}[str(algorithm)]
        return drawing.jpeg(self._draw([projection(channel, axis=0) for channel in stack]), self.quality)
