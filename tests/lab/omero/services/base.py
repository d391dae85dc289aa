"""What every service has in common."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING, Any

import omero

from tests.lab.omero.model.encode import Encoder
from tests.lab.omero.model.schema import SCHEMA

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from contextlib import AbstractContextManager

    from tests.lab.omero.blitz import Blitz
    from tests.lab.omero.model.rows import Row
    from tests.lab.omero.security.call import Call
    from tests.lab.omero.security.sessions import Session


class Servant:
    """Something that is called through Ice, with no session of its own."""

    def before_call(self) -> None:
        """Do what has to be done before every operation."""

    def guard(self, _locking: str) -> AbstractContextManager[Any]:
        """Return what an operation runs inside of."""
        return contextlib.nullcontext()


class Service(Servant):
    """A service of a session.

    Parameters
    ----------
    blitz : Blitz
        The server.
    session : Session
        The session it belongs to; every call keeps it from expiring.
    """

    stateful = False

    def __init__(self, blitz: Blitz, session: Session) -> None:
        self.blitz = blitz
        self.session = session
        self.store = blitz.store

    def before_call(self) -> None:
        self.session.check()
        self.session.touch()

    def guard(self, locking: str) -> AbstractContextManager[Any]:
        match locking:
            case "write":
                return self.store.transaction()
            case "none":
                return contextlib.nullcontext()
            case _:
                return self.store.lock

    def call(self, current: Any) -> Call:
        """Return the call that is being answered, as a question of rights."""
        return self.blitz.call(self.session, (current.ctx if current is not None else None) or {})

    def event(self, call: Call) -> Row:
        """Return a new event for what this call changes."""
        return self.blitz.new_event(call.user, call.group, self.session.row)

    def visible(self, call: Call, cls: str, object_id: int) -> Row:
        """Return a row that the caller may see; ValidationException if there is none."""
        row = self.store.get(cls, object_id)
        if row is None or not call.may_see(row):
            message = f"The requested object (ome.model.{cls},{object_id}) is not available."
            raise omero.ValidationException("", "", message)
        return row

    def released(self) -> None:
        """Let go of what the service holds, when its session ends or a client closes it."""

    # ServiceInterface and StatefulServiceInterface

    def close(self, current: Any = None) -> None:
        self.released()
        self.blitz.switchboard.withdraw(self.session, current.id)

    def activate(self, current: Any = None) -> None:
        pass

    def passivate(self, current: Any = None) -> None:
        pass

    def getCurrentEventContext(self, current: Any = None) -> Any:
        return self.call(current).event_context()


def model_class(name: str) -> str:
    """Return the class that an argument names; ApiUsageException if there is none."""
    cls = SCHEMA.find(name)
    if cls is None:
        raise omero.ApiUsageException("", "", f"unknown class {name}")
    return cls


def encode_all(
    call: Call,
    rows: Iterable[Row],
    loaded: Iterable[Row | None] = (),
    collections: Mapping[tuple[Row, str], Sequence[Row]] | None = None,
) -> list[Any]:
    """Return the loaded objects of some rows, all in one graph."""
    rows = list(rows)
    encoder = Encoder(call, [*rows, *loaded], collections)
    return [encoder.object(row) for row in rows]


def now_ms() -> int:
    """Return the time as OMERO counts it: milliseconds since 1970."""
    return int(time.time() * 1000)
