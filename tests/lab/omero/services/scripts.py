"""IScript."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import omero
from omero.rtypes import rmap

from tests.lab.omero.model.encode import encode
from tests.lab.omero.scriptfiles import MIMETYPE, is_official, is_script, path_in_repository
from tests.lab.omero.services.base import Service, encode_all, now_ms
from tests.lab.omero.services.processes import InteractiveProcess, ScriptProcess, identity
from tests.lab.omero.serving.dispatch import servant, unlocked, writes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.lab.omero.model.rows import Row

_PARSE_WAIT_S = 10
_RUN_WAIT_S = 5


@servant(omero.api.IScript)
class ScriptService(Service):
    """Scripts: what there is, what they ask for, and running them."""

    # Files

    def _script(self, script_id: int, current: Any) -> Row:
        row = self.store.get("OriginalFile", script_id)
        if row is None or not is_script(row) or not self.call(current).may_see(row):
            raise omero.ApiUsageException("", "", f"No script with id {script_id}")
        return row

    def getScripts(self, current: Any = None) -> list[Any]:
        self.blitz.scripts.look()
        return encode_all(self.call(current), self.blitz.scripts.rows())

    def getScriptsByMimetype(self, mimetype: str, current: Any = None) -> list[Any]:
        return self.getScripts(current) if mimetype == MIMETYPE else []

    def getUserScripts(self, accepts: Sequence[Any], current: Any = None) -> list[Any]:
        call = self.call(current)
        rows = [row for row in self.store.all("OriginalFile") if is_script(row) and not is_official(row)]
        return encode_all(call, [row for row in rows if call.may_see(row) and _accepted(row, accepts)])

    def getScriptID(self, path: str, current: Any = None) -> int:
        self.blitz.scripts.look()
        wanted = f"/{path.lstrip('/')}"
        return next((row.id for row in self.blitz.scripts.rows() if path_in_repository(row) == wanted), -1)

    def getScriptText(self, script_id: int, current: Any = None) -> str:
        return self.blitz.files.path_of(self._script(script_id, current)).read_text(encoding="utf-8")

    def getScriptWithDetails(self, script_id: int, current: Any = None) -> dict[str, Any]:
        row = self._script(script_id, current)
        return {self.getScriptText(script_id, current): encode(self.call(current), row)}

    @writes
    def uploadScript(self, path: str, text: str, current: Any = None) -> int:
        call = self.call(current)
        owner, group = call.owner_and_group(None)
        directory, _, name = f"/{path.lstrip('/')}".rpartition("/")
        row = self.store.new("OriginalFile", owner, group, self.event(call), name=name, path=f"{directory}/")
        self.store.set(row, mimetype=MIMETYPE)
        self._write(row, text)
        return row.id

    @writes
    def uploadOfficialScript(self, path: str, text: str, current: Any = None) -> int:
        if not self.call(current).may(privilege="WriteScriptRepo"):
            raise omero.SecurityViolation("", "", "uploading official scripts takes the privilege WriteScriptRepo")
        place = self.blitz.scripts.own / path.lstrip("/")
        if ".." in place.parts or place.exists():
            raise omero.ApiUsageException("", "", f"there is a script {path} already, or cannot be")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text, encoding="utf-8")
        return self.blitz.scripts.register(f"/{path.lstrip('/')}", place).id

    @writes
    def editScript(self, file: Any, text: str, current: Any = None) -> None:
        row, call = self._script(file._id.val, current), self.call(current)
        self.blitz.scripts.check_own(row)
        if not (is_official(row) and call.may(privilege="WriteScriptRepo")):
            call.check_update(row)
        self._write(row, text)

    def _write(self, row: Row, text: str) -> None:
        path = self.blitz.files.path_of(row)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        self.blitz.scripts.measure(row, path)

    @writes
    def deleteScript(self, script_id: int, current: Any = None) -> None:
        row, call = self._script(script_id, current), self.call(current)
        self.blitz.scripts.check_own(row)
        allowed = call.may(privilege="DeleteScriptRepo") if is_official(row) else call.may_delete(row)
        if not allowed:
            raise omero.SecurityViolation("", "", f"Deleting {row} not allowed for user {call.user.id}")
        self.blitz.files.path_of(row).unlink()
        self.blitz.scripts.retire(row)

    # Running

    def _acquire(self, job_class: str, script_id: int, wait_s: float, current: Any) -> InteractiveProcess:
        with self.store.transaction():
            self.blitz.scripts.look()
            call = self.call(current)
            script = self._script(script_id, current)
            group = self.session.group if call.all_groups else call.group
            who = (call.user, group, self.event(call))
            job = self.store.new(job_class, *who, username=call.user["omeName"], groupname=group["name"])
            status = self.store.enumerated("JobStatus", "Submitted")
            self.store.set(job, type="Script", message="", description="", status=status)
            self.store.set(job, submitted=now_ms(), scheduledFor=now_ms())
            self.store.new("JobOriginalFileLink", *who, parent=job, child=script)
        return self.blitz.acquire(self.session, call, job, wait_s)

    @unlocked
    def getParams(self, script_id: int, current: Any = None) -> Any:
        """Have a script parsed by a processor; what it said is kept unless it calls itself dynamic."""
        with self.store.lock:
            self.blitz.scripts.look()
            script = self._script(script_id, current)
            key = (script.id, script["hash"])
        if key in self.blitz.parameters:
            return self.blitz.parameters[key]
        process = self._acquire("ParseJob", script_id, _PARSE_WAIT_S, current)
        try:
            parameters = process.params(current)
        finally:
            process.end()
        if omero.constants.namespaces.NSDYNAMIC not in (parameters.namespaces or []):
            self.blitz.parameters[key] = parameters
        return parameters

    @unlocked
    def runScript(self, script_id: int, inputs: dict[str, Any], wait: Any, current: Any = None) -> Any:
        wait_s = wait.val if wait is not None else _RUN_WAIT_S
        parameters = self.getParams(script_id, current)
        process = self._acquire("ScriptJob", script_id, wait_s, current)
        process.parameters = parameters
        process.execute(rmap(inputs or {}), current)
        # OMERO.web takes only a proxy of this category for that of a script.
        script_process = identity("ProcessCallback")
        self.blitz.switchboard.add(ScriptProcess(self.blitz, self.session, process), script_process)
        return omero.grid.ScriptProcessPrx.uncheckedCast(self.blitz.switchboard.proxy(script_process))

    @unlocked
    def canRunScript(self, script_id: int, current: Any = None) -> bool:
        with self.store.lock:
            self._script(script_id, current)
        return bool(self.blitz.processors)

    def validateScript(self, job: Any, accepts: Sequence[Any], current: Any = None) -> Any:
        """Return the script of a job if a processor that accepts some owners may run it: by default, official ones."""
        row = self.visible(self.call(current), "Job", job._id.val)
        for link in self.store.collection(row, "originalFileLinks"):
            script = link["child"]
            if is_script(script):
                accepted = _accepted(script, accepts) if accepts else is_official(script)
                return encode(self.call(current), script) if accepted else None
        return None


def _accepted(script: Row, accepts: Sequence[Any]) -> bool:
    """Whether a script belongs to one of some users or groups; to any, if none are given."""
    if not accepts:
        return True
    owners = {("ExperimenterI", script.owner), ("ExperimenterGroupI", script.group)}
    wanted = {(type(item).__name__, item._id.val) for item in accepts}
    return bool(wanted & {(name, row.id) for name, row in owners if row is not None})
