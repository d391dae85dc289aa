from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import Glacier2
import omero
import omero.clients
import pytest
from omero.rtypes import rlist, rlong, rmap, robject, rstring, unwrap

from tests.lab.omero.private import HOST, PrivateOmero

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def root(omero_server: PrivateOmero) -> Iterator[Any]:
    with omero_server.login("root") as gateway:
        yield gateway


def session_for(root: Any, user: str, *, live_ms: int = 0, idle_ms: int = 60_000) -> str:
    principal = omero.sys.Principal(user, "lab-a", "User", None)
    session = root.getSessionService().createSessionWithTimeouts(principal, live_ms, idle_ms)
    return str(session.uuid.val)


def test_a_wrong_password_is_refused(omero_server: PrivateOmero) -> None:
    client = omero.client(HOST, omero_server.port)
    with pytest.raises(Glacier2.PermissionDeniedException):
        client.createSession("alice", "wrong")
    client.__del__()


@pytest.mark.parametrize("group", ["nonsense", "lab-b", "999"])
def test_logging_in_to_a_group_takes_membership(omero_server: PrivateOmero, group: str) -> None:
    with pytest.raises(RuntimeError, match="alice cannot log in"), omero_server.login("alice", group=group):
        pass


def test_passwords_are_not_on_disk(omero_server: PrivateOmero) -> None:
    for path in omero_server.data.glob("store.sqlite*"):
        content = path.read_bytes()
        assert b"alicepw" not in content
        assert omero_server.password("omero-worker").encode() not in content


def test_a_session_ends_when_nobody_used_it_for_long_enough(omero_server: PrivateOmero, root: Any) -> None:
    key = session_for(root, "alice", idle_ms=700)
    with omero_server.join(key) as alice:
        for _ in range(5):
            time.sleep(0.3)
            assert alice.getUser().getName() == "alice", "each call keeps it"
            alice.c.sf.keepAlive(None)
        time.sleep(1.0)
        with pytest.raises(omero.RemovedSessionException):
            alice.c.sf.getAdminService()
        with pytest.raises(omero.RemovedSessionException):
            root.getSessionService().getSession(key)


def test_a_session_ends_when_it_has_lived_for_long_enough(omero_server: PrivateOmero, root: Any) -> None:
    key = session_for(root, "alice", live_ms=900)
    with omero_server.join(key) as alice:
        query = alice.c.sf.getQueryService()
        deadline = time.monotonic() + 0.6
        while time.monotonic() < deadline:
            query.get("Experimenter", 0)
            time.sleep(0.1)
        time.sleep(0.5)
        with pytest.raises(omero.RemovedSessionException):
            query.get("Experimenter", 0)


def test_a_session_that_is_over_cannot_be_joined(omero_server: PrivateOmero, root: Any) -> None:
    key = session_for(root, "alice", live_ms=1)
    time.sleep(0.05)
    client = omero.client(HOST, omero_server.port)
    with pytest.raises(Glacier2.PermissionDeniedException):
        client.joinSession(key)
    client.__del__()


def test_a_session_ends_with_its_last_client(omero_server: PrivateOmero, root: Any) -> None:
    client = omero.client(HOST, omero_server.port)
    client.createSession("alice", "alicepw")
    key = client.getSessionId()
    client.closeSession()
    with pytest.raises(omero.RemovedSessionException):
        root.getSessionService().getSession(key)


def test_a_detached_session_stays(omero_server: PrivateOmero, root: Any) -> None:
    client = omero.client(HOST, omero_server.port)
    client.createSession("alice", "alicepw").detachOnDestroy()
    key = client.getSessionId()
    client.closeSession()
    assert root.getSessionService().getSession(key).uuid.val == key


def test_sessions_and_their_inputs_outlive_a_kill(own_server: PrivateOmero) -> None:
    own_server.start()
    inputs = {"text": rstring("a"), "ids": rlist([rlong(1), rlong(2)]), "map": rmap({"k": rlong(3)})}
    with own_server.login("root") as root:
        key = session_for(root, "alice")
        service = root.getSessionService()
        for name, value in inputs.items():
            service.setInput(key, name, value)
        service.setInput(key, "image", robject(omero.model.ImageI(7, False)))
    own_server.kill()
    own_server.start()
    with own_server.join(key) as alice:
        assert alice.getUser().getName() == "alice"
        assert alice.getEventContext().groupName == "lab-a"
        found = alice.getSessionService().getInputs(key)
        assert {name: unwrap(found[name]) for name in inputs} == {name: unwrap(value) for name, value in inputs.items()}
        assert found["image"].val.id.val == 7


def test_a_session_expires_after_a_restart_too(own_server: PrivateOmero) -> None:
    own_server.start()
    with own_server.login("root") as root:
        key = session_for(root, "alice", idle_ms=500)
        lasting = session_for(root, "alice")
    own_server.kill()
    own_server.start()
    time.sleep(0.8)
    with own_server.login("root") as root:
        with pytest.raises(omero.RemovedSessionException):
            root.getSessionService().getSession(key)
        assert root.getSessionService().getSession(lasting).uuid.val == lasting
