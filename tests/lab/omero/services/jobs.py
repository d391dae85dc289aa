"""JobHandle."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import omero
from omero.rtypes import rtime

from tests.lab.omero.model.decode import Decoder
from tests.lab.omero.model.encode import Encoder, encode
from tests.lab.omero.services.base import Service, now_ms
from tests.lab.omero.serving.dispatch import servant, writes

if TYPE_CHECKING:
    from tests.lab.omero.model.encode import Viewer
    from tests.lab.omero.model.rows import Row
    from tests.lab.omero.model.store import Store

_OVER = frozenset({"Finished", "Error", "Cancelled"})


def job_object(store: Store, viewer: Viewer, job: Row) -> Any:
    """Return a Job with its files."""
    links = store.collection(job, "originalFileLinks")
    files = [link["child"] for link in links]
    loaded = {job, job["status"], job.group, job.owner, *links, *files}
    return Encoder(viewer, loaded, {(job, "originalFileLinks"): links}).object(job)


@servant(omero.api.JobHandle)
class JobService(Service):
    """The state of one job."""

    stateful = True
    job: Row | None = None

    def _job(self) -> Row:
        if self.job is None:
            raise omero.ApiUsageException("", "", "no job was submitted or attached")
        return self.job

    def _status(self) -> str:
        status = self._job()["status"]
        return str(status["value"]) if status is not None else ""

    @writes
    def submit(self, job: Any, current: Any = None) -> int:
        call = self.call(current)
        self.job = Decoder(self.store, call, self.event(call)).save(job)
        if self.job["status"] is None:
            status = self.store.enumerated("JobStatus", "Submitted")
            self.store.set(self.job, status=status, submitted=now_ms(), message="")
        return self.job.id

    def attach(self, job_id: int, current: Any = None) -> Any:
        self.job = self.visible(self.call(current), "Job", job_id)
        return self.jobStatus(current)

    def getJob(self, current: Any = None) -> Any:
        return job_object(self.store, self.call(current), self._job())

    def jobStatus(self, current: Any = None) -> Any:
        status = self._job()["status"]
        return encode(self.call(current), status) if status is not None else None

    def jobFinished(self, current: Any = None) -> Any:
        finished = self._job()["finished"]
        return rtime(finished) if finished is not None else None

    def jobMessage(self, current: Any = None) -> str:
        return self._job()["message"] or ""

    def jobRunning(self, current: Any = None) -> bool:
        return self._status() == "Running"

    def jobError(self, current: Any = None) -> bool:
        return self._status() == "Error"

    @writes
    def setStatus(self, status: str, current: Any = None) -> str:
        return self._set(status, None, current)

    @writes
    def setMessage(self, message: str, current: Any = None) -> str:
        old = self._job()["message"] or ""
        self.call(current).check_update(self._job())
        self.store.set(self._job(), message=message)
        return old

    @writes
    def setStatusAndMessage(self, status: str, message: Any, current: Any = None) -> str:
        return self._set(status, message.val if message is not None else None, current)

    @writes
    def cancelJob(self, current: Any = None) -> None:
        self._set("Cancelled", None, current)

    def _set(self, status: str, message: str | None, current: Any) -> str:
        job, old = self._job(), self._status()
        self.call(current).check_update(job)
        value = self.store.enumerated("JobStatus", status)
        if value is None:
            raise omero.ApiUsageException("", "", f"there is no JobStatus {status}")
        self.store.set(job, status=value)
        if message is not None:
            self.store.set(job, message=message)
        if status == "Running":
            self.store.set(job, started=now_ms())
        if status in _OVER:
            self.store.set(job, finished=now_ms())
        return old
