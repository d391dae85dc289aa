"""How faults are made to happen, and how they are mended again."""

from __future__ import annotations

import signal
import time
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, ClassVar

import omero
import sqlalchemy as sa

from tests.faults import daemons
from tests.faults.disks import full, small_disk
from tests.faults.engine import Going
from tests.faults.importing import importer_killed, importer_survives
from tests.faults.stage import LEASE_S
from worker.history import tables

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from contextlib import AbstractContextManager
    from pathlib import Path

    from tests.faults.cases import Case
    from tests.faults.proxy import Direction
    from tests.faults.stage import Grounds
    from tests.faults.trial import Trial

UNTIL_PAUSED = 20.0
"""Seconds after which something is mended that only a person mends, should the run not have paused by then."""


class Injection:
    """Something that is made to happen to one run.

    Parameters
    ----------
    case : Case
        The case.
    """

    deadly: ClassVar[bool] = False
    """Whether the engine kills itself at the boundary."""
    attached: ClassVar[bool] = False
    """Whether the first engine is a script that follows its run."""

    def __init__(self, case: Case) -> None:
        self.case = case

    @property
    def amount(self) -> float:
        """How much of it."""
        return self.case.amount

    @property
    def deaths(self) -> int:
        """How many engines stop at the boundary, one after the other."""
        return 1

    @property
    def lasts_s(self) -> float:
        """How long it lasts, if the run does not pause before."""
        return 0.0

    @property
    def lingers_s(self) -> float:
        """How long engines are left to themselves at least, should the run end before."""
        return 0.0

    def prepared(self, trial: Trial) -> AbstractContextManager[object]:
        """What it needs, from before the run is accepted until its end."""
        return nullcontext()

    def struck(self, trial: Trial) -> AbstractContextManager[object]:
        """Let it happen; it is mended at the end of the block."""
        return nullcontext()

    def going(self, trial: Trial) -> Going:
        """What the engine is told when it may go on."""
        return Going()

    def met(self, trial: Trial) -> bool:
        """Whether the run has felt it."""
        return True


class Kill(Injection):
    """The engine is killed where it stands."""

    deadly = True


class KillAgain(Kill):
    """The engine is killed where it stands, and so are those that come after it."""

    @property
    def deaths(self) -> int:
        return int(self.amount)


class KillScript(Kill):
    """The script is killed where it stands, as the Processor and all that it runs may be."""

    attached = True


class TwoEngines(Injection):
    """The engine stands still for longer than its lease, another takes over, and the first comes back."""

    @property
    def lingers_s(self) -> float:
        # The run may have ended before the first engine comes back; what does it do then?
        return 2.0

    @contextmanager
    def struck(self, trial: Trial) -> Iterator[None]:
        """Stop the engine, and let it go on beside another one."""
        first = trial.engines[0]
        before = self._lease(trial)
        first.send(signal.SIGSTOP)
        trial.start_engine()
        # The second may have to wait for a transaction of the first.
        deadline = time.monotonic() + LEASE_S * 2 + 4
        while time.monotonic() < deadline and not trial.look().ended and self._lease(trial) == before:
            time.sleep(0.1)
        deadline = time.monotonic() + self.amount
        while time.monotonic() < deadline and not trial.look().ended:
            time.sleep(0.1)
        first.send(signal.SIGCONT)
        yield

    @staticmethod
    def _lease(trial: Trial) -> str:
        lease = tables.lease.c
        with trial.stage.record.database.reading() as session:
            return str(session.execute(sa.select(lease.holder).where(lease.run_id == trial.run_id)).scalar())


class Cut(Injection):
    """Connections to the cluster are reset, and refused for a while."""

    @property
    def lasts_s(self) -> float:
        return self.amount

    @contextmanager
    def struck(self, trial: Trial) -> Iterator[None]:
        trial.stage.proxy.cut(refuse=True)
        yield
        trial.stage.proxy.heal()


class Stall(Cut):
    """Packets are lost, and nobody is told."""

    @contextmanager
    def struck(self, trial: Trial) -> Iterator[None]:
        trial.stage.proxy.stall()
        yield
        trial.stage.proxy.heal()


class CutOrders(Cut):
    """Connections to the importer's database are reset, and refused for a while."""

    @contextmanager
    def struck(self, trial: Trial) -> Iterator[None]:
        assert trial.stage.in_place is not None
        trial.stage.in_place.proxy.cut(refuse=True)
        yield
        trial.stage.in_place.proxy.heal()


class Truncate(Injection):
    """The connection breaks in the middle of what it transfers."""

    direction: ClassVar[Direction] = "up"

    @property
    def lasts_s(self) -> float:
        return UNTIL_PAUSED

    @contextmanager
    def struck(self, trial: Trial) -> Iterator[None]:
        trial.stage.proxy.cut_after(self.direction, int(self.amount))
        yield
        trial.stage.proxy.heal()

    def met(self, trial: Trial) -> bool:
        return trial.stage.proxy.struck > 0


class TruncateDownload(Truncate):
    """The connection breaks in the middle of what comes back."""

    direction = "down"


class LoseReply(Injection):
    """``sbatch`` runs, and nobody hears of it."""

    def going(self, trial: Trial) -> Going:
        return Going(lose="reply", command="submit", times=int(self.amount))


class FullDisk(Injection):
    """No room on the cluster."""

    size: ClassVar[str] = "8m"

    @property
    def lasts_s(self) -> float:
        return self.amount

    @contextmanager
    def prepared(self, trial: Trial) -> Iterator[None]:
        with small_disk(self.folder(trial), size=self.size):
            yield

    def struck(self, trial: Trial) -> AbstractContextManager[None]:
        return full(self.folder(trial))

    def folder(self, trial: Trial) -> Path:
        """The folder whose disk is full."""
        return trial.stage.data_path


class FullLocalDisk(FullDisk):
    """No room beside the engine."""

    @contextmanager
    def prepared(self, trial: Trial) -> Iterator[None]:
        folder = self.folder(trial)
        catalogue = (folder / "catalogue.json").read_bytes()
        with small_disk(folder, mode=0o700):
            (folder / "catalogue.json").write_bytes(catalogue)
            yield

    def folder(self, trial: Trial) -> Path:
        return trial.stage.state_directory


class FullStorage(FullDisk):
    """No room where results stay."""

    # Results are not written where less than 64 MiB would be left.
    size = "80m"

    def folder(self, trial: Trial) -> Path:
        assert trial.stage.in_place is not None
        return trial.stage.in_place.base_dir


class StorageAway(Injection):
    """The storage where results stay is not mounted."""

    @property
    def lasts_s(self) -> float:
        return self.amount

    @contextmanager
    def struck(self, trial: Trial) -> Iterator[None]:
        assert trial.stage.in_place is not None
        folder = trial.stage.in_place.base_dir
        away = folder.with_name(f"{folder.name}.away")
        folder.rename(away)
        yield
        away.rename(folder)


class Cancel(Injection):
    """A person cancels the run."""

    @contextmanager
    def struck(self, trial: Trial) -> Iterator[None]:
        trial.stage.record.tracker.request_cancel(trial.run_id, trial.grounds.person.name)
        yield


class JumpClock(Injection):
    """Somebody sets the engine's clock."""

    def going(self, trial: Trial) -> Going:
        return Going(clock_jump_s=self.amount)


class ChangeHostKey(Injection):
    """The cluster answers with another host key, until an admin has looked into it."""

    @property
    def lasts_s(self) -> float:
        return UNTIL_PAUSED

    @contextmanager
    def struck(self, trial: Trial) -> Iterator[None]:
        proxy = trial.stage.proxy
        known = proxy.target
        proxy.lead_to(trial.grounds.strange_port)
        yield
        proxy.lead_to(known)


class ExpireSession(Injection):
    """OMERO ends the session that the engine is using."""

    @contextmanager
    def struck(self, trial: Trial) -> Iterator[None]:
        assert trial.reached is not None
        lab = trial.grounds.lab
        client = omero.client(lab.omero_host, lab.omero_port)
        try:
            service = client.createSession("root", lab.omero_users["root"]).getSessionService()
            service.closeSession(service.getSession(trial.reached.session))
        finally:
            client.closeSession()
        yield


class ExpireScriptSession(ExpireSession):
    """OMERO ends the session of the script that follows its run: it never gets another."""

    attached = True


INJECTIONS: Mapping[str, type[Injection]] = {
    "sigkill": Kill,
    "sigkill-again": KillAgain,
    "processor-killed": KillScript,
    "two-engines": TwoEngines,
    "ssh-cut": Cut,
    "ssh-stall": Stall,
    "sbatch-reply-lost": LoseReply,
    "remote-disk-full": FullDisk,
    "local-disk-full": FullLocalDisk,
    "truncated-upload": Truncate,
    "truncated-download": TruncateDownload,
    "clock-jump": JumpClock,
    "host-key": ChangeHostKey,
    "session-expired": ExpireSession,
    "script-session-expired": ExpireScriptSession,
    "cancel": Cancel,
    "orders-cut": CutOrders,
    "storage-full": FullStorage,
    "storage-away": StorageAway,
}
"""What happens to one run, by the fault's name."""


@contextmanager
def postgres_stopped(grounds: Grounds, _release: Callable[[], None]) -> Iterator[None]:
    """Stop PostgreSQL; an importer that ends for that is started again, as its container would be."""
    with importer_survives(grounds.importer), daemons.postgres_stopped(grounds.lab):
        yield


@contextmanager
def omero_stopped(grounds: Grounds, _release: Callable[[], None]) -> Iterator[None]:
    """Stop OMERO; an importer that ends for that is started again, as its container would be."""
    with importer_survives(grounds.importer), daemons.omero_stopped(grounds.lab):
        yield


OUTAGES: Mapping[str, Callable[[Grounds, Callable[[], None]], AbstractContextManager[None]]] = {
    "slurmctld": lambda grounds, _: daemons.slurmctld_stopped(grounds.lab),
    "slurmdbd": lambda grounds, _: daemons.slurmdbd_stopped(grounds.lab),
    "postgres": postgres_stopped,
    "omero": omero_stopped,
    "importer": lambda grounds, release: importer_killed(grounds.importer, release),
}
"""What happens to everybody at once, by the fault's name; may let runs go on before it begins."""


def injection_of(case: Case) -> Injection:
    """How a case is made to happen to its run; for what happens to everybody, the run only waits at its boundary."""
    return INJECTIONS.get(case.fault.name, Injection)(case)
