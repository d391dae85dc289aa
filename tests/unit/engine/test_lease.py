"""Who drives a run: leases under competition, on both kinds of database."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from worker.engine.beat import EngineBeat, service_alive
from worker.engine.lease import Leases
from worker.errors import LeaseLost, RunCancelled
from worker.history.database import Database

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    url = request.getfixturevalue("postgres_url") if request.param == "postgresql" else None
    with Database(url, sqlite_path=tmp_path / "history.sqlite") as database:
        database.migrate()
        yield database


def test_a_lease_has_one_holder(database: Database) -> None:
    run_id = uuid4()
    first, second = Leases(database, "first"), Leases(database, "second")
    assert first.take(run_id) is not None
    assert second.take(run_id) is None
    first.check(run_id)
    with pytest.raises(LeaseLost):
        second.check(run_id)


def test_a_holder_does_not_get_a_lease_twice(database: Database) -> None:
    run_id = uuid4()
    leases = Leases(database, "first")
    assert leases.take(run_id) is not None
    assert leases.take(run_id) is None
    leases.check(run_id)


def test_of_many_that_reach_for_a_lease_one_gets_it(database: Database) -> None:
    run_id = uuid4()
    barrier = threading.Barrier(8)
    taken = []

    def reach(name: str) -> None:
        leases = Leases(database, name)
        barrier.wait()
        if leases.take(run_id) is not None:
            taken.append(name)

    threads = [threading.Thread(target=reach, args=(f"engine {number}",)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(taken) == 1


def test_of_many_that_wait_for_a_turn_one_has_it_at_a_time(database: Database) -> None:
    turn = uuid4()
    inside: list[int] = []
    most: list[int] = []

    def take_turns(number: int) -> None:
        with Leases(database, f"engine {number}").turn(turn, lambda: None):
            inside.append(number)
            most.append(len(inside))
            time.sleep(0.02)
            inside.remove(number)

    threads = [threading.Thread(target=take_turns, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1, 1, 1, 1]


def test_the_turn_of_a_process_that_was_killed_runs_out(database: Database) -> None:
    turn = uuid4()
    assert Leases(database, "killed", duration_s=0.3).take(turn) is not None
    with Leases(database, "next", duration_s=0.3).turn(turn, lambda: None):
        pass


def test_nobody_waits_for_a_turn_whose_run_was_cancelled_meanwhile(database: Database) -> None:
    turn = uuid4()

    def cancelled() -> None:
        raise RunCancelled("Cancelled by alice.")

    with Leases(database, "first").turn(turn, lambda: None):
        with pytest.raises(RunCancelled), Leases(database, "second").turn(turn, cancelled):
            pass
        assert Leases(database, "third").take(turn) is None


def test_a_lease_that_is_given_back_can_be_taken_at_once(database: Database) -> None:
    run_id = uuid4()
    first, second = Leases(database, "first"), Leases(database, "second")
    one = first.take(run_id)
    first.give_back(run_id)
    two = second.take(run_id)
    assert one is not None
    assert two is not None
    assert two.token > one.token


def test_a_lease_whose_holder_has_died_runs_out_by_itself(database: Database) -> None:
    run_id = uuid4()
    dead, heir = Leases(database, "dead", duration_s=0.3), Leases(database, "heir")
    assert dead.take(run_id) is not None
    assert heir.take(run_id) is None
    time.sleep(0.4)
    assert heir.take(run_id) is not None
    with pytest.raises(LeaseLost):
        dead.check(run_id)


def test_a_holder_that_comes_back_late_finds_its_lease_gone(database: Database) -> None:
    run_id = uuid4()
    paused, heir = Leases(database, "paused", duration_s=0.2), Leases(database, "heir")
    assert paused.take(run_id) is not None
    time.sleep(0.3)
    assert heir.take(run_id) is not None
    paused.renew_all()
    with pytest.raises(LeaseLost):
        paused.check(run_id)
    heir.check(run_id)


def test_a_heartbeat_keeps_a_lease_alive(database: Database) -> None:
    run_id = uuid4()
    leases, other = Leases(database, "first", duration_s=0.6), Leases(database, "second")
    assert leases.take(run_id) is not None
    with leases.heartbeat():
        time.sleep(1.2)
        leases.check(run_id)
        assert other.take(run_id) is None


def test_the_numbers_of_a_run_grow_with_every_holder_and_are_never_reset(database: Database) -> None:
    run_id = uuid4()
    leases = Leases(database, "first")
    numbers: list[int] = []
    for _ in range(3):
        assert leases.take(run_id) is not None
        numbers.extend((leases.number(run_id), leases.number(run_id)))
        leases.give_back(run_id)
    assert numbers == sorted(set(numbers))


def test_the_fence_lets_the_holder_write_and_nobody_else(database: Database) -> None:
    run_id = uuid4()
    holder, stranger = Leases(database, "holder"), Leases(database, "stranger")
    assert holder.take(run_id) is not None
    with database.session() as session:
        holder.fence(run_id)(session)
    with database.session() as session, pytest.raises(LeaseLost):
        stranger.fence(run_id)(session)


def test_the_fence_stops_a_holder_whose_lease_has_run_out(database: Database) -> None:
    run_id = uuid4()
    paused = Leases(database, "paused", duration_s=0.2)
    assert paused.take(run_id) is not None
    time.sleep(0.3)
    with database.session() as session, pytest.raises(LeaseLost):
        paused.fence(run_id)(session)


def test_nobody_takes_a_run_between_the_fence_and_the_commit(database: Database) -> None:
    run_id = uuid4()
    holder, heir = Leases(database, "holder", duration_s=2.0), Leases(database, "heir")
    assert holder.take(run_id) is not None
    committed_at = taken_at = 0.0

    def inherit() -> None:
        nonlocal taken_at
        while heir.take(run_id) is None:
            time.sleep(0.01)
        taken_at = time.monotonic()

    thread = threading.Thread(target=inherit)
    with database.session() as session:
        holder.fence(run_id)(session)
        thread.start()
        time.sleep(2.5)
        committed_at = time.monotonic()
        session.commit()
    thread.join()
    assert taken_at > committed_at


def test_a_lease_from_before_the_clock_was_set_back_is_not_waited_for(database: Database) -> None:
    run_id = uuid4()
    before, after = Leases(database, "before", duration_s=3600), Leases(database, "after", duration_s=1)
    assert before.take(run_id) is not None
    assert after.take(run_id) is not None


def test_a_process_that_surrenders_has_no_lease_any_more(database: Database) -> None:
    run_id = uuid4()
    leases = Leases(database, "first")
    assert leases.take(run_id) is not None
    leases.surrender()
    with pytest.raises(LeaseLost, match="about to end"):
        leases.check(run_id)


def test_a_script_knows_whether_an_engine_service_is_alive(database: Database) -> None:
    assert not service_alive(database)
    beat = EngineBeat(database, "engine")
    beat.beat()
    beat.beat()
    assert service_alive(database)
    time.sleep(0.2)
    assert not service_alive(database, within_s=0.1)
    beat.stop()
    assert not service_alive(database)
