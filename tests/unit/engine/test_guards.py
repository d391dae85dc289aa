"""What is behind a circuit: the way to the cluster, and OMERO."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from tests.unit.cluster.ssh_server import SshServer
from tests.unit.engine.circuit_bench import UNREACHABLE, Bench
from worker.cluster import ssh
from worker.cluster.local import LocalTransport
from worker.engine.breaker import OMERO, Circuit, GuardedOmero, GuardedTransport
from worker.errors import CircuitOpen, HostUnreachable, OmeroRefused, OmeroUnavailable
from worker.settings.models import SshSettings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


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
