"""How the engine comes to act as the person to whom a run belongs."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from worker.errors import NotPermitted, ScriptSessionEnded, SessionEnded, SettingsError
from worker.pixels import session

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager

    from worker.settings.environment import WorkerEnvironment


class ServiceAccess:
    """Acts as anybody, through the service account with the ``Sudo`` privilege.

    Parameters
    ----------
    environment : WorkerEnvironment
        OMERO's address, the service account and the file with its password.
    """

    def __init__(self, environment: WorkerEnvironment) -> None:
        if environment.service_user is None or environment.service_password is None:
            raise SettingsError(
                "The engine service has no OMERO account to act with.",
                remedy="Set OMERO_SERVICE_USER and OMERO_SERVICE_PASSWORD_FILE; the account needs the Sudo privilege.",
            )
        self._host = environment.omero_host
        self._port = environment.omero_port
        self._user = environment.service_user
        self._password = environment.service_password

    @contextmanager
    def session(self, *, user_name: str, group_id: int) -> Iterator[Any]:
        """Open OMERO as that user in that group."""
        with self.service() as service, session.as_user(service, user_name, group_id) as gateway:
            yield gateway

    def service(self) -> AbstractContextManager[Any]:
        """Open OMERO as the service account itself."""
        return session.open_session(self._host, self._port, user=self._user, password=self._password.get_secret_value())


class OwnSession:
    """Acts with the session of the script that runs us, and as nobody else.

    Parameters
    ----------
    gateway : BlitzGateway
        The script's own connection; it stays open.
    """

    def __init__(self, gateway: Any) -> None:
        self._gateway = gateway

    @contextmanager
    def session(self, *, user_name: str, group_id: int) -> Iterator[Any]:
        """Lend the script's session, if it is that user's."""
        try:
            identity = session.who(self._gateway)
        except SessionEnded as error:
            raise ScriptSessionEnded(
                "The OMERO session of the script that drove this run has ended.",
                remedy="Let an engine service run ('omero-worker serve'), and resume the run: it goes on there.",
            ) from error
        if identity.user_name != user_name:
            raise NotPermitted(f"This run belongs to {user_name}, not to {identity.user_name}.")
        before = self._gateway.SERVICE_OPTS.getOmeroGroup()
        self._gateway.SERVICE_OPTS.setOmeroGroup(str(group_id))
        try:
            yield self._gateway
        finally:
            self._gateway.SERVICE_OPTS.setOmeroGroup(before)
