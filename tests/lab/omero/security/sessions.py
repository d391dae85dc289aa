"""Sessions: they outlive a restart of the server, and end when nobody used them for long enough."""

from __future__ import annotations

import time
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import omero

from tests.lab.omero.model.rtypes import from_json, to_json

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tests.lab.omero.model.rows import Row
    from tests.lab.omero.model.store import Store
    from tests.lab.omero.security.people import People

DEFAULT_IDLE_MS = 600_000
"""How long a session may be unused, unless the server's ``omero.sessions.timeout`` says otherwise."""

SCRIPT_LIVE_MS = 604_800_000
"""How long the session of a script may live, unless ``omero.scripts.timeout`` says otherwise: a week."""


@dataclass(eq=False, slots=True)
class Session:
    """A session of a user.

    Parameters
    ----------
    row : Row
        The stored Session; its ``extra`` has the group and the inputs.
    people : People
        For asking about its user.
    user, group : Row
        Who works, and in which group unless a call says otherwise.
    sudoer : Row, optional
        The administrator who has made this session for the user.
    """

    row: Row
    people: People
    user: Row
    group: Row
    sudoer: Row | None = None
    inputs: dict[str, Any] = field(default_factory=dict)
    outputs: dict[str, Any] = field(default_factory=dict)
    references: int = 0
    closed: bool = False
    last_used_s: float = field(default_factory=time.monotonic)
    servants: dict[str, Any] = field(default_factory=dict)

    @property
    def uuid(self) -> str:
        """The key by which it can be joined."""
        return str(self.row["uuid"])

    @property
    def event_id(self) -> int:
        """Id of the event of its creation."""
        return self.row.creation_event.id if self.row.creation_event else 0

    @property
    def is_admin(self) -> bool:
        """Whether its user is an administrator, full or restricted."""
        return self.people.is_admin(self.user)

    @property
    def privileges(self) -> frozenset[str]:
        """What it is allowed as an administrator; never more than the one who made it for somebody else."""
        own = self.people.privileges(self.user)
        return own & self.people.privileges(self.sudoer) if self.sudoer else own

    def touch(self) -> None:
        """Note that it was used."""
        self.last_used_s = time.monotonic()

    def has_expired(self) -> bool:
        """Whether it was unused for longer than it may be, or has lived for longer than it may."""
        idle_ms, live_ms = self.row["timeToIdle"] or 0, self.row["timeToLive"] or 0
        if idle_ms and (time.monotonic() - self.last_used_s) * 1000 > idle_ms:
            return True
        return bool(live_ms) and time.time() * 1000 - self.row["started"] > live_ms

    def check(self) -> None:
        """Raise a RemovedSessionException if it is over."""
        if self.closed or self.has_expired():
            raise removed(self.uuid)


def removed(session_uuid: str) -> Exception:
    """Return what is raised for a session that is over or was never there."""
    error: Exception = omero.RemovedSessionException("", "", f"No session with uuid:{session_uuid}")
    return error


class Sessions:
    """The open sessions.

    Parameters
    ----------
    store : Store
        Where they are kept; those that were open when the server stopped are open again, as if just used.
    people : People
        The users in it.
    configuration : mapping
        Properties of the server.
    """

    def __init__(self, store: Store, people: People, configuration: Mapping[str, str]) -> None:
        self._store = store
        self._people = people
        self._configuration = configuration
        self._open: dict[str, Session] = {}
        self.on_close: Callable[[Session], None] = lambda _: None
        for row in store.all("Session"):
            if row["closed"] is None:
                self._open[row["uuid"]] = self._restored(row)

    def _restored(self, row: Row) -> Session:
        extra = row.extra
        session = Session(row, self._people, row["owner"], self._people.group_by_id(extra["group"]), row["sudoer"])
        session.inputs = {key: from_json(value) for key, value in extra.get("inputs", {}).items()}
        return session

    def all(self) -> list[Session]:
        """Return all open sessions."""
        return list(self._open.values())

    def find(self, session_uuid: str) -> Session | None:
        """Return an open session, or None."""
        session = self._open.get(session_uuid)
        return None if session is None or session.has_expired() else session

    def get(self, session_uuid: str) -> Session:
        """Return an open session; RemovedSessionException if there is none."""
        session = self.find(session_uuid)
        if session is None:
            raise removed(session_uuid)
        return session

    def create(
        self,
        user: Row,
        group: Row | None = None,
        *,
        agent: str = "",
        sudoer: Row | None = None,
        idle_ms: int | None = None,
        live_ms: int = 0,
    ) -> Session:
        """Open a session, inside of a transaction.

        Parameters
        ----------
        user : Row
            Whose it is.
        group : Row, optional
            In which group it works, by default the user's default one.
        agent : str
            The program that asked for it.
        sudoer : Row, optional
            The administrator who asked for it.
        idle_ms, live_ms : int
            How long it may be unused, and how long it may live at all; 0 is for ever.

        Returns
        -------
        Session
            The session.

        Raises
        ------
        omero.SecurityViolation
            If the user is not a member of that group.
        """
        group = group or self._people.default_group(user)
        if group not in self._people.groups_of(user) and not self._people.is_admin(user):
            raise omero.SecurityViolation("", "", f"User {user.id} is not a member of group {group['name']}")
        if idle_ms is None:
            idle_ms = int(self._configuration.get("omero.sessions.timeout", DEFAULT_IDLE_MS))
        now_ms, store = int(time.time() * 1000), self._store
        event = store.new("Event", status="", time=now_ms, type=store.enumerated("EventType", "Sessions"))
        store.set(event, experimenter=user, experimenterGroup=group)
        row = store.new("Session", user, group, event, uuid=str(uuid.uuid4()), owner=user, sudoer=sudoer)
        store.set(row, timeToIdle=idle_ms, timeToLive=live_ms, started=now_ms, userAgent=agent, defaultEventType="User")
        store.set_extra(row, group=group.id)
        session = self._open[row["uuid"]] = Session(row, self._people, user, group, sudoer)
        return session

    def set_group(self, session: Session, group: Row) -> None:
        """Change the group in which a session works."""
        with self._store.transaction():
            self._store.set_extra(session.row, group=group.id)
        session.group = group

    def set_input(self, session: Session, key: str, value: Any) -> None:
        """Set an input of a session, or remove it with None."""
        inputs = {name: old for name, old in session.inputs.items() if name != key}
        if value is not None:
            inputs[key] = value
        kept = {}
        for name, item in inputs.items():
            try:
                kept[name] = to_json(item)
            except TypeError:
                # It is there as long as the process is, like everything was before OMERO kept sessions.
                continue
        with self._store.transaction():
            self._store.set_extra(session.row, inputs=kept)
        session.inputs = inputs

    def close(self, session: Session) -> None:
        """End a session."""
        if session.closed:
            return
        session.closed = True
        self._open.pop(session.uuid, None)
        with self._store.transaction():
            self._store.set(session.row, closed=int(time.time() * 1000))
        self.on_close(session)

    def close_expired(self) -> None:
        """End the sessions whose time is over."""
        for session in self.all():
            if session.has_expired():
                self.close(session)
