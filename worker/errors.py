"""Every exception of this package, in one tree.

::

    WorkerError
    ├── SettingsError              slurm-config.ini, environment or a secret file is wrong
    ├── RequestError               what a person asked for cannot be done as asked
    │   └── NotPermitted           ... because OMERO does not let this person do it
    ├── DescriptorError            an analysis describes itself wrongly, or cannot be read
    │   └── RepositoryUnreachable  the repository, or server, cannot be asked       (transient)
    ├── HistoryError
    │   ├── RunNotFound            no run (visible to this person) has that uuid
    │   ├── HistoryConflict        somebody else wrote to the same run in between   (transient)
    │   └── HistoryUnavailable     PostgreSQL does not answer                       (transient)
    ├── TransportError             between us and the cluster
    │   ├── NotSent                it never left us: try again freely               (transient)
    │   │   ├── HostUnreachable    no connection could be made                      (transient)
    │   │   └── ConnectionsBusy    all of our connections are in use                (transient)
    │   ├── Refused                the far side said no
    │   │   ├── AccessRefused      we do not get in: an admin has to mend that, no run is to blame
    │   │   │   ├── HostKeyRejected    the server's key is unknown, or not the known one
    │   │   │   ├── KeyFileRejected    our private key is missing or readable by others
    │   │   │   └── LoginRejected      the server does not take our key
    │   │   ├── CommandFailed      a command ended with a status other than 0
    │   │   │   └── ClusterFull        ... as there is no space left                (transient)
    │   │   └── SubmissionRefused  sbatch said no
    │   └── OutcomeUnknown         sent, but the reply was lost: look it up first   (transient)
    │       └── ConnectionLost     ... as the connection broke                      (transient)
    ├── CircuitOpen                cluster or OMERO did not answer; not asked now   (transient)
    ├── LocalDiskError             a disk of ours is full, or cannot be used        (transient)
    ├── StorageUnavailable         the storage of a group is full, or does not work (transient)
    ├── TransferDamaged            size or checksum of a file differ after transfer (transient)
    ├── OmeroError
    │   ├── OmeroRefused           OMERO said no (permissions, missing object)
    │   ├── OmeroUnavailable       OMERO does not answer                            (transient)
    │   │   └── SessionEnded       ... us: our session there has ended              (transient)
    │   └── ScriptSessionEnded     the session that a script lends us has ended: an engine must go on
    ├── ExportError                the pixels cannot be exported
    ├── ResultsError               results cannot be brought into OMERO
    ├── ImporterUnavailable        the importer's database does not answer          (transient)
    ├── LeaseLost                  another process drives this run now              (transient)
    │   └── Fenced                 ... as the cluster has noticed                   (transient)
    └── RunCancelled               somebody does not want this run any more

An error has a *message* (what happened and why) and a *remedy* (what to do about it); ``str()`` gives both, so
that whatever ends in a log, an event or OMERO.web is complete. Errors marked *transient* may be tried again
without a person's help; all others are permanent. Foreign exceptions are translated into these at the border of
the room that calls the foreign library, always with ``from``.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import ClassVar


class WorkerError(Exception):
    """Base of all errors of this package.

    Parameters
    ----------
    message : str
        What happened, and why, in a sentence that a person can read.
    remedy : str
        What that person, or the admin, can do about it.
    """

    transient: ClassVar[bool] = False
    """Whether trying again, unchanged, may succeed."""

    def __init__(self, message: str, *, remedy: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.message} {self.remedy}".strip()

    def __reduce__(self) -> tuple[object, ...]:
        return (_rebuild, (type(self), self.__dict__.copy()))


def _rebuild(cls: type[WorkerError], state: dict[str, object]) -> WorkerError:
    """Rebuild an error from a pickle, whatever the signature of its class."""
    error = cls.__new__(cls)
    Exception.__init__(error, state.get("message", ""))
    error.__dict__.update(state)
    return error


class SettingsError(WorkerError):
    """slurm-config.ini, the environment or a secret file is wrong."""


class RequestError(WorkerError):
    """What a person asked for cannot be done as asked."""


class NotPermitted(RequestError):
    """OMERO does not let this person do what was asked for."""


class DescriptorError(WorkerError):
    """An analysis describes itself wrongly, or its description cannot be read."""


class RepositoryUnreachable(DescriptorError):
    """The repository or server that holds the descriptor of an analysis cannot be asked.

    Parameters
    ----------
    message : str
        What happened.
    remedy : str
        What to do about it.
    retry_after_s : float | None
        For how many seconds it wishes to be left alone; None if it has not said so.
    """

    transient = True

    def __init__(self, message: str, *, remedy: str = "", retry_after_s: float | None = None) -> None:
        super().__init__(message, remedy=remedy)
        self.retry_after_s = retry_after_s


class HistoryError(WorkerError):
    """The record of runs cannot be read or written."""


class RunNotFound(HistoryError):
    """No run that this person may see has that uuid."""


class HistoryConflict(HistoryError):
    """Somebody else wrote to the same run in between; read it again."""

    transient = True


class HistoryUnavailable(HistoryError):
    """The database does not answer."""

    transient = True


class TransportError(WorkerError):
    """Something between us and the cluster."""


class NotSent(TransportError):
    """The request never left us, so that it may be repeated freely."""

    transient = True


class HostUnreachable(NotSent):
    """No connection to the cluster could be made."""


class ConnectionsBusy(NotSent):
    """All of our connections are in use, by transfers for the most part; the cluster is not to blame."""


class Refused(TransportError):
    """The far side answered, and said no."""


class AccessRefused(Refused):
    """We do not get into the cluster; an admin has to mend that, and runs wait for it."""


class HostKeyRejected(AccessRefused):
    """The key of the server is not in known_hosts, or is not the one that stands there."""


class KeyFileRejected(AccessRefused):
    """Our private key is missing, unreadable, or readable by others."""


class LoginRejected(AccessRefused):
    """The server does not take our key."""


class CommandFailed(Refused):
    """A command on the cluster ended with a status other than 0.

    Parameters
    ----------
    command : str
        The command as it was sent, quoted.
    exit_status : int
        Its exit status.
    stderr : str
        What it wrote to standard error.
    remedy : str
        What to do about it.
    """

    def __init__(self, command: str, exit_status: int, stderr: str, *, remedy: str = "") -> None:
        program = command.split(maxsplit=1)[0] if command.strip() else command
        super().__init__(f"{program} ended with status {exit_status}: {stderr.strip() or 'no message'}.", remedy=remedy)
        self.command = command
        self.exit_status = exit_status
        self.stderr = stderr


class ClusterFull(CommandFailed):
    """A command on the cluster ended as there is no space left; others may make room at any time."""

    transient = True

    def __init__(self, command: str, exit_status: int, stderr: str) -> None:
        super().__init__(
            command,
            exit_status,
            stderr,
            remedy="Make room in slurm_data_path, or ask for a larger quota; the step is tried again until then.",
        )
        self.message = f"The cluster has no space left for the run's data ({stderr.strip()})."


class SubmissionRefused(Refused):
    """``sbatch`` said no: unknown partition, limit exceeded, invalid option."""


class OutcomeUnknown(TransportError):
    """The request was sent but its reply was lost: look its effect up before repeating it."""

    transient = True


class ConnectionLost(OutcomeUnknown):
    """The connection broke while a command was running."""


class CircuitOpen(WorkerError):
    """Something has not answered several times in a row, and is left alone for a while.

    Nothing was tried, so that this is no failed attempt.

    Parameters
    ----------
    resource : str
        What does not answer: ``cluster`` or ``OMERO``.
    since : datetime
        Since when, with time zone.
    retry_at : datetime
        When it is tried again, with time zone.
    problem : str
        Why it did not answer.
    """

    transient = True

    def __init__(self, resource: str, since: datetime, retry_at: datetime, problem: str) -> None:
        why = f" ({problem.rstrip('.')})" if problem else ""
        super().__init__(
            f"{resource} unreachable since {_time_of_day(since)}, trying again at {_time_of_day(retry_at)}{why}."
        )
        self.resource = resource
        self.since = since
        self.retry_at = retry_at
        self.problem = problem


def _time_of_day(moment: datetime) -> str:
    """Write a time as persons here do; with its date unless it is today."""
    local, today = moment.astimezone(), datetime.now(UTC).astimezone().date()
    return f"{local:%H:%M}" if local.date() == today else f"{local:%Y-%m-%d %H:%M}"


class LocalDiskError(WorkerError):
    """A directory of ours cannot be written to or read from: full, read-only, broken, or not ours.

    Parameters
    ----------
    path : object
        The directory.
    error : OSError
        What the operating system says.
    remedy : str
        What to do about it.
    """

    transient = True

    def __init__(
        self,
        path: object,
        error: OSError,
        *,
        remedy: str = "Make room there, or mend its permissions; the step is tried again until then.",
    ) -> None:
        super().__init__(f"The worker cannot use its directory {path}: {error.strerror or error}.", remedy=remedy)


class StorageUnavailable(WorkerError):
    """The storage on which results stay that are imported in place is full, or does not work.

    Parameters
    ----------
    path : object
        The folder.
    error : OSError
        What the operating system says.
    """

    transient = True

    def __init__(self, path: object, error: OSError) -> None:
        super().__init__(
            f"The storage for results cannot be used ({path}): {error.strerror or error}.",
            remedy="Make room there, or mend the mount; the step is tried again until then.",
        )


class TransferDamaged(WorkerError):
    """Size or checksum of a file are not the same on both sides after a transfer."""

    transient = True


class OmeroError(WorkerError):
    """Something between us and OMERO."""


class OmeroRefused(OmeroError):
    """OMERO answered, and said no: permissions, or an object that is not there."""


class OmeroUnavailable(OmeroError):
    """OMERO does not answer."""

    transient = True


class SessionEnded(OmeroUnavailable):
    """Our session in OMERO has ended; with another one, OMERO would answer."""


class ScriptSessionEnded(OmeroError):
    """The session that a script lends us has ended; there will be no other one, no run is to blame."""


class ExportError(WorkerError):
    """The chosen pixels cannot be exported."""


class ResultsError(WorkerError):
    """What the analysis produced cannot be brought into OMERO."""


class ImporterUnavailable(WorkerError):
    """The database of the importer does not answer; whether it has taken an order is looked up by the order's uuid."""

    transient = True


class LeaseLost(WorkerError):
    """Another process drives this run now; whatever we were about to do is its business."""

    transient = True


class Fenced(LeaseLost):
    """The cluster has been told of another process that drives this run now, and does nothing for us."""


class RunCancelled(WorkerError):
    """Somebody does not want this run any more: the step in flight stops, and the run is taken off the cluster."""
