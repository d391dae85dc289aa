"""Processors that have come, and asking them whether they take a job."""

from __future__ import annotations

import queue
import time
import uuid
from typing import TYPE_CHECKING, Any

import Ice
import omero

from tests.lab.omero.model.encode import encode
from tests.lab.omero.services.base import Servant
from tests.lab.omero.services.jobs import job_object
from tests.lab.omero.serving.dispatch import log, servant

if TYPE_CHECKING:
    from tests.lab.omero.model.rows import Row
    from tests.lab.omero.model.store import Store
    from tests.lab.omero.security.call import Call
    from tests.lab.omero.serving.switchboard import Switchboard

_ANSWER_S = 5.0


@servant(omero.grid.ProcessorCallback)
class Answer(Servant):
    """Takes the answer of a processor."""

    def __init__(self) -> None:
        self.answers: queue.Queue[tuple[bool, Any]] = queue.Queue()

    def isAccepted(self, accepted: bool, session: str, connection: str, current: Any = None) -> None:
        self.answers.put((accepted, None))

    def isProxyAccepted(self, accepted: bool, session: str, processor: Any, current: Any = None) -> None:
        self.answers.put((accepted, processor))

    def responseRunning(self, job_ids: list[int], current: Any = None) -> None:
        """Do nothing: it was not asked what runs."""


class Processors(dict[str, Any]):
    """Proxies of processors, by name.

    Parameters
    ----------
    store : Store
        All objects.
    switchboard : Switchboard
        Where they answer.
    """

    def __init__(self, store: Store, switchboard: Switchboard) -> None:
        super().__init__()
        self._store = store
        self._switchboard = switchboard

    def find(self, call: Call, job: Row, wait_s: float) -> Any:
        """Return the first processor that takes a job, or None.

        Parameters
        ----------
        call : Call
            Who wants it to be run.
        job : Row
            The job.
        wait_s : float
            How long to go on asking; everybody is asked once in any case.
        """
        deadline = time.monotonic() + wait_s
        while True:
            for name, proxy in list(self.items()):
                accepted = self._ask(name, proxy, call, job)
                if accepted is not None:
                    return accepted
            if time.monotonic() >= deadline:
                return None
            time.sleep(0.2)

    def _ask(self, name: str, proxy: Any, call: Call, job: Row) -> Any:
        answer, identity = Answer(), Ice.Identity(str(uuid.uuid4()), "ProcessorCallback")
        self._switchboard.add(answer, identity)
        callback = omero.grid.ProcessorCallbackPrx.uncheckedCast(self._switchboard.proxy(identity, direct=True))
        with self._store.lock:
            question = (
                encode(call, call.user),
                encode(call, job.group or call.group),
                job_object(self._store, call, job),
            )
        try:
            proxy.willAccept(*question, callback)
            accepted, processor = answer.answers.get(timeout=_ANSWER_S)
        except Ice.LocalException as error:
            log.info("processor %s does not answer any more: %s", name, error)
            self.pop(name, None)
            return None
        except queue.Empty:
            log.info("processor %s has not said whether it takes job %s", name, job.id)
            return None
        finally:
            self._switchboard.remove(identity)
        if not accepted:
            return None
        reached = self._switchboard.reach(processor) if processor is not None else proxy
        return omero.grid.ProcessorPrx.uncheckedCast(reached)
