"""The server: what its services share."""

from __future__ import annotations

import shutil
import time
import uuid
from collections import deque
from typing import TYPE_CHECKING, Any

import Ice
import omero

from tests.lab.omero.files import Files
from tests.lab.omero.imaging import Imaging
from tests.lab.omero.model.store import Store
from tests.lab.omero.processors import Processors
from tests.lab.omero.scriptfiles import ScriptFiles
from tests.lab.omero.security import bootstrap
from tests.lab.omero.security.call import Call
from tests.lab.omero.security.people import ROOT_USER, USER_GROUP, People
from tests.lab.omero.security.sessions import Session, Sessions
from tests.lab.omero.services.base import now_ms
from tests.lab.omero.services.configuration import DEFAULTS
from tests.lab.omero.services.factory import ServiceFactory
from tests.lab.omero.services.processes import InteractiveProcess
from tests.lab.omero.serving.switchboard import Switchboard

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from tests.lab.omero.model.rows import Row

_REMEMBERED_S = 600.0
"""How long the services of a session that is over answer that it is."""


class Blitz:
    """A server without its network.

    Parameters
    ----------
    data : Path
        Directory of everything that it keeps.
    scripts : mapping
        Directories of official scripts, by the path under which they appear.
    configuration : mapping
        Properties of the server, on top of :data:`tests.lab.omero.services.configuration.DEFAULTS`.
    """

    def __init__(self, data: Path, scripts: Mapping[str, Path], configuration: Mapping[str, str]) -> None:
        self._data = data
        data.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.configuration: dict[str, str] = {**DEFAULTS, **configuration}
        self.store = Store(data / "store.sqlite")
        if self.store.is_empty:
            bootstrap.fill(self.store, data)
        self.people = People(self.store)
        self.sessions = Sessions(self.store, self.people, self.configuration)
        self.sessions.on_close = self._release
        self.files = Files(data)
        self.imaging = Imaging(self.store, self.files)
        own_scripts = data / "scripts"
        own_scripts.mkdir(exist_ok=True)
        self.scripts = ScriptFiles(self.store, own_scripts, scripts)
        self.scripts.look()
        self.switchboard = Switchboard()
        self.processors = Processors(self.store, self.switchboard)
        self.parameters: dict[tuple[int, str], Any] = {}
        """What scripts ask for, by id and hash."""
        self._over: deque[tuple[float, Session]] = deque()
        self.stopping = False
        """Whether connections are lost because the server stops."""

    def call(self, session: Session, context: Mapping[str, str]) -> Call:
        """Return a call as a question of rights."""
        return Call(session, self.store, self.people, context)

    def new_event(self, user: Row, group: Row, session: Row) -> Row:
        """Make an event, inside of a transaction: the time and author of a change."""
        event = self.store.new("Event", status="", time=now_ms(), type=self.store.enumerated("EventType", "User"))
        self.store.set(event, experimenter=user, experimenterGroup=group, session=session)
        return event

    # Logging in

    def refusal(self, name: str, password: str) -> str | None:
        """Return why somebody may not log in: None if they may. The key of an open session is name and password."""
        with self.store.lock:
            if name == password and self.sessions.find(name) is not None:
                return None
            if self.people.check_password(name, password):
                return None
        return f"Password check failed for '{name}': []"

    def open_factory(self, name: str, context: Mapping[str, str], *, direct: bool = False) -> Any:
        """Open a session for a user, or join one, given its key.

        Parameters
        ----------
        name : str
            Name of a user, or key of a session.
        context : mapping
            The Ice context: ``omero.group`` is the name or id of a group, ``omero.client.uuid`` and ``omero.agent``
            tell of the client.
        direct : bool
            Whether it is a server of the grid that asks.

        Returns
        -------
        ServiceFactory
            The servant.
        """
        with self.store.transaction():
            session = self.sessions.find(name)
            if session is None:
                user = self.people.user(name)
                if user is None:
                    raise omero.ApiUsageException("", "", f"No such experimenter: {name}")
                session = self.sessions.create(user, self._group_of(context), agent=context.get("omero.agent", ""))
            session.references += 1
            session.touch()
            client = context.get("omero.client.uuid") or uuid.uuid4().hex
            identity = Ice.Identity(session.uuid, f"session-{client}")
            if self.switchboard.knows(identity):
                identity = Ice.Identity(session.uuid, f"session-{uuid.uuid4().hex}")
            factory = ServiceFactory(self, session, identity, direct=direct)
            self.switchboard.add(factory, identity)
            return factory

    def _group_of(self, context: Mapping[str, str]) -> Row | None:
        """Return the group that a client wants to work in: None if it does not say."""
        wanted = context.get("omero.group", "")
        if not wanted or wanted.startswith("-"):
            return None
        if wanted.isdigit():
            return self.people.group_by_id(int(wanted))
        group = self.people.group(wanted)
        if group is None:
            raise omero.ApiUsageException("", "", f"No such group: {wanted}")
        return group

    def _release(self, session: Session) -> None:
        """Let go of what the services of a session hold; they stay reachable, to say that the session is over."""
        for service in session.servants.values():
            service.released()
        self._over.append((time.monotonic(), session))

    def sweep(self) -> None:
        """End sessions whose time is over, and forget those that have ended a while ago."""
        self.sessions.close_expired()
        while self._over and self._over[0][0] < time.monotonic() - _REMEMBERED_S:
            _, session = self._over.popleft()
            for name in session.servants:
                self.switchboard.remove(Ice.Identity(name, session.uuid))

    # Scripts

    def acquire(self, session: Session, call: Call, job: Row, wait_s: float) -> InteractiveProcess:
        """Return a job at a processor that takes it; NoProcessorAvailable if there is none."""
        processor = self.processors.find(call, job, wait_s)
        if processor is None:
            with self.store.transaction():
                self.store.set(job, status=self.store.enumerated("JobStatus", "Error"))
            count = len(self.processors)
            raise omero.NoProcessorAvailable("", "", f"No processor available! [{count} response(s)]", count)
        process: InteractiveProcess = InteractiveProcess(self, session, processor, job, call)
        return process

    # Files

    def repository(self, name: str) -> Row:
        """Return the OriginalFile of a repository's root, which is made when it is first asked for."""
        directory = self._data / name
        directory.mkdir(exist_ok=True)
        found = self.store.first("OriginalFile", mimetype="Repository", name=name)
        if found is not None:
            return found
        who = (self.people.user_by_id(ROOT_USER), self.people.group_by_id(USER_GROUP), self.store.get("Event", 1))
        return self.store.new("OriginalFile", *who, name=name, path=f"{self._data}/", mimetype="Repository")

    def free_and_used_bytes(self) -> tuple[int, int]:
        """Return what is free and what is used on the disk."""
        usage = shutil.disk_usage(self._data)
        return usage.free, usage.used
