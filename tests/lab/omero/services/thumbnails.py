"""ThumbnailStore."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import omero

from tests.lab.omero import drawing
from tests.lab.omero.services.rendering import Renderer
from tests.lab.omero.serving.dispatch import servant, unlocked

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


@servant(omero.api.ThumbnailStore)
class ThumbnailService(Renderer):
    """Small pictures, drawn anew each time."""

    def setPixelsId(self, pixels_id: int, current: Any = None) -> bool:
        self.open(pixels_id, current)
        self.settings = self.blitz.imaging.settings_of(self.pixels, self.session.user)
        return self.settings is not None

    def setRenderingDefId(self, settings_id: int, current: Any = None) -> None:
        self.settings = self.visible(self.call(current), "RenderingDef", settings_id)

    def getRenderingDefId(self, current: Any = None) -> int:
        return self._settings().id

    @unlocked
    def resetDefaults(self, current: Any = None) -> None:
        self.settings = self._reset()

    def isInProgress(self, current: Any = None) -> bool:
        return False

    def _thumbnail(self, width: int, height: int, z: int | None = None, t: int | None = None) -> bytes:
        settings, data = self._settings(), self.data
        z = min(settings["defaultZ"] or 0, data.size_z - 1) if z is None else z
        t = min(settings["defaultT"] or 0, data.size_t - 1) if t is None else t
        return drawing.thumbnail(self._picture([data.array[t, c, z] for c in range(data.size_c)]), width, height)

    def _longest_side(self, length: int, z: int | None = None, t: int | None = None) -> bytes:
        scale = length / max(self.data.size_x, self.data.size_y)
        return self._thumbnail(int(self.data.size_x * scale), int(self.data.size_y * scale), z, t)

    @unlocked
    def getThumbnail(self, width: Any, height: Any, current: Any = None) -> bytes:
        return self._thumbnail(_or_usual(width), _or_usual(height))

    @unlocked
    def getThumbnailDirect(self, width: Any, height: Any, current: Any = None) -> bytes:
        return self._thumbnail(_or_usual(width), _or_usual(height))

    @unlocked
    def getThumbnailByLongestSide(self, length: Any, current: Any = None) -> bytes:
        return self._longest_side(_or_usual(length))

    @unlocked
    def getThumbnailByLongestSideDirect(self, length: Any, current: Any = None) -> bytes:
        return self._longest_side(_or_usual(length))

    @unlocked
    def getThumbnailForSectionDirect(self, z: int, t: int, width: Any, height: Any, current: Any = None) -> bytes:
        return self._thumbnail(_or_usual(width), _or_usual(height), z, t)

    @unlocked
    def getThumbnailForSectionByLongestSideDirect(self, z: int, t: int, length: Any, current: Any = None) -> bytes:
        return self._longest_side(_or_usual(length), z, t)

    def _each(self, pixels_ids: Sequence[int], current: Any) -> Iterable[int]:
        """Turn to each Pixels object in turn, leaving out what the caller cannot see."""
        for pixels_id in pixels_ids:
            try:
                with self.store.lock:
                    self.setPixelsId(pixels_id, current)
            except omero.ResourceError:
                continue
            yield pixels_id

    @unlocked
    def getThumbnailByLongestSideSet(
        self, length: Any, pixels_ids: Sequence[int], current: Any = None
    ) -> dict[int, bytes]:
        return {pixels_id: self._longest_side(_or_usual(length)) for pixels_id in self._each(pixels_ids, current)}

    @unlocked
    def getThumbnailSet(
        self, width: Any, height: Any, pixels_ids: Sequence[int], current: Any = None
    ) -> dict[int, bytes]:
        size = (_or_usual(width), _or_usual(height))
        return {pixels_id: self._thumbnail(*size) for pixels_id in self._each(pixels_ids, current)}


def _or_usual(length: Any) -> int:
    return 96 if length is None else int(length.val)
