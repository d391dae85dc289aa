"""Looking up what is a person's own while a dialog of theirs opens: in OMERO, and in the record of runs.

That takes a connection to each, which may be slow or fail; a dialog must neither wait long nor fail. So each is given a
short while, and only where a dialog is opened: not where the script runs, and not where its parameters are merely read.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar, get_args

import Ice
import omero
import omero.sys

from worker.errors import WorkerError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from worker.history.database import Database

T = TypeVar("T")

PATIENCE_S = 3.0
"""How long the opening of a dialog waits for each of the two."""

OMERO, RECORD = "OMERO", "the record of runs"

MOST_PLACES = 500
"""Projects, and so on, that are offered."""

Kind = Literal["Project", "Dataset", "Plate"]

_PLACES: Mapping[Kind, str] = {
    kind: f"select o.id, o.name from {kind} o where o.details.owner.id = :id order by o.id desc"  # noqa: S608 - our own
    for kind in get_args(Kind)
}


@dataclass(slots=True)
class Found(Generic[T]):
    """What has been found: rows of the record, and the person's projects, datasets and plates.

    Parameters
    ----------
    rows : list
        What the record has of this person.
    places : dict of str to list of str
        Their projects, and what else was asked for, as ``<id>: <name>``, the newest first, by kind.
    missing : list of str
        Who has not answered in time; empty if everybody has.
    """

    rows: list[T] = field(default_factory=list)
    places: dict[Kind, list[str]] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)

    @property
    def problem(self) -> str:
        """Why there is less to choose from than there could be; empty if there is not."""
        if not self.missing:
            return ""
        return f"{' and '.join(self.missing)} did not answer in time, so that less can be chosen from."


def look_up(
    ask_record: Callable[[Database, int], list[T]],
    *,
    kinds: tuple[Kind, ...] = ("Project",),
    patience_s: float = PATIENCE_S,
) -> Found[T]:
    """Find out what is of whoever opens the dialog; this never fails.

    Parameters
    ----------
    ask_record : callable
        Asks the record of runs for what belongs to the person with that OMERO id.
    kinds : tuple of str
        What to ask OMERO for.
    patience_s : float
        How long to wait for OMERO, and then for the record, in seconds.

    Returns
    -------
    Found
        What was found in time; nothing where no dialog is opened.
    """
    if Ice.createProperties([]).getProperty("omero.scripts.parse") in ("", "only"):
        return Found()
    found: Found[T] = Found(missing=[OMERO, RECORD])
    try:
        # Not beside this thread: Ice ends the whole process if that ends while Ice waits. It keeps time by itself.
        user = _ask_omero(found, kinds, patience_s)
        found.missing.remove(OMERO)
    except Exception as error:  # noqa: BLE001 - whatever it is, the dialog opens
        _say(error)
        return found
    # It cannot be interrupted while it waits for a name server or a silent network; so it is left behind.
    thread = threading.Thread(target=_look_up, args=(ask_record, user, found), name="look-up", daemon=True)
    thread.start()
    thread.join(patience_s)
    return Found(found.rows, found.places, list(found.missing))


def _look_up(ask_record: Callable[[Database, int], list[T]], user: int, found: Found[T]) -> None:
    """Ask the record, which stays missing if it does not answer."""
    try:
        found.rows = _with_record(lambda database: ask_record(database, user))
        found.missing.remove(RECORD)
    except Exception as error:  # noqa: BLE001 - whatever it is, the dialog opens
        _say(error)


def _say(error: Exception) -> None:
    """Say what went wrong to whoever reads the output; the texts of foreign exceptions may hold session keys."""
    known = isinstance(error, WorkerError)
    print(f"What is yours cannot be looked up: {error if known else type(error).__name__}", flush=True)


def _ask_omero(found: Found[Any], kinds: tuple[Kind, ...], patience_s: float) -> int:
    """Find the person, and what is theirs in all of their groups."""
    # omero-py tries three times to connect.
    timeout_ms = int(patience_s * 1000 / 3)
    client = omero.client(
        [f"--Ice.Override.ConnectTimeout={timeout_ms}", f"--Ice.Default.InvocationTimeout={timeout_ms}"]
    )
    try:
        session = client.createSession()
        # It is the person's, not ours.
        session.detachOnDestroy()
        user: int = session.getAdminService().getEventContext().userId
        query = omero.sys.ParametersI()
        query.addId(user)
        query.page(0, MOST_PLACES)
        for kind in kinds:
            rows = session.getQueryService().projection(_PLACES[kind], query, {"omero.group": "-1"})
            found.places[kind] = [f"{object_id.val}: {name.val}" for object_id, name in rows]
        return user
    finally:
        client.__del__()


def _with_record(ask: Callable[[Database], list[T]]) -> list[T]:
    """Open the record for a question."""
    # Only here: a dialog that is merely read, and a script that runs, look nothing up and need none of this.
    from worker.history.database import Database
    from worker.settings.environment import read_environment
    from worker.settings.loader import load_settings

    environment = read_environment()
    url = environment.sqlalchemy_url or load_settings(environment.config_file).analytics.sqlalchemy_url
    file = environment.state_dir / "history.sqlite"
    if url is None and not file.exists():
        return []
    with Database(url.get_secret_value() if url else None, sqlite_path=file) as database:
        return ask(database)
