"""Lanes: steps that use the same resource wait for each other, and people are served in turn."""

from __future__ import annotations

from collections import OrderedDict, deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from uuid import UUID


class Lane:
    """A queue of runs for a resource that few may use at a time; belongs to one thread.

    Whoever starts a hundred runs does not keep others waiting until all hundred are through: each person's runs wait in
    a queue of their own, and the queues are served in turn.

    Parameters
    ----------
    width : int
        How many runs may use the resource at the same time.
    """

    def __init__(self, width: int) -> None:
        self.width = width
        self.running: set[UUID] = set()
        self._queues: OrderedDict[int, deque[UUID]] = OrderedDict()

    @property
    def waiting(self) -> int:
        """How many runs wait for their turn."""
        return sum(map(len, self._queues.values()))

    def put(self, run_id: UUID, user: int) -> None:
        """Let a run of some person wait for its turn."""
        self._queues.setdefault(user, deque()).append(run_id)

    def withdraw(self, run_id: UUID) -> bool:
        """Take a run out of its queue; False if it does not wait in one."""
        for user, queue in self._queues.items():
            if run_id in queue:
                queue.remove(run_id)
                if not queue:
                    del self._queues[user]
                return True
        return False

    def next(self) -> UUID | None:
        """Let the next run begin, if there is one and room for it."""
        if not self._queues or len(self.running) >= self.width:
            return None
        user, queue = self._queues.popitem(last=False)
        run_id = queue.popleft()
        if queue:
            self._queues[user] = queue  # behind everybody else
        self.running.add(run_id)
        return run_id

    def done(self, run_id: UUID) -> None:
        """Make room: a run has come to rest."""
        self.running.discard(run_id)
