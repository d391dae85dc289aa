"""A script that answers at once: it does something short, says what came of it, and ends.

Whatever happens, the person gets a ``Message``, and the job is an Error in OMERO unless it went well.
"""

from __future__ import annotations

import sys
import traceback
from typing import TYPE_CHECKING, Any

from omero.gateway import BlitzGateway

from worker.dialogs.launch import Stopped, StopSignals, Teller, quieten
from worker.errors import NotPermitted, WorkerError
from worker.pixels import session

if TYPE_CHECKING:
    from collections.abc import Callable


def answer(client: Any, work: Callable[[Teller, BlitzGateway], None]) -> int:
    """Do the work of a script, and turn every way in which it can end into words and an exit status.

    Parameters
    ----------
    client : omero.client
        The script's client, with its session and its inputs. It stays open.
    work : callable
        Does it, telling the person by the `Teller`, as the owner of the gateway.

    Returns
    -------
    int
        Exit status of the script: 0 only if the work came to its end. Never negative, as OMERO.web takes that for
        success.
    """
    quieten()
    teller = Teller(client)
    try:
        with StopSignals():
            work(teller, BlitzGateway(client_obj=client))
        return 0
    except WorkerError as error:
        teller.say(f"Not done: {error}" if not isinstance(error, NotPermitted) else str(error))
    except Stopped:
        teller.say("This script was stopped before it came to its end.")
    except Exception:  # noqa: BLE001 - the last word to a person, whatever happened
        # A defect of ours. The trace is for whoever reads the script's error output.
        traceback.print_exc(file=sys.stderr)
        teller.say("Not done: an unexpected error, which an admin finds in the script's error output.")
    return 1


def require_admin(gateway: BlitzGateway) -> None:
    """Insist on an admin.

    Parameters
    ----------
    gateway : omero.gateway.BlitzGateway
        The script's own connection.

    Raises
    ------
    NotPermitted
        The person is none.
    OmeroUnavailable
        OMERO does not answer.
    """
    with session.translated("ask OMERO who we are"):
        is_admin = gateway.c.sf.getAdminService().getEventContext().isAdmin
    if not is_admin:
        raise NotPermitted("ACCESS DENIED: this script is for admins of OMERO.", remedy="Ask one of them to run it.")
