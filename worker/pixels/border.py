"""The border for exceptions of Ice and OMERO: what they raise becomes one of our own errors, without session keys."""

from __future__ import annotations

import contextlib
import re
from typing import TYPE_CHECKING, Any, Final

import Glacier2
import Ice
import omero
import omero.all  # makes the generated exceptions known

from worker.errors import NotPermitted, OmeroRefused, OmeroUnavailable, SessionEnded

if TYPE_CHECKING:
    from collections.abc import Iterator

_UUID: Final = re.compile(r"\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b", re.IGNORECASE)
_HIDDEN: Final = "<session>"


@contextlib.contextmanager
def translated(doing: str) -> Iterator[None]:
    """Translate what Ice and OMERO raise inside into our own errors.

    Parameters
    ----------
    doing : str
        What is being done, to follow "cannot": ``"read plane 3 of image 12"``.

    Raises
    ------
    SessionEnded
        The session is gone.
    OmeroUnavailable
        The connection is gone, or OMERO asks to try again later.
    NotPermitted
        OMERO does not let this person do it.
    OmeroRefused
        OMERO said no for another reason.
    """
    try:
        yield
    except omero.SecurityViolation as error:
        raise NotPermitted(
            f"Cannot {doing}: OMERO does not permit it{_reason(error)}.",
            remedy="Ask the owner of the data or an OMERO admin.",
        ) from _redacted(error)
    except (omero.SessionException, Glacier2.PermissionDeniedException, Glacier2.SessionNotExistException) as error:
        raise SessionEnded(
            f"Cannot {doing}: the OMERO session has ended.", remedy="A new session is needed."
        ) from _redacted(error)
    except (omero.ConcurrencyException, Glacier2.CannotCreateSessionException) as error:
        raise OmeroUnavailable(
            f"Cannot {doing}: OMERO is busy or not ready yet ({type(error).__name__})."
        ) from _redacted(error)
    except omero.ServerError as error:
        raise OmeroRefused(f"Cannot {doing}: {type(error).__name__}{_reason(error)}.") from _redacted(error)
    except (Ice.MarshalException, Ice.UnknownException, Ice.OperationNotExistException) as error:
        # The two sides do not understand each other, or the server failed inside: the same call would fail again.
        raise OmeroRefused(
            f"Cannot {doing}: OMERO failed ({type(error).__name__}).", remedy="The server's Blitz log says why."
        ) from _redacted(error)
    except Ice.TimeoutException as error:
        raise OmeroUnavailable(
            f"Cannot {doing}: OMERO did not answer in time ({type(error).__name__}).",
            remedy="Check that the OMERO server is running and not overloaded.",
        ) from _redacted(error)
    except (Ice.LocalException, omero.ClientError) as error:
        raise OmeroUnavailable(
            f"Cannot {doing}: no connection to OMERO ({type(error).__name__}).",
            remedy="Check that the OMERO server is running and can be reached.",
        ) from _redacted(error)


def _reason(error: Any) -> str:
    """Give the first line of what the server says, without session keys, ready to be put before a full stop."""
    lines = (getattr(error, "message", "") or "").strip().splitlines()
    return ": " + _UUID.sub(_HIDDEN, lines[0]).rstrip(".") if lines else ""


def _redacted(error: Any) -> Any:
    """Take session keys out of a foreign exception, because its text ends in logs with ours.

    Proxies of a session are named after its key, so that the text of nearly every Ice exception may contain it.
    """
    for name in ("message", "serverStackTrace", "reason", "unknown"):
        value = getattr(error, name, None)
        if isinstance(value, str):
            setattr(error, name, _UUID.sub(_HIDDEN, value))
    identity = getattr(error, "id", None)
    if isinstance(identity, Ice.Identity):
        error.id = Ice.Identity(_UUID.sub(_HIDDEN, identity.name), _UUID.sub(_HIDDEN, identity.category))
    return error
