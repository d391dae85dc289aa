"""Circuits as other processes read them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from tests.unit.engine.circuit_bench import OK, UNREACHABLE, ask
from worker.engine.breaker import Breaker, Circuit, CircuitState
from worker.engine.circuits import Circuits, read_circuits
from worker.errors import HostUnreachable
from worker.history.database import Database

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class TestCircuits:
    @pytest.fixture(params=["sqlite", "postgresql"])
    def database(self, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
        url = request.getfixturevalue("postgres_url") if request.param == "postgresql" else None
        with Database(url, sqlite_path=tmp_path / "history.sqlite") as database:
            database.migrate()
            yield database

    def test_others_can_read_where_a_circuit_stands(self, database: Database) -> None:
        circuits = Circuits(database, "engine:1")
        breaker = Breaker("cluster", threshold=1, on_change=circuits.record)
        ask(breaker, UNREACHABLE)
        (held,) = read_circuits(database)
        assert (held.holder, held.circuit.state, held.circuit.problem) == (
            "engine:1",
            Circuit.OPEN,
            UNREACHABLE.message,
        )
        assert str(held).startswith("cluster unreachable since ")
        assert held.circuit.retry_at == pytest.approx(breaker.state.retry_at, abs=timedelta(seconds=1))

    def test_a_row_is_changed_and_not_added(self, database: Database) -> None:
        circuits = Circuits(database, "engine:1")
        breaker = Breaker("cluster", threshold=1, first_pause_s=0.0, on_change=circuits.record)
        ask(breaker, UNREACHABLE)
        ask(breaker, OK)
        (held,) = read_circuits(database)
        assert (held.circuit.state, held.circuit.retry_at) == (Circuit.CLOSED, None)

    def test_what_a_killed_process_left_open_is_not_believed(self, database: Database) -> None:
        hour_ago = datetime.now(UTC) - timedelta(hours=1)
        Circuits(database, "engine:1").record(CircuitState("cluster", Circuit.OPEN, hour_ago, hour_ago, "no route"))
        assert read_circuits(database) == []

    def test_a_process_that_ends_is_forgotten(self, database: Database) -> None:
        circuits = Circuits(database, "engine:1")
        ask(Breaker("cluster", threshold=1, on_change=circuits.record), UNREACHABLE)
        circuits.forget()
        assert read_circuits(database) == []

    def test_a_database_that_does_not_answer_does_not_hold_up_the_cluster(self, tmp_path: Path) -> None:
        nowhere = Database("postgresql+psycopg2://nobody@127.0.0.1:9/none")
        breaker = Breaker("cluster", threshold=1, on_change=Circuits(nowhere, "engine:1").record)
        with pytest.raises(HostUnreachable), breaker.guarded():
            raise UNREACHABLE
        assert breaker.state.state is Circuit.OPEN
