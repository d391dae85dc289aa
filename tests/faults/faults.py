"""What can go wrong, and what may truly be said of it.

A run that meets a fault may come to its end all the same, or pause until a person has mended the cause, or fail; for
the latter two the reason that is told must be one of those that the fault allows.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from tests.faults.boundary import ARCHIVE, COMMAND, OMERO, ORDERS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.faults.boundary import Boundary
    from tests.faults.kinds import Kind

NETWORK = (
    r"cannot be reached|handshake .* failed|connection .* (lost|ended|broke)|did not answer|no answer|silent"
    r"|reply .* lost|unreachable|timed out|nothing was sent|ended .* connection"
)
OMERO_GONE = r"OMERO .*(does not answer|cannot be reached|ended|unavailable|lost)|session .* (ended|over|expired)"
CONTROLLER = r"[Uu]nable to contact slurm controller|slurm_load_jobs error|slurmctld|has been silent|Connection refused"
FULL = r"[Nn]o space left|disk .* full|is full"
IMPORTER_GONE = r"importer's database .* does not answer"
STORAGE_GONE = r"storage for results (is not mounted|cannot be used)"
NOT_READ = r"to the importer failed: .*Failed files"
"""What the importer says of files that are away when it wants to read them."""
CANCELLED = r"^(PARTIAL: )?Cancelled by \w+[.;]"

NEVER = r"Internal error"
"""What is never true of a fault of the table: that the defect is the worker's own."""


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that goes wrong.

    Parameters
    ----------
    name : str
        What it is called.
    what : str
        What happens, for a person.
    amounts : tuple of float
        How much of it, in `unit`; cases take turns.
    unit : str
        Unit of the amounts.
    pauses : str
        Regular expression of the reasons for which a run may pause; empty: it may not.
    fails : str
        The same, for failing.
    together : bool
        Whether it meets everybody at once, so that all cases of it share one stroke.
    places : str
        Regular expression of the places where it makes a difference.
    every : int
        Of the places in the order of a run, every n-th is part of the default matrix.
    kinds : str
        Regular expression of the kinds of runs that it may meet.
    """

    name: str
    what: str
    amounts: tuple[float, ...] = (0.0,)
    unit: str = ""
    pauses: str = ""
    fails: str = ""
    together: bool = False
    places: str = "^(before|after)-[A-Z]"
    every: int = 1
    kinds: str = "."

    def matters(self, kind: Kind, place: Boundary) -> bool:
        """Whether it makes a difference to a kind of run at a place."""
        return all(re.search(*each) for each in ((self.kinds, kind.name), (self.places, str(place))))

    def __hash__(self) -> int:
        return hash(self.name)


EVENT: Final = rf"^(before|after)-(?!{COMMAND}|{OMERO}|{ARCHIVE}|{ORDERS})"
UPLOADING: Final = rf"^after-StepIntended:export|^before-{COMMAND}(unpack|verify)"
FETCHING: Final = rf"^after-StepIntended:fetch|^before-{COMMAND}(list|pack)"
BEFORE_SUBMISSION: Final = (
    r"^before-StepIntended:submit|^after-(StepIntended:submit|SubmissionIntended|TaskStarted:nuclei)"
    rf"|^before-(SubmissionIntended|{COMMAND}submit)"
)
IN_OMERO: Final = rf"^after-{OMERO}"
IN_PLACE: Final = "in-place|batches"
ARCHIVING: Final = rf"^before-{ARCHIVE}|^after-(StepIntended:import|ImportPlanned)"
ORDERING: Final = rf"^(before|after)-{ORDERS}|^after-(ImportPlanned|{ARCHIVE}rename|StatusUpdated:import:IMPORTING)"
CANCELLABLE: Final = rf"^after-(?!Workflow(Completed|Initiated))|^before-({COMMAND}|{ARCHIVE}|{ORDERS})"
"""Where nobody is in the middle of a transaction, so that a person can cancel the run."""

_ALL: Final = (
    Fault("sigkill", "the engine is killed, and another one starts"),
    Fault(
        "sigkill-again",
        "the engine is killed, and so is the next one where it comes to the same place",
        (2.0, 3.0),
        "engines that are killed",
        places="^before-",
        every=3,
    ),
    Fault("processor-killed", "the script that drives its run is killed, and an engine starts", places=EVENT, every=3),
    Fault(
        "two-engines",
        "the engine is stopped for longer than its lease, and goes on beside another",
        (0.0, 1.0, 30.0),
        "s after the other has taken over",
        every=3,
    ),
    Fault("ssh-cut", "connections are reset, and refused for a while", (0.5, 3.0), "s", NETWORK, every=5),
    Fault("ssh-stall", "packets are lost, and nobody is told", (3.0, 12.0), "s", NETWORK, every=6),
    Fault(
        "sbatch-reply-lost",
        "the cluster takes the job, and the connection is lost before it says so",
        (1.0, 2.0),
        "times",
        NETWORK,
        places=BEFORE_SUBMISSION,
        kinds="analysis|conversion",
    ),
    Fault(
        "remote-disk-full", "no room on the cluster", (2.0, 6.0), "s", FULL, FULL, every=8, kinds="analysis|transfer"
    ),
    Fault(
        "local-disk-full",
        "no room beside the engine",
        (2.0, 6.0),
        "s",
        FULL,
        FULL,
        every=8,
        kinds="analysis|results|in-place",
    ),
    Fault(
        "truncated-upload",
        "the connection breaks in the middle of an upload",
        (1.0, 1500.0, 4000.0, 8000.0),
        "bytes",
        NETWORK,
        places=UPLOADING,
        kinds="analysis|transfer",
    ),
    Fault(
        "truncated-download",
        "the connection breaks in the middle of a download",
        (1.0, 800.0, 2500.0, 6000.0),
        "bytes",
        NETWORK,
        places=FETCHING,
        kinds="analysis|results",
    ),
    Fault(
        "clock-jump",
        "somebody sets the clock",
        (3600.0, -3600.0),
        "s",
        places=EVENT,
        every=6,
        kinds="analysis|in-place",
    ),
    Fault(
        "host-key",
        "the cluster has another host key",
        (1.0,),
        "",
        r"[Hh]ost key|known_hosts",
        every=8,
        kinds="analysis|results",
    ),
    Fault("session-expired", "OMERO has ended the session", pauses=OMERO_GONE, places=IN_OMERO),
    Fault(
        "script-session-expired",
        "OMERO has ended the session of the script that drives its run; an engine goes on when it is resumed",
        pauses=OMERO_GONE,
        places=EVENT,
        every=12,
        kinds="analysis|results",
    ),
    Fault("cancel", "a person cancels the run", fails=CANCELLED, places=CANCELLABLE, every=6),
    Fault(
        "orders-cut",
        "connections to the importer's database are reset, and refused for a while",
        (0.5, 3.0),
        "s",
        IMPORTER_GONE,
        places=ORDERING,
        kinds=IN_PLACE,
    ),
    Fault(
        "storage-full", "no room where results stay", (2.0, 6.0), "s", FULL, FULL, places=ARCHIVING, kinds="in-place"
    ),
    Fault(
        "storage-away",
        "the storage where results stay is not mounted",
        (2.0, 6.0),
        "s",
        STORAGE_GONE,
        f"{STORAGE_GONE}|{NOT_READ}",
        places=ARCHIVING,
        kinds="in-place",
    ),
    Fault(
        "importer",
        "the importer is killed in the midst of its work, and is started after a while",
        (5.0,),
        "s",
        together=True,
        places=ORDERING,
        kinds=IN_PLACE,
    ),
    Fault("slurmctld", "the controller is away", (60.0,), "s", CONTROLLER, together=True, every=4, kinds="analysis"),
    Fault("slurmdbd", "accounting is away", (15.0,), "s", together=True, every=5, kinds="analysis"),
    Fault(
        "postgres", "PostgreSQL is restarted", (2.0,), "s", together=True, every=3, kinds="analysis|results|in-place"
    ),
    Fault(
        "omero",
        "OMERO is restarted",
        (5.0,),
        "s",
        OMERO_GONE,
        together=True,
        every=5,
        kinds="analysis|results|in-place",
    ),
)

FAULTS: Final[Mapping[str, Fault]] = MappingProxyType({fault.name: fault for fault in _ALL})
"""Every fault by its name."""
