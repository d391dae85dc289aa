"""IUpdate."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import omero

from tests.lab.omero.model.decode import Decoder
from tests.lab.omero.services.base import Service, model_class
from tests.lab.omero.serving.dispatch import servant, writes

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


@servant(omero.api.IUpdate)
class UpdateService(Service):
    """Saving objects: all of a call, or nothing."""

    def _save(self, objects: Iterable[Any], current: Any) -> list[Any]:
        call = self.call(current)
        decoder = Decoder(self.store, call, self.event(call))
        saved = list(objects)
        for obj in saved:
            decoder.save(obj)
        return saved

    @writes
    def saveObject(self, obj: Any, current: Any = None) -> None:
        self._save([obj], current)

    @writes
    def saveAndReturnObject(self, obj: Any, current: Any = None) -> Any:
        return self._save([obj], current)[0]

    @writes
    def saveCollection(self, objects: Sequence[Any], current: Any = None) -> None:
        self._save(objects, current)

    @writes
    def saveArray(self, objects: Sequence[Any], current: Any = None) -> None:
        self._save(objects, current)

    @writes
    def saveAndReturnArray(self, objects: Sequence[Any], current: Any = None) -> list[Any]:
        return self._save(objects, current)

    @writes
    def saveAndReturnIds(self, objects: Sequence[Any], current: Any = None) -> list[int]:
        return [obj._id.val for obj in self._save(objects, current)]

    @writes
    def deleteObject(self, obj: Any, current: Any = None) -> None:
        call = self.call(current)
        row = self.visible(call, model_class(type(obj).__name__), obj._id.val)
        if not call.may_delete(row):
            raise omero.SecurityViolation("", "", f"Deleting {row} not allowed for user {call.user.id}")
        users = self.store.referrers(row)
        if users:
            message = f"{row} cannot be deleted: {users[0][0]}.{users[0][1]} refers to it"
            raise omero.ValidationException("", "ConstraintViolationException", message)
        self.store.delete(row)

    def indexObject(self, obj: Any, current: Any = None) -> None:
        """Do nothing: there is no index."""
