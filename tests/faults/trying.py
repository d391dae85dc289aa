"""Trying cases: some at a time, and those that meet everybody all at once."""

from __future__ import annotations

import threading
import time
import traceback
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import groupby
from typing import TYPE_CHECKING

from tests.faults.evidence import Evidence, Examiner
from tests.faults.faults import FAULTS
from tests.faults.injections import OUTAGES
from tests.faults.trial import Trial
from tests.faults.verdict import judge
from tests.soak.evidence import Verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

    from tests.faults.cases import Case
    from tests.faults.stage import Grounds
    from tests.faults.survey import Survey

WIDTH = 5
"""Cases that are tried at a time."""

TOGETHER = 24
"""Most cases that meet one outage at once."""

SETTLE_S = 20.0
"""How long jobs, accounting and leases may take to come to rest after the end of a run."""


@dataclass(slots=True)
class Outcome:
    """What came of a case."""

    case: Case
    verdict: Verdict
    struck: bool
    """Whether the fault met the run."""
    seconds: float
    evidence: Evidence | None = None

    @property
    def name(self) -> str:
        """The case's name."""
        return str(self.case)


def _stroke(case: Case) -> tuple[int, float]:
    """What cases have in common that meet one outage, in the order of the faults."""
    return list(FAULTS).index(case.fault.name), case.amount


class Trying:
    """Tries cases.

    Parameters
    ----------
    grounds : Grounds
        What they share.
    surveys : mapping
        Runs without faults, by kind.
    logs : Path
        Where the engines' logs of cases that are not well go.
    width : int
        How many are tried at a time.
    tell : callable
        Is told of each outcome.
    """

    def __init__(
        self,
        grounds: Grounds,
        surveys: Mapping[str, Survey],
        logs: Path,
        *,
        width: int,
        tell: Callable[[Outcome], None],
    ) -> None:
        self._grounds = grounds
        self._logs = logs
        self._width = width
        self._tell = tell
        files = {name: survey.files for name, survey in surveys.items()}
        self._examiner = Examiner(grounds, files, datetime.now(UTC))

    def all(self, cases: Sequence[Case]) -> list[Outcome]:
        """Try cases, and look at all of them once more at the end.

        Parameters
        ----------
        cases : sequence of Case
            The cases.

        Returns
        -------
        list of Outcome
            What came of each.
        """
        outcomes: list[Outcome] = []
        alone = [case for case in cases if not case.fault.together]
        with ThreadPoolExecutor(self._width, "case") as pool:
            outcomes += pool.map(self._alone, alone)
        together = sorted((case for case in cases if case.fault.together), key=_stroke)
        for _, group in groupby(together, key=_stroke):
            waiting = list(group)
            for start in range(0, len(waiting), TOGETHER):
                outcomes += self._together(waiting[start : start + TOGETHER])
        self._look_again(outcomes)
        return outcomes

    def _alone(self, case: Case) -> Outcome:
        trial = Trial(case, self._grounds)
        try:
            with trial:
                trial.reach()
                trial.strike()
                trial.finish()
                return self._judged(trial)
        except Exception:  # noqa: BLE001 - the other cases go on
            return self._broken(trial)

    def _together(self, cases: Sequence[Case]) -> list[Outcome]:
        """Bring all of them to their boundaries, strike once, and follow them to their ends."""
        fault, amount = cases[0].fault, cases[0].amount
        starting, reached = threading.Semaphore(self._width), threading.Barrier(len(cases) + 1)
        released, over = threading.Event(), threading.Event()

        def one(case: Case) -> Outcome:
            trial = Trial(case, self._grounds)
            waited = False
            try:
                with trial:
                    with starting:
                        trial.reach()
                    waited = True
                    reached.wait()
                    released.wait()
                    trial.release()
                    trial.finish()
                    over.wait()  # nobody answers questions before
                    return self._judged(trial)
            except Exception:  # noqa: BLE001 - the other cases go on
                if not waited:
                    reached.wait()
                return self._broken(trial)

        with ThreadPoolExecutor(len(cases), "case") as pool:
            futures = [pool.submit(one, case) for case in cases]
            reached.wait()
            try:
                with OUTAGES[fault.name](self._grounds, released.set):
                    released.set()
                    time.sleep(amount)
            finally:
                released.set()
                over.set()
            return [future.result() for future in futures]

    def _judged(self, trial: Trial) -> Outcome:
        """Ask and judge until all is well, or there has been time enough for that."""
        deadline = time.monotonic() + SETTLE_S
        while True:
            evidence = self._examiner.examine(trial)
            verdict = judge(trial.case.fault, evidence)
            if verdict.clean or time.monotonic() > deadline:
                break
            time.sleep(1.0)
        outcome = Outcome(trial.case, verdict, trial.struck, trial.seconds, evidence)
        self._keep_logs(trial)
        self._tell(outcome)
        return outcome

    def _broken(self, trial: Trial) -> Outcome:
        """A case that could not be tried to its end proves nothing: it counts as lost."""
        sentence = f"the case could not be tried: {traceback.format_exc(limit=-4)}"
        outcome = Outcome(trial.case, Verdict(1, lost=[sentence]), trial.struck, time.monotonic() - trial.started)
        self._tell(outcome)
        return outcome

    def _keep_logs(self, trial: Trial) -> None:
        name = str(trial.case).replace("/", "_")
        (self._logs / f"{name}.log").write_text(f"{trial.events()}\n{trial.logs()}", encoding="utf-8")

    def _look_again(self, outcomes: Iterable[Outcome]) -> None:
        """Look for what has come late: a second job, a second image."""
        seen = {outcome.name: outcome for outcome in outcomes if outcome.evidence is not None}
        again = self._examiner.again({name: outcome.evidence for name, outcome in seen.items() if outcome.evidence})
        for name, evidence in again.items():
            outcome = seen[name]
            if outcome.verdict.clean and evidence != outcome.evidence:
                outcome.verdict, outcome.evidence = judge(outcome.case.fault, evidence), evidence
                if not outcome.verdict.clean:
                    self._tell(outcome)
