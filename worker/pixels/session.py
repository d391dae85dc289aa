"""Sessions with OMERO: opening, joining, acting for a person, closing.

Who opens a session owns it, and closing it ends it on the server. A session that was joined belongs to somebody else
(the Processor, OMERO.web): leaving it never ends it, whoever calls ``close`` and however hard.

Connections are encrypted (``omero.client`` speaks TLS unless it is told otherwise, and nothing here tells it).
Neither a password nor a session key is kept in any value of this module, and exceptions lose the keys that the server
puts into their texts before they are chained into ours.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import Glacier2
import Ice
import omero
import omero.all  # makes the generated services and exceptions known
import omero.model
import omero.sys
from omero.gateway import BlitzGateway

from worker.errors import NotPermitted, OmeroRefused, OmeroUnavailable
from worker.pixels.border import translated

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

__all__ = [
    "Identity",
    "Session",
    "WorkerGateway",
    "as_user",
    "call_context",
    "join",
    "open_session",
    "translated",
    "who",
]

KEEP_ALIVE_S: Final = 60
"""How often a session tells the server that it is in use; OMERO closes idle ones after 10 minutes by default."""

CALL_TIMEOUT_S: Final = 600
"""How long a call may go without an answer. omero-py sets no limit, so that a server that hangs would hold us for ever.

The first ``setPixelsId`` on a large fileset may take longer on the server; it is carried on there meanwhile, and found
done when the step is tried again.
"""

FAREWELL_TIMEOUT_S: Final = 10
"""How long a call may take whose only purpose is to tidy up on the server."""

SUDO_LIFETIME_S: Final = 24 * 3600
"""How long a session that the service opened for a person lives at most."""

SUDO_IDLE_S: Final = 600
"""How long such a session lives when nothing keeps it alive, for instance because its process was killed."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Who acts in a session.

    Parameters
    ----------
    user_id : int
        Id of the Experimenter.
    user_name : str
        Their login name.
    group_id : int
        Id of the group in which they act.
    group_name : str
        Name of that group.
    email : str or None
        Their e-mail address, as OMERO knows it.
    """

    user_id: int
    user_name: str
    group_id: int
    group_name: str
    email: str | None


class WorkerGateway(BlitzGateway):  # type: ignore[misc]  # omero-py has no type information
    """A gateway that knows whether its session is its own.

    Parameters
    ----------
    client : omero.client
        A client that has a session.
    owns_session : bool
        Whether closing this gateway ends the session on the server.
    """

    def __init__(self, client: Any, *, owns_session: bool) -> None:
        super().__init__(client_obj=client)
        self.owns_session = owns_session

    def close(self, hard: bool = True) -> None:
        """Disconnect, and end the session if it is our own.

        Parameters
        ----------
        hard : bool
            False leaves even a session of our own on the server.
        """
        if self.c is not None:
            _drop_hanging_connection(self.c)
        super().close(hard=hard and self.owns_session)


class Session:
    """Context manager around a gateway: keeps its session alive inside, leaves or ends it at the end.

    Parameters
    ----------
    gateway : omero.gateway.BlitzGateway
        A connected gateway. One that does not come from this module counts as joined, and is left open on the server.
    """

    def __init__(self, gateway: BlitzGateway) -> None:
        self.gateway = gateway

    def __enter__(self) -> BlitzGateway:
        self.gateway.c.enableKeepAlive(KEEP_ALIVE_S)
        return self.gateway

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the session if it is our own, else leave it."""
        if self.gateway.c is not None:
            self.gateway.close(hard=getattr(self.gateway, "owns_session", False))


def open_session(host: str, port: int, *, user: str, password: str) -> WorkerGateway:
    """Log in with a password; the session is ours.

    Parameters
    ----------
    host : str
        Name or address of the OMERO server.
    port : int
        Its router port.
    user : str
        Login name.
    password : str
        Password; not kept.

    Returns
    -------
    WorkerGateway
        A connected gateway that ends its session when it is closed.

    Raises
    ------
    OmeroRefused
        OMERO does not know this user, or the password is wrong.
    OmeroUnavailable
        OMERO does not answer.
    """
    client = _client(host, port)
    with _closing_on_error(client):
        try:
            with translated(f"log in to OMERO at {host}:{port}"):
                client.createSession(user, password)
        except OmeroUnavailable as error:
            if isinstance(error.__cause__, Glacier2.PermissionDeniedException):
                raise OmeroRefused(
                    f"OMERO at {host}:{port} does not let {user!r} in: wrong password, or no such user.",
                    remedy="Check the user name and the password.",
                ) from error.__cause__
            raise
        client.enableKeepAlive(KEEP_ALIVE_S)
        return WorkerGateway(client, owns_session=True)


def join(host: str, port: int, *, session_key: str) -> WorkerGateway:
    """Join a session that somebody else opened, and never end it.

    Parameters
    ----------
    host : str
        Name or address of the OMERO server.
    port : int
        Its router port.
    session_key : str
        The key of the session; not kept by us.

    Returns
    -------
    WorkerGateway
        A connected gateway that only leaves when it is closed.

    Raises
    ------
    OmeroUnavailable
        OMERO does not answer, or the session has ended.
    """
    return _join(host, port, session_key, owns_session=False)


def as_user(service_gateway: BlitzGateway, user_name: str, group_id: int) -> WorkerGateway:
    """Act as a person in one of their groups, as a service account with the privilege ``Sudo``.

    Parameters
    ----------
    service_gateway : omero.gateway.BlitzGateway
        Session of the service account.
    user_name : str
        Login name of the person.
    group_id : int
        Id of the group in which to act.

    Returns
    -------
    WorkerGateway
        A session of that person, ended when it is closed.

    Raises
    ------
    NotPermitted
        The service account may not do so, or the person is not in that group.
    OmeroRefused
        There is no such person or group.
    OmeroUnavailable
        OMERO does not answer, or the service's session has ended.
    """
    factory = service_gateway.c.sf
    with translated(f"act as {user_name!r} in group {group_id}"):
        group = factory.getAdminService().getGroup(group_id)
        principal = omero.sys.Principal()
        principal.name = user_name
        principal.group = group.getName().getValue()
        principal.eventType = "User"
        session = factory.getSessionService().createSessionWithTimeouts(
            principal, SUDO_LIFETIME_S * 1000, SUDO_IDLE_S * 1000
        )
    gateway = _join(
        str(service_gateway.host), int(service_gateway.port), session.getUuid().getValue(), owns_session=True
    )
    identity = who(gateway)
    if identity.user_name != user_name or identity.group_id != group_id:
        gateway.close()
        raise NotPermitted(
            f"OMERO opened a session for {identity.user_name!r} in group {identity.group_id} instead of for"
            f" {user_name!r} in group {group_id}.",
            remedy="Check that this person is still a member of that group.",
        )
    return gateway


def who(gateway: BlitzGateway) -> Identity:
    """Say who acts in a session.

    Parameters
    ----------
    gateway : omero.gateway.BlitzGateway
        A connected gateway.

    Returns
    -------
    Identity
        The person and the group in which they act.

    Raises
    ------
    OmeroUnavailable
        OMERO does not answer, or the session has ended.
    """
    with translated("ask OMERO who we are"):
        admin = gateway.c.sf.getAdminService()
        context = admin.getEventContext(call_context(gateway))
        email = admin.getExperimenter(context.userId).getEmail()
    return Identity(
        user_id=context.userId,
        user_name=context.userName,
        group_id=context.groupId,
        group_name=context.groupName,
        email=(email.getValue() or None) if email is not None else None,
    )


def call_context(gateway: BlitzGateway) -> dict[str, str]:
    """Give the request context (group, user) in which this gateway makes its calls.

    Parameters
    ----------
    gateway : omero.gateway.BlitzGateway
        A connected gateway.

    Returns
    -------
    dict of str to str
        To be passed as the last argument of a raw service call.
    """
    return {str(key): str(value) for key, value in gateway.SERVICE_OPTS.items()}


def _client(host: str, port: int) -> Any:
    with translated(f"prepare a connection to OMERO at {host}:{port}"):
        client = omero.client([f"--Ice.Default.InvocationTimeout={CALL_TIMEOUT_S * 1000}"], host=host, port=port)
        client.setAgent("OMERO.worker")
        return client


def _join(host: str, port: int, session_key: str, *, owns_session: bool) -> WorkerGateway:
    client = _client(host, port)
    with _closing_on_error(client), translated(f"join a session at OMERO {host}:{port}"):
        factory = client.joinSession(session_key)
        # Ending the connection must not end the session; its owner does that, in so many words.
        factory.detachOnDestroy()
        client.enableKeepAlive(KEEP_ALIVE_S)
        return WorkerGateway(client, owns_session=owns_session)


def _drop_hanging_connection(client: Any) -> None:
    """Cut the connection to a server that hangs; taking leave of it properly would take many minutes."""
    try:
        client.sf.ice_invocationTimeout(FAREWELL_TIMEOUT_S * 1000).ice_ping()
    except Ice.TimeoutException:
        connection = client.sf.ice_getCachedConnection()
        if connection is not None:
            connection.close(True)
    except (Ice.Exception, omero.ClientError):
        # The session or the connection is gone, and closing finds that out quickly by itself.
        return


@contextlib.contextmanager
def _closing_on_error(client: Any) -> Iterator[None]:
    """Destroy the communicator and its threads when no session comes of it."""
    try:
        yield
    except BaseException:
        client.__del__()  # closes, and only logs what goes wrong on the way
        raise
