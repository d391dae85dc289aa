"""Several threads, several connections; and a network that swallows what it is given."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from tests.unit.cluster.proxy import Proxy
from worker.cluster import hosts, ssh
from worker.cluster.ssh import SshPool, SshTransport
from worker.errors import (
    ConnectionLost,
    ConnectionsBusy,
    NotSent,
    OutcomeUnknown,
)
from worker.settings.models import SshSettings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.unit.cluster.ssh_server import SshServer


class TestManyThreads:
    def test_threads_take_turns_on_one_connection(self, ssh: SshTransport) -> None:
        with ThreadPoolExecutor(8) as executor:
            answers = list(executor.map(lambda i: ssh.run(["echo", str(i)]).text, range(100)))
        assert answers == [f"{i}\n" for i in range(100)]
        assert ssh.handshakes == 1

    def test_a_pool_serves_threads_at_the_same_time_and_keeps_its_connections(self, ssh_server: SshServer) -> None:
        pool = ssh.connect_pool(SshSettings(host="cluster", ssh_config=ssh_server.client()), size=3)
        try:
            with ThreadPoolExecutor(8) as executor:
                answers = list(executor.map(lambda i: pool.run(["echo", str(i)]).text, range(100)))
            assert answers == [f"{i}\n" for i in range(100)]
            assert 1 <= pool.handshakes <= 3
        finally:
            pool.close()

    def test_a_pool_makes_no_connection_that_it_does_not_need(self, ssh_server: SshServer) -> None:
        pool: SshPool = ssh.connect_pool(SshSettings(host="cluster", ssh_config=ssh_server.client()))
        try:
            assert pool.handshakes == 0
            for _ in range(5):
                pool.run(["true"]).check()
            assert pool.handshakes == 1
        finally:
            pool.close()

    def test_a_thousand_commands_need_no_more_handshakes_than_there_are_connections(
        self, ssh_server: SshServer
    ) -> None:
        pool = ssh.connect_pool(SshSettings(host="cluster", ssh_config=ssh_server.client()), size=4)
        try:
            with ThreadPoolExecutor(8) as executor:
                answers = list(executor.map(lambda i: pool.run(["echo", str(i)]).text, range(1000)))
            assert answers == [f"{i}\n" for i in range(1000)]
            assert pool.handshakes <= 4
        finally:
            pool.close()

    def test_who_waits_for_a_connection_does_not_wait_for_ever(self, ssh_server: SshServer) -> None:
        settings = SshSettings(host="cluster", ssh_config=ssh_server.client(), command_timeout_s=0.3)
        pool = ssh.connect_pool(settings, size=1)
        try:
            with pool.stream(["cat"]), pytest.raises(ConnectionsBusy, match=r"All 1 connections .* in use for 0\.3 s"):
                pool.run(["true"])
            assert pool.run(["echo", "in"]).text == "in\n"
        finally:
            pool.close()


class TestANetworkThatSwallowsEverything:
    @pytest.fixture
    def proxy(self, ssh_server: SshServer) -> Iterator[Proxy]:
        with Proxy(ssh_server.port) as proxy:
            yield proxy

    @pytest.fixture
    def settings(self, ssh_server: SshServer, proxy: Proxy) -> SshSettings:
        config = ssh_server.client("swallowed", Port=proxy.port, HostKeyAlias=f"[127.0.0.1]:{ssh_server.port}")
        return SshSettings(host="cluster", ssh_config=config, command_timeout_s=1.0, connect_timeout_s=0.5)

    def test_a_command_in_the_middle_is_given_up_in_time(self, settings: SshSettings, proxy: Proxy) -> None:
        pool = ssh.connect_pool(settings, size=1)
        try:
            pool.run(["true"]).check()
            stall = threading.Timer(0.2, proxy.stall)
            stall.start()
            started = time.monotonic()
            with pytest.raises(OutcomeUnknown, match="silent for 1 s"):
                pool.run(["sleep", "30"])
            assert time.monotonic() - started < 4
        finally:
            pool.close()

    def test_all_connections_of_a_pool_give_up_at_the_same_time_and_come_back(
        self, settings: SshSettings, proxy: Proxy
    ) -> None:
        pool = ssh.connect_pool(settings, size=4)

        def attempt(_: int) -> type[BaseException] | None:
            try:
                pool.run(["true"])
            except (NotSent, OutcomeUnknown) as error:
                return type(error)
            return None

        try:
            with ThreadPoolExecutor(4) as executor:
                assert set(executor.map(attempt, range(20))) == {None}
                proxy.stall()
                started = time.monotonic()
                assert None not in set(executor.map(attempt, range(4)))
                assert time.monotonic() - started < 6
                proxy.go_on()
                assert set(executor.map(attempt, range(20))) == {None}
            assert pool.handshakes <= 8
        finally:
            pool.close()

    def test_the_first_to_notice_spares_the_others(self, settings: SshSettings, proxy: Proxy) -> None:
        pool = ssh.connect_pool(settings, size=4)
        try:
            with ThreadPoolExecutor(4) as executor:
                list(executor.map(lambda _: pool.run(["sleep", "0.3"]), range(4)))
            assert pool.handshakes == 4
            stall = threading.Timer(0.2, proxy.stall)
            stall.start()
            with pytest.raises(OutcomeUnknown):
                pool.run(["sleep", "30"])
            proxy.go_on()
            assert pool.run(["echo", "in"]).text == "in\n"
            assert pool.handshakes == 5
        finally:
            pool.close()

    def test_a_transfer_that_hangs_does_not_hold_up_the_others(
        self, settings: SshSettings, proxy: Proxy, ssh_server: SshServer
    ) -> None:
        # One connection through the stalled network, the others not: each is given up by itself.
        stalled = SshTransport.from_settings(settings)
        whole = [SshTransport(hosts.resolve("cluster", ssh_server.client())) for _ in range(2)]
        pool = SshPool([stalled, *whole])
        hangs, ended = threading.Event(), threading.Event()

        def transfer() -> None:
            def pieces() -> Iterator[bytes]:
                yield b"x" * 100_000
                proxy.stall()
                hangs.set()
                yield from (b"x" * 100_000 for _ in range(1000))

            with pytest.raises(OutcomeUnknown):
                pool.run(["cat"], stdin=pieces(), timeout_s=2.0)
            ended.set()

        thread = threading.Thread(target=transfer)
        try:
            thread.start()
            assert hangs.wait(10)
            started = time.monotonic()
            with ThreadPoolExecutor(4) as executor:
                answers = list(executor.map(lambda i: pool.run(["echo", str(i)]).text, range(40)))
            assert answers == [f"{i}\n" for i in range(40)]
            assert not ended.is_set()
            assert time.monotonic() - started < 2
        finally:
            thread.join()
            pool.close()

    def test_a_lost_connection_is_told_from_a_command_that_is_silent(
        self, ssh: SshTransport, ssh_server: SshServer
    ) -> None:
        with pytest.raises(ConnectionLost):
            ssh_server.end_sessions_during(ssh, "echo in; sleep 20")
        with pytest.raises(OutcomeUnknown) as caught:
            ssh.run(["sleep", "20"], timeout_s=0.3)
        assert not isinstance(caught.value, ConnectionLost)
