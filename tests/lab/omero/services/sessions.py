"""ISession."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import omero

from tests.lab.omero.model.encode import encode
from tests.lab.omero.services.base import Service
from tests.lab.omero.serving.dispatch import servant, writes

if TYPE_CHECKING:
    from tests.lab.omero.security.sessions import Session

_SESSION_OVER = -2


@servant(omero.api.ISession)
class SessionService(Service):
    """Sessions, and their inputs and outputs: the way in which scripts are called."""

    def _object(self, session: Session, current: Any) -> Any:
        return encode(self.call(current), session.row)

    def _accessible(self, session_uuid: str) -> Session:
        """Return a session; knowing its key is enough, as it is for joining it."""
        return self.blitz.sessions.get(session_uuid)

    def getSession(self, session_uuid: str, current: Any = None) -> Any:
        return self._object(self._accessible(session_uuid), current)

    def getReferenceCount(self, session_uuid: str, current: Any = None) -> int:
        return self._accessible(session_uuid).references

    @writes
    def closeSession(self, obj: Any, current: Any = None) -> int:
        session = self._accessible(obj._uuid.val)
        session.references -= 1
        if session.references > 0:
            return session.references
        self.blitz.sessions.close(session)
        return _SESSION_OVER

    def _mine(self, current: Any, agent: str | None = None) -> list[Any]:
        return [
            self._object(session, current)
            for session in self.blitz.sessions.all()
            if session.user is self.session.user and (agent is None or session.row["userAgent"] == agent)
        ]

    def getMyOpenSessions(self, current: Any = None) -> list[Any]:
        return self._mine(current)

    def getMyOpenAgentSessions(self, agent: str, current: Any = None) -> list[Any]:
        return self._mine(current, agent)

    def _create(self, principal: Any, current: Any, *, idle_ms: int | None = None, live_ms: int = 0) -> Any:
        user = self.blitz.people.user(principal.name)
        call = self.call(current)
        may = call.may(privilege="Sudo") or user is self.session.user
        if user is None or not may:
            raise omero.SecurityViolation("", "", f"user {call.user.id} may not open a session for {principal.name}")
        group = self.blitz.people.group(principal.group) if principal.group else None
        if principal.group and group is None:
            raise omero.ApiUsageException("", "", f"No such group: {principal.group}")
        sudoer = self.session.user if user is not self.session.user else None
        session = self.blitz.sessions.create(
            user, group, agent="createSession", sudoer=sudoer, idle_ms=idle_ms, live_ms=live_ms
        )
        return self._object(session, current)

    @writes
    def createSession(self, principal: Any, credentials: str, current: Any = None) -> Any:
        return self._create(principal, current)

    @writes
    def createSessionWithTimeout(self, principal: Any, live_ms: int, current: Any = None) -> Any:
        return self._create(principal, current, live_ms=live_ms)

    @writes
    def createSessionWithTimeouts(self, principal: Any, live_ms: int, idle_ms: int, current: Any = None) -> Any:
        return self._create(principal, current, idle_ms=idle_ms, live_ms=live_ms)

    @writes
    def createUserSession(self, live_ms: int, idle_ms: int, group: str, current: Any = None) -> Any:
        principal = omero.sys.Principal(self.session.user["omeName"], group, "User", None)
        return self._create(principal, current, idle_ms=idle_ms, live_ms=live_ms)

    def getInput(self, session_uuid: str, key: str, current: Any = None) -> Any:
        return self._accessible(session_uuid).inputs.get(key)

    def getInputs(self, session_uuid: str, current: Any = None) -> dict[str, Any]:
        return dict(self._accessible(session_uuid).inputs)

    def getInputKeys(self, session_uuid: str, current: Any = None) -> list[str]:
        return list(self._accessible(session_uuid).inputs)

    @writes
    def setInput(self, session_uuid: str, key: str, value: Any, current: Any = None) -> None:
        self.blitz.sessions.set_input(self._accessible(session_uuid), key, value)

    def getOutput(self, session_uuid: str, key: str, current: Any = None) -> Any:
        return self._accessible(session_uuid).outputs.get(key)

    def getOutputs(self, session_uuid: str, current: Any = None) -> dict[str, Any]:
        return dict(self._accessible(session_uuid).outputs)

    def getOutputKeys(self, session_uuid: str, current: Any = None) -> list[str]:
        return list(self._accessible(session_uuid).outputs)

    def setOutput(self, session_uuid: str, key: str, value: Any, current: Any = None) -> None:
        outputs = self._accessible(session_uuid).outputs
        if value is None:
            outputs.pop(key, None)
        else:
            outputs[key] = value
