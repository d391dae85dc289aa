"""Running scripts: InteractiveProcessor and ScriptProcess."""

from __future__ import annotations

import contextlib
import threading
import time
import uuid
from typing import TYPE_CHECKING, Any

import Ice
import omero
from omero.rtypes import rint, rmap, robject

from tests.lab.omero.model.encode import encode
from tests.lab.omero.security.sessions import SCRIPT_LIVE_MS, Session
from tests.lab.omero.services.base import Service
from tests.lab.omero.services.jobs import job_object
from tests.lab.omero.serving.dispatch import log, servant, unlocked, writes

if TYPE_CHECKING:
    from tests.lab.omero.blitz import Blitz
    from tests.lab.omero.model.rows import Row
    from tests.lab.omero.security.call import Call

_OVER = frozenset({"Finished", "Error", "Cancelled"})


def identity(category: str) -> Any:
    """Return a new identity for a servant."""
    return Ice.Identity(str(uuid.uuid4()), category)


@servant(omero.grid.InteractiveProcessor)
class InteractiveProcess(Service):
    """One job at a processor, in a session that is made for it.

    Parameters
    ----------
    blitz, session
        As for every service.
    processor : ProcessorPrx
        The processor that has accepted the job.
    job : Row
        The job.
    call : Call
        Who asked for it.
    """

    stateful = True

    def __init__(self, blitz: Blitz, session: Session, processor: Any, job: Row, call: Call) -> None:
        super().__init__(blitz, session)
        self.processor = processor
        self.job = job
        self.parameters: Any = None
        self.process: Any = None
        self._call = call
        self._script_session: Session | None = None
        self._lock = threading.Lock()

    @property
    def script_session(self) -> Session:
        """The session in which the script works."""
        with self._lock:
            if self._script_session is None:
                live_ms = int(self.blitz.configuration.get("omero.scripts.timeout", SCRIPT_LIVE_MS))
                with self.store.transaction():
                    self._script_session = self.blitz.sessions.create(
                        self._call.user, self.job.group, agent="OMERO.scripts", idle_ms=0, live_ms=live_ms
                    )
                self._script_session.references += 1
            return self._script_session

    def _context(self) -> dict[str, str]:
        """Return what tells the processor which Python class is to run the script."""
        configuration = self.blitz.configuration
        return {
            "omero.process": configuration["omero.process.python"],
            "omero.launcher": configuration["omero.launcher.python"],
        }

    def _job_object(self) -> Any:
        with self.store.lock:
            return job_object(self.store, self._call, self.job)

    def expires(self, current: Any = None) -> int:
        return 0

    def getJob(self, current: Any = None) -> Any:
        return job_object(self.store, self._call, self.job)

    @unlocked
    def params(self, current: Any = None) -> Any:
        if self.parameters is None:
            session = self.script_session
            self.parameters = self.processor.parseJob(session.uuid, self._job_object(), self._context())
            if self.parameters is None:
                raise omero.ValidationException("", "", f"Can't find params for {self.job.id}!{self._output()}")
        return self.parameters

    def _output(self) -> str:
        """Return what a script wrote before it failed."""
        texts = []
        with self.store.lock:
            paths = {name: self.blitz.files.path_of(file) for name, file in self._attached().items()}
        for name, path in paths.items():
            with contextlib.suppress(FileNotFoundError):
                texts.append(f"\n{name}:\n{path.read_text(encoding='utf-8', errors='replace')}")
        return "".join(texts)

    @unlocked
    def execute(self, inputs: Any, current: Any = None) -> Any:
        if self.process is not None:
            raise omero.ApiUsageException("", "", "Process currently running")
        session = self.script_session
        for key, value in (inputs.val if inputs is not None else {}).items():
            self.blitz.sessions.set_input(session, key, value)
        parameters = self.params(current)
        session.outputs.clear()
        public = self.processor.processJob(session.uuid, parameters, self._job_object(), self._context())
        self.process = omero.grid.ProcessPrx.uncheckedCast(self.blitz.switchboard.reach(public))
        return public

    def _attached(self) -> dict[str, Row]:
        links = self.store.collection(self.job, "originalFileLinks")
        files = {link["child"]["name"]: link["child"] for link in links}
        return {name: file for name, file in files.items() if name in {"stdout", "stderr"}}

    def results(self) -> dict[str, Any]:
        """Return the outputs of the script, with what it wrote."""
        result = dict(self.script_session.outputs)
        with self.store.lock:
            for name, file in self._attached().items():
                result[name] = robject(encode(self._call, file))
        return result

    @unlocked
    def getResults(self, process: Any, current: Any = None) -> Any:
        return rmap(self.results())

    def setDetach(self, detach: bool, current: Any = None) -> bool:
        return True

    @unlocked
    def stop(self, current: Any = None) -> None:
        self.end()
        self.blitz.switchboard.withdraw(self.session, current.id)

    def end(self) -> None:
        """End the session that was made for the script."""
        if self._script_session is not None:
            self.blitz.sessions.close(self._script_session)


@servant(omero.grid.ScriptProcess)
class ScriptProcess(Service):
    """A running script, as ``IScript.runScript`` returns it."""

    stateful = True

    def __init__(self, blitz: Blitz, session: Session, interactive: InteractiveProcess) -> None:
        super().__init__(blitz, session)
        self._interactive = interactive

    @property
    def _process(self) -> Any:
        return self._interactive.process

    def getJob(self, current: Any = None) -> Any:
        return self._interactive.getJob(current)

    @unlocked
    def poll(self, current: Any = None) -> Any:
        try:
            return self._process.poll()
        except Ice.LocalException as error:
            return self._without_process(error)

    def _without_process(self, error: Exception) -> Any:
        """Return how a script has ended whose processor does not know it any more."""
        with self.store.lock:
            status = self._interactive.job["status"]["value"]
        if status in _OVER:
            return rint(0 if status == "Finished" else 1)
        log.info("the processor of job %s does not answer: %s", self._interactive.job.id, error)
        raise omero.ResourceError("", "", "the processor that ran this script does not answer") from error

    @unlocked
    def wait(self, current: Any = None) -> int:
        try:
            return int(self._process.wait())
        except Ice.LocalException as error:
            return int(self._without_process(error).val)

    @unlocked
    def getResults(self, wait_s: int, current: Any = None) -> dict[str, Any]:
        deadline = time.monotonic() + (wait_s or 0)
        while self.poll(current) is None:
            if time.monotonic() >= deadline:
                raise omero.ResourceError("", "", "Process still running")
            time.sleep(0.1)
        return self._interactive.results()

    @writes
    def setMessage(self, message: str, current: Any = None) -> str:
        job = self._interactive.job
        old = job["message"] or ""
        self.store.set(job, message=message)
        return old

    @unlocked
    def cancel(self, current: Any = None) -> bool:
        return bool(self._process.cancel())

    @unlocked
    def kill(self, current: Any = None) -> bool:
        return bool(self._process.kill())

    @unlocked
    def shutdown(self, current: Any = None) -> None:
        self._process.shutdown()

    @unlocked
    def registerCallback(self, callback: Any, current: Any = None) -> None:
        self._process.registerCallback(callback)

    @unlocked
    def unregisterCallback(self, callback: Any, current: Any = None) -> None:
        self._process.unregisterCallback(callback)

    @unlocked
    def close(self, detach: bool, current: Any = None) -> None:
        self.blitz.switchboard.remove(current.id)
