"""What became of orders, and what to do next: pure functions of what the importer has said.

===================================================  ================
what was said about an order                         `Verdict`
===================================================  ================
nothing                                              UNPLACED
that it is completed, and as often ended as begun    DONE
that it is completed, and more often begun           COPYING
that it is begun more often than ended               WORKING
last: that it is begun                               WORKING
last: that it failed, and why                        FAILED
last: that it failed, not why; it had been begun     INTERRUPTED
last: that it failed, not why; it had not            UNBEGUN
only that it is pending, and a later one was begun   OVERTAKEN
only that it is pending                              WAITING
===================================================  ================

An importer that starts marks every order that it finds unfinished as failed, and gives no reason; those that fail while
it runs have one. It begins orders in the order of their rows; one that it has overtaken it will not look at again.
Nobody begins an order twice: one that was begun more often is in the hands of several importers, which share a table.

==========================================================  ==========
the orders of an attempt                                    `Move`
==========================================================  ==========
one is not placed                                           PLACE
all are done                                                FINISH
all are done, and one is copied by another importer         WAIT, 10 min
one is at work or waits, and there was news of it           WAIT
one is at work or waits, and there was none for too long    GIVE_UP
all have ended, some as the importer was restarted          RENEW, once
all have ended, some with a reason                          GIVE_UP
==========================================================  ==========

A person who retries an import that was given up gets another attempt, unless an order of the last one may still be at
work: then that one is waited for, since two orders for one file would become two images.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Final

from worker.results.inplace.orders import COMPLETED, FAILED, PENDING, name_orders

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from worker.results.inplace.orders import OrderHistory

SETTLING_S: Final = 60.0
"""What an importer had begun when it was restarted may still arrive: OMERO goes on by itself for a while."""

COPYING_S: Final = 600.0
"""How long another importer is waited for that makes again what one has made: so that the copies can be named."""

FIRST_LOOK_S: Final = 2.0
LAST_LOOK_S: Final = 60.0


class Verdict(StrEnum):
    """What became of an order."""

    UNPLACED = "unplaced"
    WAITING = "waiting"
    OVERTAKEN = "overtaken"
    WORKING = "working"
    COPYING = "copying"
    DONE = "done"
    UNBEGUN = "unbegun"
    INTERRUPTED = "interrupted"
    FAILED = "failed"

    @property
    def ended(self) -> bool:
        """Whether the importer will do nothing more about it."""
        return self in (Verdict.DONE, Verdict.UNBEGUN, Verdict.INTERRUPTED, Verdict.FAILED)


class Move(StrEnum):
    """What to do next about the orders of an attempt."""

    PLACE = "place"
    WAIT = "wait"
    FINISH = "finish"
    RENEW = "renew"
    GIVE_UP = "give up"


def judge(history: OrderHistory) -> Verdict:
    """Tell what became of an order.

    Parameters
    ----------
    history : OrderHistory
        What was said about it.

    Returns
    -------
    Verdict
        See the table above.
    """
    stages = [row.stage for row in history.rows]
    if not stages:
        return Verdict.UNPLACED
    ended = stages.count(COMPLETED) + stages.count(FAILED)
    if COMPLETED in stages:
        return Verdict.COPYING if history.importers > max(1, ended) else Verdict.DONE
    if history.importers > max(1, ended):
        return Verdict.WORKING
    if stages[-1] == FAILED:
        if reason_of(history):
            return Verdict.FAILED
        return Verdict.INTERRUPTED if set(stages) - {PENDING, FAILED} else Verdict.UNBEGUN
    if set(stages) == {PENDING}:
        return Verdict.OVERTAKEN if history.overtaken else Verdict.WAITING
    # An order that failed as one importer was restarted may have been taken up by another.
    return Verdict.WORKING


def reason_of(history: OrderHistory) -> str:
    """Why an order failed, in the importer's words; empty if it gave no reason."""
    return next((row.description for row in reversed(history.rows) if row.stage == FAILED and row.description), "")


def describe_failure(histories: Sequence[OrderHistory], silent_s: float) -> str:
    """Say which orders came to nothing, why, and where to look.

    Parameters
    ----------
    histories : Sequence of OrderHistory
        All orders of an attempt.
    silent_s : float
        How long there has been no news of those that have not ended.

    Returns
    -------
    str
        Sentences for the person.
    """
    duration = in_words(silent_s)
    alike: dict[str, list[UUID]] = {}
    for history in histories:
        match judge(history):
            case Verdict.DONE | Verdict.COPYING:
                continue
            case Verdict.FAILED:
                why = f"failed: {reason_of(history).rstrip('.')}."
            case Verdict.WAITING | Verdict.UNPLACED:
                why = f"was not begun in {duration}: is the importer running?"
            case Verdict.OVERTAKEN:
                why = "was left lying by the importer, which has begun later ones."
            case Verdict.WORKING:
                why = f"was begun, but there was no news of it for {duration}."
            case _:
                why = "was cut short, as the importer was restarted."
        alike.setdefault(why, []).append(history.uuid)
    said = []
    for why, uuids in alike.items():
        subject, log = ("Order", str(uuids[0])) if len(uuids) == 1 else ("Each of orders", "<order>")
        said.append(
            f"{subject} {name_orders(uuids)} to the importer {why} Its logs there are logs/cli.{log}_<n>.errs, for the "
            "n-th file of the order, from 0."
        )
    if not said:
        said.append("The importer says that it has done everything, but has not.")
    return f"{' '.join(said)} A retry of the run orders only what is missing."


def in_words(seconds: float) -> str:
    """Write a duration as people do: in seconds, or in minutes where it is longer than two."""
    return f"{seconds:.0f} seconds" if seconds < 2 * 60 else f"{seconds / 60:.0f} minutes"


def next_move(
    histories: Sequence[OrderHistory], *, silent_s: float, timeout_s: float, renewable: bool, ended_s: float
) -> Move:
    """Decide what to do about the orders of an attempt.

    Parameters
    ----------
    histories : Sequence of OrderHistory
        What was said about each.
    silent_s : float
        For how long there was no news of those that have not ended.
    timeout_s : float
        How long that may last.
    renewable : bool
        Whether what a restart has cut short may be ordered anew.
    ended_s : float
        For how long all of them are known to have ended. Not the importer's time, which it writes without its zone.

    Returns
    -------
    Move
        See the table above.
    """
    verdicts = [judge(history) for history in histories]
    if Verdict.UNPLACED in verdicts:
        return Move.PLACE
    if all(verdict in (Verdict.DONE, Verdict.COPYING) for verdict in verdicts):
        copying = Verdict.COPYING in verdicts and silent_s < min(COPYING_S, timeout_s)
        return Move.WAIT if copying else Move.FINISH
    if not all(verdict.ended for verdict in verdicts):
        return Move.GIVE_UP if silent_s >= timeout_s else Move.WAIT
    if renewable and Verdict.FAILED not in verdicts:
        settled = Verdict.INTERRUPTED not in verdicts or ended_s >= min(SETTLING_S, timeout_s)
        return Move.RENEW if settled else Move.WAIT
    return Move.GIVE_UP


def may_order_again(histories: Sequence[OrderHistory]) -> bool:
    """Whether another order for the same files cannot meet one that is still at work.

    Parameters
    ----------
    histories : Sequence of OrderHistory
        What was said about the orders of the attempt that was given up.

    Returns
    -------
    bool
        True if each has ended, was overtaken, or was never placed.
    """
    return all(_over(judge(history), history.silent_s) for history in histories)


def _over(verdict: Verdict, silent_s: float) -> bool:
    if verdict is Verdict.COPYING:
        return silent_s >= COPYING_S
    return verdict.ended or verdict in (Verdict.OVERTAKEN, Verdict.UNPLACED)


def look_again_s(waited_s: float) -> float:
    """Say when to look again: soon at first, then ever more rarely.

    Parameters
    ----------
    waited_s : float
        For how long there was no news.

    Returns
    -------
    float
        A fifth of that, in seconds; at least 2, at most 60.
    """
    return min(max(FIRST_LOOK_S, waited_s / 5), LAST_LOOK_S)
