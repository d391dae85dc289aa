"""The runs and tasks that this process has changed last, so that the next command on them need not replay them."""

from __future__ import annotations

from collections import OrderedDict
from threading import Lock
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from uuid import UUID

    from eventsourcing.domain import Aggregate


class Recent:
    """Aggregates as they were when a transaction ended.

    Others may have written to them since: whoever takes one looks for later events. It is nobody else's then, until
    it is kept again, so that a command that fails half-way leaves nothing behind here.

    Parameters
    ----------
    size : int
        At most so many are kept: those that were used last.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._aggregates: OrderedDict[UUID, Aggregate] = OrderedDict()
        self._lock = Lock()

    def take(self, aggregate_id: UUID) -> Aggregate | None:
        """Take an aggregate out; None if it is not here."""
        with self._lock:
            return self._aggregates.pop(aggregate_id, None)

    def keep(self, aggregate: Aggregate) -> None:
        """Put an aggregate in, for whoever needs it next."""
        with self._lock:
            self._aggregates[aggregate.id] = aggregate
            self._aggregates.move_to_end(aggregate.id)
            while len(self._aggregates) > self._size:
                self._aggregates.popitem(last=False)
