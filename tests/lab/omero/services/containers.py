"""IContainer, IRoi and ITimeline: what belongs together, and what came when."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import omero

from tests.lab.omero.model.encode import Encoder
from tests.lab.omero.services.base import Service, model_class
from tests.lab.omero.services.query import QueryService
from tests.lab.omero.serving.dispatch import servant

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tests.lab.omero.model.rows import Row
    from tests.lab.omero.security.call import Call

_BELOW = {"Project": "datasetLinks", "Dataset": "imageLinks", "Screen": "plateLinks"}
"""The links to what a container contains."""

_IMAGES = (
    "select i from Image i left outer join fetch i.pixels p left outer join fetch p.pixelsType "
    "left outer join fetch i.details.creationEvent left outer join fetch i.details.owner "
)
_IMAGES_OF = {
    "Image": "where i.id in (:ids)",
    "Dataset": "join i.datasetLinks l where l.parent.id in (:ids)",
    "Project": "join i.datasetLinks l join l.parent d join d.projectLinks pl where pl.parent.id in (:ids)",
}


@servant(omero.api.IContainer)
class ContainerService(Service):
    """Projects, datasets and screens."""

    def getImages(self, class_name: str, ids: Sequence[int], options: Any, current: Any = None) -> list[Any]:
        where = _IMAGES_OF.get(model_class(class_name))
        if where is None:
            raise omero.ApiUsageException("", "", f"images of a {class_name} are not known here")
        parameters = omero.sys.ParametersI()
        parameters.addIds(ids)
        query: Any = QueryService(self.blitz, self.session)
        found: list[Any] = query.findAllByQuery(_IMAGES + where, parameters, current)
        return found

    def getCollectionCount(
        self, class_name: str, collection: str, ids: Sequence[int], options: Any, current: Any = None
    ) -> dict[int, int]:
        call, cls = self.call(current), model_class(class_name)
        name = collection.rsplit("_", 1)[-1]
        return {
            object_id: sum(call.may_see(row) for row in self.store.collection(self.visible(call, cls, object_id), name))
            for object_id in ids
        }

    def loadContainerHierarchy(
        self, class_name: str, ids: Sequence[int], options: Any, current: Any = None
    ) -> list[Any]:
        """Return containers with their content; images only if the option ``leaves`` is set."""
        call, cls = self.call(current), model_class(class_name)
        rows = [row for row in self.store.all(cls) if call.may_see(row) and (not ids or row.id in ids)]
        page = options.theFilter if options is not None else None
        if page is not None and page.ownerId is not None:
            rows = [row for row in rows if row.owner is not None and row.owner.id == page.ownerId.val]
        leaves = options is not None and options.theOptions is not None and options.theOptions.leaves
        loaded, collections = self._below(rows, call, with_images=bool(leaves and leaves.val))
        encoder = Encoder(call, loaded, collections)
        return [encoder.object(row) for row in rows]

    def _below(
        self, rows: Sequence[Row], call: Call, *, with_images: bool
    ) -> tuple[set[Row], dict[tuple[Row, str], list[Row]]]:
        loaded, collections, waiting = set(rows), {}, list(rows)
        while waiting:
            row = waiting.pop()
            name = _BELOW.get(row.cls)
            if name is None or (name == "imageLinks" and not with_images):
                continue
            links = [link for link in self.store.collection(row, name) if call.may_see(link["child"])]
            collections[row, name] = links
            children = [link["child"] for link in links]
            loaded.update(links, children)
            waiting += children
        return loaded, collections


@servant(omero.api.IRoi)
class RoiService(Service):
    """Regions of interest."""

    def findByImage(self, image_id: int, options: Any, current: Any = None) -> Any:
        parameters = omero.sys.ParametersI()
        parameters.addId(image_id)
        query: Any = QueryService(self.blitz, self.session)
        text = "select distinct r from Roi r left outer join fetch r.shapes where r.image.id = :id order by r.id"
        result = omero.api.RoiResult()
        result.rois, result.opts = query.findAllByQuery(text, parameters, current), options
        return result


@servant(omero.api.ITimeline)
class TimelineService(Service):
    """What was made when."""

    def _made(self, class_names: Sequence[str], start: Any, end: Any, current: Any) -> Iterator[tuple[str, list[Row]]]:
        call = self.call(current)
        for name in class_names or ("Image", "Dataset", "Project"):
            rows = self.store.all(model_class(name))
            yield name, [row for row in rows if call.may_see(row) and start.val <= _time_of(row) <= end.val]

    def countByPeriod(
        self, class_names: Sequence[str], start: Any, end: Any, parameters: Any, current: Any = None
    ) -> dict[str, int]:
        return {name: len(rows) for name, rows in self._made(class_names, start, end, current)}

    def getByPeriod(
        self, class_names: Sequence[str], start: Any, end: Any, parameters: Any, merge: bool, current: Any = None
    ) -> dict[str, list[Any]]:
        result = {}
        for name, rows in self._made(class_names, start, end, current):
            loaded = {item for row in rows for item in (row, row.creation_event, row.update_event, row.owner)}
            encoder = Encoder(self.call(current), loaded)
            result[name] = [encoder.object(row) for row in rows]
        return result

    def getEventLogsByPeriod(self, start: Any, end: Any, parameters: Any, current: Any = None) -> list[Any]:
        """Return nothing: there is no log of events here."""
        return []


def _time_of(row: Row) -> int:
    return int(row.creation_event["time"] or 0) if row.creation_event is not None else 0
