"""Where the circuits of all processes stand, for those who look from outside: `omero-worker check` and status pages."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

import structlog
from sqlalchemy import delete, or_, select

from worker.engine.breaker import Circuit, CircuitState
from worker.errors import CircuitOpen, HistoryError
from worker.history import tables
from worker.history.upsert import upsert

if TYPE_CHECKING:
    from worker.history.database import Database

log = structlog.get_logger(__name__)

ABANDONED_AFTER = timedelta(minutes=10)
"""A circuit that is open although the time of its next try is so long past belongs to a process that was killed."""

FORGOTTEN_AFTER = timedelta(days=7)
"""After so long the rows of processes that were killed are removed."""


@dataclass(frozen=True, slots=True)
class HeldCircuit:
    """A circuit of some process."""

    holder: str
    circuit: CircuitState

    def __str__(self) -> str:
        """What a person should know about it."""
        circuit = self.circuit
        if circuit.state is Circuit.CLOSED:
            return f"{circuit.name} answers"
        retry_at = circuit.retry_at or circuit.since
        return CircuitOpen(circuit.name, circuit.since, retry_at, circuit.problem).message


class Circuits:
    """Keeps the circuits of this process on record.

    Parameters
    ----------
    database : Database
        Where.
    holder : str
        Name of this process.
    """

    def __init__(self, database: Database, holder: str) -> None:
        self._database = database
        self.holder = holder

    def record(self, state: CircuitState) -> None:
        """Take down a new state; for `Breaker`, which goes on even if that is not possible.

        Parameters
        ----------
        state : CircuitState
            The state.
        """
        log.warning(
            "circuit_changed", resource=state.name, circuit=state.state.value, since=str(state.since),
            retry_at=str(state.retry_at), problem=state.problem,
        )  # fmt: skip
        table = tables.circuit
        try:
            with self._database.session() as session:
                upsert(
                    session,
                    table,
                    {"holder": self.holder, "name": state.name},
                    state=state.state.value,
                    since=state.since,
                    retry_at=state.retry_at,
                    problem=state.problem,
                )
                long_ago = self._database.now(session) - FORGOTTEN_AFTER
                session.execute(
                    delete(table).where(
                        table.c.since < long_ago, or_(table.c.retry_at.is_(None), table.c.retry_at < long_ago)
                    )
                )
                session.commit()
        except HistoryError as error:
            log.warning("circuit_not_recorded", resource=state.name, problem=str(error))

    def forget(self) -> None:
        """Remove what this process has taken down, as it ends."""
        try:
            with self._database.session() as session:
                session.execute(delete(tables.circuit).where(tables.circuit.c.holder == self.holder))
                session.commit()
        except HistoryError as error:
            log.warning("circuits_not_forgotten", problem=str(error))


def read_circuits(database: Database) -> list[HeldCircuit]:
    """Read the circuits of all processes.

    Parameters
    ----------
    database : Database
        Where they are.

    Returns
    -------
    list of HeldCircuit
        In the order of names and processes; those that a killed process has left open are not among them.

    Raises
    ------
    HistoryUnavailable
        If the database does not answer.
    """
    table = tables.circuit
    with database.reading() as session:
        limit = database.now(session) - ABANDONED_AFTER
        rows = session.execute(
            select(table)
            .where(or_(table.c.retry_at.is_(None), table.c.retry_at >= limit))
            .order_by(table.c.name, table.c.holder)
        ).all()
    return [
        HeldCircuit(row.holder, CircuitState(row.name, Circuit(row.state), row.since, row.retry_at, row.problem))
        for row in rows
    ]


def what_does_not_answer(database: Database) -> list[str]:
    """Say what does not answer at the moment, as far as any process knows.

    Parameters
    ----------
    database : Database
        Where the circuits are.

    Returns
    -------
    list of str
        Such as "cluster unreachable since 14:03, trying again at 14:08 (no route to host)."; empty if all is well.

    Raises
    ------
    HistoryUnavailable
        If the database does not answer.
    """
    circuits = [held for held in read_circuits(database) if held.circuit.state is not Circuit.CLOSED]
    return list(dict.fromkeys(map(str, circuits)))
