"""From the inputs of a script to the end of its run, with a word to the person at every turn.

A script is only a window on its run. Once the run is recorded, the script may be cancelled, killed or cut off from
OMERO: the engine goes on from the record. OMERO.web shows ``Message`` once, when the script has ended, and its standard
output under *Info*; other clients can read ``Message`` at any time.
"""

from __future__ import annotations

import logging
import signal
import sys
import traceback
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from omero.gateway import BlitzGateway
from omero.rtypes import rstring

from worker.dialogs import fields
from worker.dialogs.files import check_files
from worker.dialogs.giving import give_log, give_objects
from worker.dialogs.reading import cancels_with_script, read_request
from worker.engine import interventions
from worker.engine.accept import accept
from worker.engine.assembly import open_record, open_resources
from worker.engine.attached import follow
from worker.engine.beat import service_alive
from worker.engine.omero import OwnSession
from worker.engine.request import parse_request
from worker.errors import OmeroError, WorkerError
from worker.pixels import session

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from types import FrameType
    from uuid import UUID

    from worker.analyses.catalogue import Catalogue
    from worker.dialogs.fields import Dialog
    from worker.engine.assembly import Record
    from worker.engine.attached import RunOutcome
    from worker.engine.request import RunRequest
    from worker.pixels.session import Identity

    Read = Callable[[Mapping[str, Any], Identity], dict[str, Any] | str]
    Give = Callable[["Teller", BlitzGateway, RunOutcome, Record], None]
    Check = Callable[[BlitzGateway, RunRequest], None]

CANCEL_PATIENCE_S = 25.0
"""How long a script that was cancelled cancels its run by itself: when Processor-0 itself ends, it kills after 30 s."""


class Stopped(BaseException):
    """Somebody wants this script, and only the script, to end; no handler of errors may hold that up."""


class StopSignals:
    """Turns the signals that ask this process to end into `Stopped`, so that there is time for a last word.

    After the first of them the others are ignored for good: Processor-0 repeats SIGTERM every 6 s and kills after 30 s.
    Neither the last word nor the end of the session may be interrupted, and a process that dies of a signal would look
    like a success in OMERO.web.
    """

    _NUMBERS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)

    def __init__(self) -> None:
        self._held = False
        self._asked = False
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> StopSignals:
        self._before = {number: signal.signal(number, self._stop) for number in self._NUMBERS}
        return self

    def __exit__(self, *_exception: object) -> None:
        if not self._asked:
            for number, handler in self._before.items():
                signal.signal(number, handler)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Let a block come to its end before `Stopped` is raised."""
        self._held = True
        try:
            yield
        finally:
            self._held = False
        if self._asked:
            raise Stopped

    def _stop(self, _signal: int, _frame: FrameType | None) -> None:
        self._asked = True
        for number in self._NUMBERS:
            signal.signal(number, signal.SIG_IGN)
        if not self._held:
            raise Stopped


class Teller:
    """Tells the person who started a script what goes on.

    Parameters
    ----------
    client : omero.client
        The script's client.
    """

    def __init__(self, client: Any) -> None:
        self._client = client

    def say(self, message: str) -> None:
        """Set ``Message`` and write a line to standard output.

        A connection that is gone for a while does not disturb the run: the next message may get through.
        """
        print(message, flush=True)
        try:
            self.give("Message", rstring(message))
        except OmeroError as error:
            print(f"({error})", flush=True)

    def give(self, name: str, value: Any) -> None:
        """Set another output of the script.

        Parameters
        ----------
        name : str
            Its name.
        value : omero.RType
            Its value.

        Raises
        ------
        OmeroError
            OMERO does not take it.
        """
        with session.translated(f"set the output {name} of the script"):
            self._client.setOutput(name, value)


def launch(client: Any, catalogue: Catalogue, dialog: Dialog = fields.RUN) -> int:
    """Do what was filled in: record the run and follow it to its end.

    Parameters
    ----------
    client : omero.client
        The script's client, with its session and its inputs. It stays open.
    catalogue : Catalogue
        What can be run, as the dialog showed it.
    dialog : Dialog
        What was filled in.

    Returns
    -------
    int
        Exit status of the script: 0 only if the run is done and its results are in OMERO. Never negative, as OMERO.web
        takes that for success.
    """
    return follow_request(
        client,
        lambda inputs, person: read_request(inputs, catalogue, person, dialog),
        check=lambda gateway, request: check_files(gateway, request, catalogue),
    )


def follow_request(client: Any, read: Read, give: Give | None = None, *, check: Check | None = None) -> int:
    """Record a run and follow it to its end.

    Parameters
    ----------
    client : omero.client
        The script's client, with its session and its inputs. It stays open.
    read : callable
        Makes the fields of `worker.engine.request.RunRequest` of the inputs and the person; or, where there is nothing
        to do, the words that say so.
    give : callable, optional
        Sets what the script gives beside ``Message``; by default the objects that the run has created.
    check : callable, optional
        Looks in OMERO, as the person, whether what was asked for is there; raises what is wrong.

    Returns
    -------
    int
        Exit status of the script: 0 only if the run is done. Never negative, as OMERO.web takes that for success.
    """
    quieten()
    teller = Teller(client)
    run_id: UUID | None = None
    try:
        with StopSignals() as signals:
            gateway = BlitzGateway(client_obj=client)
            person = session.who(gateway)
            with session.translated("read the inputs of the script"):
                inputs = client.getInputs(unwrap=True)
            asked = read(inputs, person)
            if isinstance(asked, str):
                teller.say(asked)
                return 0
            request = parse_request(asked)
            if check is not None:
                check(gateway, request)
            cancels = cancels_with_script(inputs)
            with open_record() as record:
                try:
                    # Whoever is told that nothing was started must be able to rely on it.
                    with signals.held():
                        if request.kind == "analysis" and record.environment.importer_enabled:
                            request = request.model_copy(update={"in_place": True})
                        run_id = accept(record.tracker, request, record.settings, importer=record.importer)
                    what = "is cancelled with this script" if cancels else "goes on even if this script is stopped"
                    teller.say(f"Run {run_id} is accepted: it {what}.")
                    outcome = _follow(run_id, record, gateway, teller.say)
                except Stopped:
                    if run_id is None:
                        raise
                    if cancels:
                        by = f"{person.user_name} (cancelled the script)"
                        teller.say(_cancel(run_id, record, gateway, by, teller.say))
                    else:
                        teller.say(_goes_on(run_id, record))
                    return 1
                with signals.held():
                    teller.say(outcome.message)
                    if give is None:
                        give_objects(teller, gateway, outcome)
                        if outcome.status == "FAILED":
                            give_log(teller, gateway, outcome)
                    else:
                        give(teller, gateway, outcome, record)
            return 0 if outcome.status == "DONE" else 1
    except WorkerError as error:
        if run_id is None:
            teller.say(f"Not started: {error}")
        else:
            teller.say(f"This script lost sight of run {run_id}, which goes on without it: {error}")
    except Stopped:
        if run_id is None:
            teller.say("Stopped before anything was started.")
    except Exception:  # noqa: BLE001 - the last word to a person, whatever happened
        # A defect of ours. The trace is for whoever reads the script's error output.
        traceback.print_exc(file=sys.stderr)
        what = "Not started" if run_id is None else f"This script lost sight of run {run_id}, which goes on without it"
        teller.say(f"{what}: an unexpected error, which an admin finds in the script's error output.")
    return 1


def _follow(run_id: UUID, record: Record, gateway: BlitzGateway, report: Callable[[str], None]) -> RunOutcome:
    """Follow the run with this script's own session, driving it where no engine service is alive."""
    with open_resources(record, OwnSession(gateway)) as resources:
        return follow(run_id, resources=resources, database=record.database, report=report)


def _cancel(run_id: UUID, record: Record, gateway: BlitzGateway, by: str, report: Callable[[str], None]) -> str:
    """Cancel the run of a script that was cancelled; return what the person is told last.

    Processor-0 may kill this process at any moment from now on. What counts is recorded first; where an engine service
    is alive, the rest is its business.
    """
    try:
        interventions.cancel(record.tracker, run_id, by=by)
        if service_alive(record.database):
            return f"This script was cancelled, and run {run_id} is cancelled with it: its jobs leave the cluster."
        report(f"Cancelling run {run_id}.")
        with open_resources(record, OwnSession(gateway)) as resources:
            outcome = follow(
                run_id, resources=resources, database=record.database, report=report, timeout_s=CANCEL_PATIENCE_S
            )
    except WorkerError as error:
        return f"This script was cancelled; whether run {run_id} is cancelled with it is not certain. {error}"
    if outcome.status == "GOING_ON":
        return (
            f"This script was cancelled, and run {run_id} is to be cancelled with it, but the cluster is not rid of it"
            " yet, and no engine service is alive: that is done as soon as an admin starts 'omero-worker serve'."
        )
    return outcome.message


def _goes_on(run_id: UUID, record: Record) -> str:
    """Say what becomes of a run whose script was stopped."""
    try:
        alive = service_alive(record.database)
    except WorkerError as error:
        return f"This script was stopped; run {run_id} is recorded and goes on. {error}"
    if alive:
        return (
            f"This script was stopped; run {run_id} goes on without it. To cancel the run itself, ask an admin for"
            f" 'omero-worker runs cancel {run_id}'."
        )
    return (
        f"This script was stopped, and no engine service is alive: run {run_id} is recorded and goes on as soon as"
        " an admin starts 'omero-worker serve'. What runs on the cluster goes on there."
    )


def quieten() -> None:
    """Keep logs out of standard error: OMERO.web shows a button "Error" as soon as there is anything in it."""
    logging.basicConfig(stream=sys.stdout, level=logging.WARNING)
    logging.getLogger("paramiko").setLevel(logging.CRITICAL)
