"""The border for exceptions of Ice and OMERO, and what of a session may leave the process."""

from __future__ import annotations

import traceback
from types import SimpleNamespace
from typing import Any

import Glacier2
import Ice
import omero
import pytest

from worker.errors import NotPermitted, OmeroRefused, OmeroUnavailable, SessionEnded, WorkerError
from worker.pixels.session import Session, join, open_session, translated

KEY = "0f8fad5b-d9cb-469f-a165-70867728950e"


def raised_as(error: Exception) -> WorkerError:
    with pytest.raises(WorkerError) as caught, translated("read plane 3"):
        raise error
    assert caught.value.__cause__ is error
    return caught.value


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (Ice.ConnectionLostException(), OmeroUnavailable),
        (Ice.ConnectionRefusedException(), OmeroUnavailable),
        (Ice.ConnectTimeoutException(), OmeroUnavailable),
        (Ice.InvocationTimeoutException(), OmeroUnavailable),
        (Ice.DNSException(), OmeroUnavailable),
        (Ice.ObjectNotExistException(), OmeroUnavailable),
        (Ice.CommunicatorDestroyedException(), OmeroUnavailable),
        (Glacier2.PermissionDeniedException("no"), SessionEnded),
        (Glacier2.CannotCreateSessionException("not yet"), OmeroUnavailable),
        (omero.RemovedSessionException("", "", "gone"), SessionEnded),
        (omero.SessionTimeoutException("", "", "gone"), SessionEnded),
        (omero.MissingPyramidException("", "", "later"), OmeroUnavailable),
        (omero.ClientError("no session"), OmeroUnavailable),
        (omero.SecurityViolation("", "", "not yours"), NotPermitted),
        (omero.ValidationException("", "", "nonsense"), OmeroRefused),
        (omero.ApiUsageException("", "", "nonsense"), OmeroRefused),
        (omero.InternalException("", "", "bug"), OmeroRefused),
        (Ice.UnknownException("bug"), OmeroRefused),
        (Ice.MemoryLimitException("too large"), OmeroRefused),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else value.__name__,
)
def test_a_foreign_exception_becomes_one_of_ours(error: Exception, expected: type[WorkerError]) -> None:
    ours = raised_as(error)
    assert type(ours) is expected
    assert "read plane 3" in ours.message


def test_our_own_errors_pass() -> None:
    with pytest.raises(OmeroRefused, match="mine"), translated("do something"):
        raise OmeroRefused("mine")


def test_the_reason_of_the_server_is_told() -> None:
    assert "not yours" in raised_as(omero.SecurityViolation("", "", "not yours")).message


@pytest.mark.parametrize(
    "error",
    [
        omero.RemovedSessionException("", "", f"No session with uuid: {KEY}"),
        omero.ApiUsageException(f"at {KEY}", "", f"what is {KEY}?"),
        omero.SecurityViolation("", "", f"session {KEY} may not"),
        Glacier2.PermissionDeniedException(f"Password check failed for '{KEY}': []"),
        Ice.ObjectNotExistException(Ice.Identity(KEY, f"c/{KEY}"), "", "getPlane"),
        Ice.UnknownException(f"session {KEY}"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_no_session_key_is_left_in_the_text_of_an_error_or_its_cause(error: Exception) -> None:
    ours = raised_as(error)
    assert KEY not in "".join(traceback.format_exception(ours))


def test_a_server_that_is_not_there_is_unavailable() -> None:
    with pytest.raises(OmeroUnavailable, match=r"127\.0\.0\.1:1"):
        open_session("127.0.0.1", 1, user="alice", password="secret")
    with pytest.raises(OmeroUnavailable) as caught:
        join("127.0.0.1", 1, session_key=KEY)
    assert KEY not in str(caught.value)


def test_closing_a_session_that_is_closed_already_does_nothing() -> None:
    gateway: Any = SimpleNamespace(c=None)
    Session(gateway).close()
