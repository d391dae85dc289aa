"""IMetadata: annotations."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import omero
from omero.rtypes import rlong

from tests.lab.omero.model.schema import SCHEMA
from tests.lab.omero.services.base import Service, encode_all, model_class
from tests.lab.omero.serving.dispatch import servant

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tests.lab.omero.model.rows import Row
    from tests.lab.omero.security.call import Call


def _with_files(call: Call, annotations: Iterable[Row]) -> list[Any]:
    """Return annotations with their owners and files loaded."""
    annotations = list(annotations)
    loaded = {item for row in annotations for item in (row.owner, row["file"])}
    return encode_all(call, annotations, loaded)


@servant(omero.api.IMetadata)
class MetadataService(Service):
    """Annotations of objects."""

    def _annotations(self, call: Call, cls: str, object_id: int) -> list[Row]:
        row = self.store.get(cls, object_id)
        if row is None or not call.may_see(row):
            return []
        links = self.store.collection(row, "annotationLinks")
        return [link["child"] for link in links if call.may_see(link) and call.may_see(link["child"])]

    def loadAnnotations(
        self,
        class_name: str,
        ids: Sequence[int],
        types: Sequence[str],
        annotators: Sequence[int],
        options: Any,
        current: Any = None,
    ) -> dict[int, list[Any]]:
        call, cls = self.call(current), model_class(class_name)
        wanted = [model_class(name) for name in types or ()]
        result = {}
        for object_id in ids:
            found = [
                row
                for row in self._annotations(call, cls, object_id)
                if (not wanted or any(SCHEMA.is_a(row.cls, name) for name in wanted))
                and (not annotators or (row.owner is not None and row.owner.id in annotators))
            ]
            result[object_id] = _with_files(call, found)
        return result

    def loadAnnotation(self, ids: Sequence[int], current: Any = None) -> list[Any]:
        call = self.call(current)
        rows = [self.store.get("Annotation", object_id) for object_id in ids]
        return _with_files(call, [row for row in rows if row is not None and call.may_see(row)])

    def _specified(self, class_name: str, include: Sequence[str], exclude: Sequence[str], call: Call) -> list[Row]:
        return [
            row for row in self.store.all(model_class(class_name)) if call.may_see(row) and _in(row, include, exclude)
        ]

    def loadSpecifiedAnnotations(
        self, class_name: str, include: Sequence[str], exclude: Sequence[str], options: Any, current: Any = None
    ) -> list[Any]:
        call = self.call(current)
        return _with_files(call, self._specified(class_name, include, exclude, call))

    def countSpecifiedAnnotations(
        self, class_name: str, include: Sequence[str], exclude: Sequence[str], options: Any, current: Any = None
    ) -> Any:
        return rlong(len(self._specified(class_name, include, exclude, self.call(current))))

    def loadSpecifiedAnnotationsLinkedTo(
        self,
        class_name: str,
        include: Sequence[str],
        exclude: Sequence[str],
        root: str,
        ids: Sequence[int],
        options: Any,
        current: Any = None,
    ) -> dict[int, list[Any]]:
        call, wanted = self.call(current), model_class(class_name)
        result = {}
        for object_id in ids:
            annotations = self._annotations(call, model_class(root), object_id)
            found = [row for row in annotations if SCHEMA.is_a(row.cls, wanted) and _in(row, include, exclude)]
            result[object_id] = _with_files(call, found)
        return result

    def loadChannelAcquisitionData(self, ids: Sequence[int], current: Any = None) -> list[Any]:
        call = self.call(current)
        return encode_all(call, [self.visible(call, "LogicalChannel", object_id) for object_id in ids])

    def loadLogFiles(self, class_name: str, ids: Sequence[int], current: Any = None) -> dict[int, list[Any]]:
        """Return nothing: nothing is imported in a way that leaves a log."""
        return {object_id: [] for object_id in ids}


def _in(row: Row, include: Sequence[str], exclude: Sequence[str]) -> bool:
    namespace = row["ns"]
    return (not include or namespace in include) and (not exclude or namespace not in exclude)
