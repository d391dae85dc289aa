"""Circuit breakers: when they open and close, who may try, and what persons are told."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from tests.unit.cluster.ssh_server import SshServer
from worker.cluster import ssh
from worker.cluster.local import LocalTransport
from worker.engine.breaker import (
    OMERO,
    PROBE_LIMIT_S,
    Breaker,
    Circuit,
    CircuitState,
    GuardedOmero,
    GuardedTransport,
)
from worker.engine.circuits import Circuits, read_circuits
from worker.errors import (
    CircuitOpen,
    CommandFailed,
    ConnectionLost,
    ConnectionsBusy,
    HostUnreachable,
    OmeroRefused,
    OmeroUnavailable,
    OutcomeUnknown,
    WorkerError,
)
from worker.history.database import Database
from worker.settings.models import SshSettings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)

UNREACHABLE = HostUnreachable("No route to host.")
LOST = ConnectionLost("The connection was lost.")
SILENT = OutcomeUnknown("Silent for 60 s.")
BUSY = ConnectionsBusy("All connections are in use.")
SAID_NO = CommandFailed("ls", 2, "no such file")
DEFECT = ValueError("a defect")


@dataclass
class Clock:
    """A clock that stands still until it is moved."""

    seconds: float = 0.0

    def __call__(self) -> float:
        return self.seconds

    def now(self) -> datetime:
        return NOON + timedelta(seconds=self.seconds)


@dataclass
class Bench:
    """A breaker with a clock, and the states that it has told of."""

    clock: Clock = field(default_factory=Clock)
    told: list[CircuitState] = field(default_factory=list)
    spread: float = 1.0

    def breaker(self, **options: Any) -> Breaker:
        defaults = {"threshold": 3, "first_pause_s": 10.0, "max_pause_s": 60.0}
        return Breaker(
            "cluster",
            **(defaults | options),
            clock=self.clock,
            now=self.clock.now,
            spread=lambda: self.spread,
            on_change=self.told.append,
        )


@pytest.fixture
def bench() -> Bench:
    return Bench()


def ask(breaker: Breaker, outcome: BaseException | None) -> None:
    """Ask the resource, which answers, or fails as given."""
    try:
        with breaker.guarded():
            if outcome is not None:
                raise outcome
    except CircuitOpen:
        raise
    except (WorkerError, ValueError):
        pass


OK = None


@pytest.mark.parametrize(
    ("steps", "ends"),
    [
        ([], Circuit.CLOSED),
        ([UNREACHABLE, UNREACHABLE], Circuit.CLOSED),
        ([UNREACHABLE, UNREACHABLE, UNREACHABLE], Circuit.OPEN),
        ([UNREACHABLE, LOST, UNREACHABLE], Circuit.OPEN),
        # Only failures in a row count, and only failures to get through.
        ([UNREACHABLE, UNREACHABLE, OK, UNREACHABLE, UNREACHABLE], Circuit.CLOSED),
        ([UNREACHABLE, UNREACHABLE, SAID_NO, UNREACHABLE], Circuit.CLOSED),
        ([SAID_NO] * 5, Circuit.CLOSED),
        ([SILENT] * 5, Circuit.CLOSED),
        ([BUSY] * 5, Circuit.CLOSED),
        ([DEFECT] * 5, Circuit.CLOSED),
        # What says nothing neither counts nor forgives.
        ([UNREACHABLE, SILENT, UNREACHABLE, BUSY, DEFECT, UNREACHABLE], Circuit.OPEN),
        # After the pause one may try.
        ([UNREACHABLE] * 3 + [10.0, OK], Circuit.CLOSED),
        ([UNREACHABLE] * 3 + [10.0, SAID_NO], Circuit.CLOSED),
        ([UNREACHABLE] * 3 + [10.0, UNREACHABLE], Circuit.OPEN),
        # A try without an outcome leaves it to the next.
        ([UNREACHABLE] * 3 + [10.0, DEFECT], Circuit.OPEN),
        ([UNREACHABLE] * 3 + [10.0, DEFECT, OK], Circuit.CLOSED),
        # Once closed, it takes as many failures as before.
        ([UNREACHABLE] * 3 + [10.0, OK, UNREACHABLE, UNREACHABLE], Circuit.CLOSED),
        ([UNREACHABLE] * 3 + [10.0, OK, UNREACHABLE, UNREACHABLE, UNREACHABLE], Circuit.OPEN),
    ],
)
def test_states(bench: Bench, steps: list[BaseException | float | None], ends: Circuit) -> None:
    breaker = bench.breaker()
    for step in steps:
        if isinstance(step, float):
            bench.clock.seconds += step
        else:
            ask(breaker, step)
    assert breaker.state.state is ends


def test_whoever_asks_while_it_is_open_is_turned_away(bench: Bench) -> None:
    breaker = bench.breaker()
    for _ in range(3):
        ask(breaker, UNREACHABLE)
    bench.clock.seconds = 9.9
    with pytest.raises(CircuitOpen), breaker.guarded():
        pytest.fail("it was asked")


@pytest.mark.parametrize(("spread", "share"), [(0.0, 0.5), (0.5, 0.75), (1.0, 1.0)])
def test_pauses_double_up_to_a_limit_and_are_spread(bench: Bench, spread: float, share: float) -> None:
    bench.spread = spread
    breaker = bench.breaker()
    for _ in range(2):
        ask(breaker, UNREACHABLE)
    for pause_s in (10, 20, 40, 60, 60, 60):
        ask(breaker, UNREACHABLE)
        retry_at = breaker.state.retry_at
        assert retry_at is not None
        assert retry_at - bench.clock.now() == timedelta(seconds=pause_s * share)
        bench.clock.seconds += pause_s * share


def test_an_outage_of_years_does_not_overflow(bench: Bench) -> None:
    breaker = bench.breaker(threshold=1)
    for _ in range(2000):
        ask(breaker, UNREACHABLE)
        bench.clock.seconds += 60
    assert breaker.state.state is Circuit.OPEN


def test_of_many_threads_one_tries(bench: Bench) -> None:
    breaker = bench.breaker(threshold=1)
    ask(breaker, UNREACHABLE)
    bench.clock.seconds = 10.0
    barrier, trying, turned_away = threading.Barrier(16), threading.Event(), threading.Semaphore(0)
    tries: list[int] = []

    def reach(number: int) -> None:
        barrier.wait()
        try:
            with breaker.guarded():
                tries.append(number)
                trying.wait(10)
        except CircuitOpen:
            turned_away.release()

    threads = [threading.Thread(target=reach, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for _ in range(15):
        assert turned_away.acquire(timeout=10)
    assert breaker.state.state == "half-open"
    trying.set()
    for thread in threads:
        thread.join()
    assert len(tries) == 1
    assert breaker.state.state == "closed"


def test_many_that_fail_together_open_it_once(bench: Bench) -> None:
    breaker = bench.breaker()
    barrier = threading.Barrier(12)

    def fail() -> None:
        def together() -> None:
            with breaker.guarded():
                barrier.wait()
                raise UNREACHABLE

        with pytest.raises(HostUnreachable):
            together()

    threads = [threading.Thread(target=fail) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [state.state for state in bench.told] == [Circuit.OPEN]
    assert breaker.state.retry_at == NOON + timedelta(seconds=10)


def test_a_try_that_never_comes_back_is_not_waited_for(bench: Bench) -> None:
    breaker = bench.breaker(threshold=1)
    ask(breaker, UNREACHABLE)
    bench.clock.seconds = 10.0
    with breaker.guarded():
        with pytest.raises(CircuitOpen):
            ask(breaker, OK)
        bench.clock.seconds += PROBE_LIMIT_S
        ask(breaker, OK)
        assert breaker.state.state is Circuit.CLOSED


def test_what_was_begun_before_it_opened_does_not_close_it(bench: Bench) -> None:
    breaker = bench.breaker(threshold=1)
    with breaker.guarded():
        ask(breaker, UNREACHABLE)
    assert breaker.state.state is Circuit.OPEN


def test_each_change_is_told_once_and_in_order(bench: Bench) -> None:
    breaker = bench.breaker()
    for _ in range(3):
        ask(breaker, UNREACHABLE)
    bench.clock.seconds = 10.0
    ask(breaker, UNREACHABLE)
    bench.clock.seconds = 30.0
    ask(breaker, OK)
    ask(breaker, OK)
    assert [state.state.value for state in bench.told] == ["open", "half-open", "open", "half-open", "closed"]
    assert {state.since for state in bench.told[:-1]} == {NOON}
    assert bench.told[-1].since == NOON + timedelta(seconds=30)


class TestMessage:
    def test_it_says_since_when_until_when_and_why(self) -> None:
        day = datetime.now().astimezone().replace(hour=14, minute=3)
        error = CircuitOpen("cluster", day, day + timedelta(minutes=5), "No route to host.")
        assert str(error) == "cluster unreachable since 14:03, trying again at 14:08 (No route to host)."

    def test_a_time_of_another_day_has_its_date(self) -> None:
        day = datetime(2026, 3, 1, 14, 3).astimezone()
        error = CircuitOpen("OMERO", day, day, "")
        assert str(error) == "OMERO unreachable since 2026-03-01 14:03, trying again at 2026-03-01 14:03."

    def test_its_parts_can_be_read(self, bench: Bench) -> None:
        breaker = bench.breaker()
        bench.clock.seconds = 1.0
        ask(breaker, UNREACHABLE)
        bench.clock.seconds = 2.0
        ask(breaker, UNREACHABLE)
        ask(breaker, UNREACHABLE)
        with pytest.raises(CircuitOpen) as caught:
            ask(breaker, OK)
        error = caught.value
        assert (error.resource, error.since, error.retry_at, error.problem) == (
            "cluster",
            NOON + timedelta(seconds=1),
            NOON + timedelta(seconds=12),
            "No route to host.",
        )
        assert error.transient


class UnreachableTransport(LocalTransport):
    """A way to this machine over a network that may be down."""

    down = True
    asked: int = 0

    def run(self, *arguments: Any, **options: Any) -> Any:
        self.asked += 1
        if self.down:
            raise UNREACHABLE
        return super().run(*arguments, **options)


class TestGuardedTransport:
    def test_it_is_the_transport_that_it_guards(self, bench: Bench) -> None:
        transport = GuardedTransport(LocalTransport(), bench.breaker())
        assert transport.run(["cat"], stdin=[b"hello"]).stdout == b"hello"
        with transport.stream(["printf", "a b"]) as pieces:
            assert b"".join(pieces) == b"a b"
        assert transport.run(["false"]).exit_status == 1
        transport.close()

    def test_it_leaves_the_cluster_alone(self, bench: Bench) -> None:
        inner = UnreachableTransport()
        transport = GuardedTransport(inner, bench.breaker())
        for _ in range(3):
            with pytest.raises(HostUnreachable):
                transport.run(["true"])
        for _ in range(5):
            with pytest.raises(CircuitOpen):
                transport.run(["true"])
            with pytest.raises(CircuitOpen), transport.stream(["true"]):
                pass
        assert inner.asked == 3

    def test_whoever_tries_in_vain_has_not_failed(self, bench: Bench) -> None:
        transport = GuardedTransport(UnreachableTransport(), bench.breaker(threshold=1))
        with pytest.raises(HostUnreachable):
            transport.run(["true"])
        for pause_s in (10.0, 30.0, 70.0):
            bench.clock.seconds = pause_s
            with pytest.raises(CircuitOpen, match=r"trying again at .*No route to host"):
                transport.run(["sbatch"])

    def test_it_is_tried_with_a_command_that_has_no_effect(self, bench: Bench, tmp_path: Path) -> None:
        inner = UnreachableTransport()
        breaker = bench.breaker(threshold=1)
        transport = GuardedTransport(inner, breaker)
        with pytest.raises(HostUnreachable):
            transport.run(["true"])
        bench.clock.seconds = 10.0
        inner.down = False

        def input_() -> Iterator[bytes]:
            assert breaker.state.state is Circuit.CLOSED  # before the transfer, not after it
            yield b"data"

        assert transport.run(["cat"], stdin=input_()).stdout == b"data"

    def test_what_goes_wrong_in_us_says_nothing_about_the_cluster(self, bench: Bench) -> None:
        breaker = bench.breaker(threshold=1)
        transport = GuardedTransport(LocalTransport(), breaker)
        with pytest.raises(OmeroUnavailable), transport.stream(["true"]):
            raise OmeroUnavailable("The session has ended.")
        assert breaker.state.state is Circuit.CLOSED


def test_a_real_server_that_goes_away_and_comes_back(bench: Bench, tmp_path: Path) -> None:
    server = SshServer(tmp_path)
    server.start()
    pool = ssh.connect_pool(SshSettings(host="cluster", ssh_config=server.client()), size=2)
    transport = GuardedTransport(pool, bench.breaker())
    try:
        transport.run(["true"]).check()
        server.end_sessions()
        server.stop()
        for _ in range(3):
            with pytest.raises(HostUnreachable):
                transport.run(["true"])
        with pytest.raises(CircuitOpen, match=r"cluster unreachable since .*refused"):
            transport.run(["true"])
        server.start()
        with pytest.raises(CircuitOpen):
            transport.run(["true"])
        bench.clock.seconds += 10.0
        assert transport.run(["echo", "in"]).text == "in\n"
        assert pool.handshakes == 2
    finally:
        pool.close()
        server.stop()


class TestGuardedOmero:
    class Access:
        """OMERO, as it is told to be."""

        error: Exception | None = None

        @contextmanager
        def session(self, *, user_name: str, group_id: int) -> Iterator[Any]:
            if self.error:
                raise self.error
            yield f"{user_name} in {group_id}"

    def test_it_is_left_alone_while_it_does_not_answer(self, bench: Bench) -> None:
        access = self.Access()
        omero = GuardedOmero(access, bench.breaker(verdicts=OMERO))
        access.error = OmeroUnavailable("Connection refused.")
        for _ in range(3):
            with pytest.raises(OmeroUnavailable), omero.session(user_name="ann", group_id=3):
                pass
        access.error = None
        with pytest.raises(CircuitOpen), omero.session(user_name="ann", group_id=3):
            pass
        bench.clock.seconds = 10.0
        with omero.session(user_name="ann", group_id=3) as gateway:
            assert gateway == "ann in 3"

    def test_a_refusal_is_an_answer(self, bench: Bench) -> None:
        access = self.Access()
        breaker = bench.breaker(verdicts=OMERO, threshold=1)
        access.error = OmeroRefused("No such user.")
        with pytest.raises(OmeroRefused), GuardedOmero(access, breaker).session(user_name="ann", group_id=3):
            pass
        assert breaker.state.state is Circuit.CLOSED

    def test_an_outage_of_the_cluster_while_omero_is_open_is_not_omeros(self, bench: Bench) -> None:
        breaker = bench.breaker(verdicts=OMERO, threshold=1)
        with pytest.raises(HostUnreachable), GuardedOmero(self.Access(), breaker).session(user_name="a", group_id=3):
            raise UNREACHABLE
        assert breaker.state.state is Circuit.CLOSED


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
