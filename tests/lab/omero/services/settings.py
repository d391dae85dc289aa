"""IRenderingSettings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import omero

from tests.lab.omero.services.base import Service, model_class
from tests.lab.omero.services.pixels import settings_object
from tests.lab.omero.serving.dispatch import servant, writes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.lab.omero.model.rows import Row


@servant(omero.api.IRenderingSettings)
class RenderingSettingsService(Service):
    """Settings of many images at once."""

    def _pixels(self, class_name: str, object_id: int, current: Any) -> list[Row]:
        row = self.visible(self.call(current), model_class(class_name), object_id)
        match row.cls:
            case "Pixels":
                return [row]
            case "Image":
                return self.store.collection(row, "pixels")
            case "Dataset":
                images = [link["child"] for link in self.store.collection(row, "imageLinks")]
                return [pixels for image in images for pixels in self.store.collection(image, "pixels")]
        raise omero.ApiUsageException("", "", f"settings of a {row.cls} are not known here")

    @writes
    def resetDefaultsInSet(self, class_name: str, ids: Sequence[int], current: Any = None) -> list[int]:
        call = self.call(current)
        event = self.event(call)
        for object_id in ids:
            for pixels in self._pixels(class_name, object_id, current):
                self.blitz.imaging.reset_settings(pixels, call.user, event)
        return list(ids)

    @writes
    def resetDefaultsForPixels(self, pixels_id: int, current: Any = None) -> bool:
        self.resetDefaultsInSet("Pixels", [pixels_id], current)
        return True

    def getRenderingSettings(self, pixels_id: int, current: Any = None) -> Any:
        call = self.call(current)
        settings = self.blitz.imaging.settings_of(self.visible(call, "Pixels", pixels_id), call.user)
        return settings_object(self.store, call, settings) if settings is not None else None

    @writes
    def applySettingsToSet(
        self, source_id: int, class_name: str, ids: Sequence[int], current: Any = None
    ) -> dict[bool, list[int]]:
        call = self.call(current)
        event = self.event(call)
        source = self.blitz.imaging.settings_of(self.visible(call, "Pixels", source_id), call.user)
        if source is None:
            raise omero.ApiUsageException("", "", f"Pixels:{source_id} has no rendering settings")
        bindings = self.store.collection(source, "waveRendering")
        done: dict[bool, list[int]] = {True: [], False: []}
        for object_id in ids:
            for pixels in self._pixels(class_name, object_id, current):
                target = self.blitz.imaging.reset_settings(pixels, call.user, event)
                targets = self.store.collection(target, "waveRendering")
                if len(targets) != len(bindings):
                    done[False].append(object_id)
                    continue
                self._copy(bindings, targets)
                self.store.set(target, model=source["model"])
                done[True].append(object_id)
        return done

    def _copy(self, sources: Sequence[Row], targets: Sequence[Row]) -> None:
        for source, target in zip(sources, targets, strict=True):
            values = {name: value for name, value in source.values.items() if name != "renderingDef"}
            self.store.set(target, **values)
