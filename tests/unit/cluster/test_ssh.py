"""Running programs over SSH, on a real sshd."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from tests.unit.cluster.proxy import Proxy
from tests.unit.cluster.ssh_server import make_key, public
from tests.unit.cluster.transport_contract import TransportContract
from worker.cluster import hosts, ssh
from worker.cluster.ssh import SshPool, SshTransport
from worker.errors import (
    ConnectionLost,
    ConnectionsBusy,
    HostKeyRejected,
    HostUnreachable,
    KeyFileRejected,
    LoginRejected,
    NotSent,
    OutcomeUnknown,
    Refused,
    SettingsError,
)
from worker.settings.models import SshSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.unit.cluster.ssh_server import SshServer
    from worker.cluster.transport import Transport


@pytest.fixture
def connect(ssh_server: SshServer) -> Iterator[Callable[..., SshTransport]]:
    """Make a transport with other lines in its ssh configuration."""
    made: list[SshTransport] = []

    def transport(*, timeout_s: float = 5.0, **options: object) -> SshTransport:
        config = ssh_server.client(f"config{len(made)}", **options)
        made.append(SshTransport(hosts.resolve("cluster", config), connect_timeout_s=timeout_s, command_timeout_s=20))
        return made[-1]

    yield transport
    for one in made:
        one.close()


class TestSshTransport(TransportContract):
    # One for all: that it survives each of these tests is part of the contract.
    @pytest.fixture(scope="class")
    @classmethod
    def transport(cls, ssh_server: SshServer) -> Iterator[Transport]:
        transport = SshTransport(hosts.resolve("cluster", ssh_server.client()), command_timeout_s=20)
        yield transport
        transport.close()


class TestSshPool(TransportContract):
    @pytest.fixture(scope="class")
    @classmethod
    def transport(cls, ssh_server: SshServer) -> Iterator[Transport]:
        pool = ssh.connect_pool(SshSettings(host="cluster", ssh_config=ssh_server.client()), size=2)
        yield pool
        pool.close()


class TestWhoTheServerIs:
    def test_an_unknown_server_is_rejected_with_instructions(
        self, connect: Callable[..., SshTransport], ssh_server: SshServer, tmp_path: Path
    ) -> None:
        with pytest.raises(HostKeyRejected) as rejection:
            connect(UserKnownHostsFile=tmp_path / "none").run(["true"])
        fingerprint = subprocess.run(
            ["ssh-keygen", "-lf", ssh_server.folder / "host_ed25519.pub"], capture_output=True, text=True, check=True
        ).stdout.split()[1]
        told = str(rejection.value)
        assert fingerprint in told
        assert f"ssh-keyscan -p {ssh_server.port} 127.0.0.1" in told
        assert f">>{tmp_path / 'none'}" in told

    def test_the_instructions_work(
        self, connect: Callable[..., SshTransport], ssh_server: SshServer, tmp_path: Path
    ) -> None:
        scan = ["ssh-keyscan", "-p", str(ssh_server.port), "127.0.0.1"]
        known = tmp_path / "known"
        known.write_bytes(subprocess.run(scan, capture_output=True, check=True).stdout)
        assert connect(UserKnownHostsFile=known).run(["echo", "in"]).text == "in\n"

    def test_a_server_with_another_key_is_rejected(
        self, connect: Callable[..., SshTransport], ssh_server: SshServer, tmp_path: Path
    ) -> None:
        known = tmp_path / "known"
        known.write_text(f"[127.0.0.1]:{ssh_server.port} {public(ssh_server.folder / 'stranger')}\n")
        with pytest.raises(HostKeyRejected, match="shows another key") as rejection:
            connect(UserKnownHostsFile=known).run(["true"])
        assert f"ssh-keygen -f {known} -R '[127.0.0.1]:{ssh_server.port}'" in str(rejection.value)

    def test_strict_checking_cannot_be_turned_off(self, connect: Callable[..., SshTransport], tmp_path: Path) -> None:
        with pytest.raises(HostKeyRejected):
            connect(UserKnownHostsFile=tmp_path / "none", StrictHostKeyChecking="no").run(["true"])

    def test_a_key_of_any_type_that_the_server_has_will_do(
        self, connect: Callable[..., SshTransport], ssh_server: SshServer, tmp_path: Path
    ) -> None:
        known = tmp_path / "known"
        known.write_text(f"[127.0.0.1]:{ssh_server.port} {public(ssh_server.folder / 'host_rsa')}\n")
        assert connect(UserKnownHostsFile=known).run(["echo", "rsa"]).text == "rsa\n"

    def test_hashed_names_and_names_without_port_are_found(
        self, connect: Callable[..., SshTransport], ssh_server: SshServer, tmp_path: Path
    ) -> None:
        hashed, plain = tmp_path / "hashed", tmp_path / "plain"
        hashed.write_text(ssh_server.known_hosts.read_text())
        subprocess.run(["ssh-keygen", "-q", "-H", "-f", hashed], check=True, capture_output=True)
        plain.write_text(f"127.0.0.1 {public(ssh_server.folder / 'host_ed25519')}\n")
        for known in (hashed, plain):
            connect(UserKnownHostsFile=known).run(["true"]).check()


class TestWhoWeAre:
    def test_a_key_that_others_can_read_is_rejected(
        self, connect: Callable[..., SshTransport], ssh_server: SshServer, tmp_path: Path
    ) -> None:
        key = tmp_path / "open"
        key.write_bytes((ssh_server.folder / "id").read_bytes())
        key.chmod(0o640)
        with pytest.raises(KeyFileRejected, match=f"mode is 0640.*chmod 600 {key}"):
            connect(IdentityFile=key).run(["true"])

    def test_a_missing_key_is_named(self, connect: Callable[..., SshTransport], tmp_path: Path) -> None:
        with pytest.raises(KeyFileRejected, match="nowhere cannot be read: No such file"):
            connect(IdentityFile=tmp_path / "nowhere").run(["true"])

    def test_a_key_with_a_passphrase_needs_an_agent(self, connect: Callable[..., SshTransport], tmp_path: Path) -> None:
        make_key(tmp_path / "locked", "ed25519", passphrase="secret")
        with pytest.raises(KeyFileRejected, match=r"passphrase.*ssh-agent"):
            connect(IdentityFile=tmp_path / "locked").run(["true"])

    def test_what_is_no_key_is_rejected(self, connect: Callable[..., SshTransport], tmp_path: Path) -> None:
        (tmp_path / "text").write_text("no key")
        (tmp_path / "text").chmod(0o600)
        with pytest.raises(KeyFileRejected, match="not a private key"):
            connect(IdentityFile=tmp_path / "text").run(["true"])

    def test_a_key_that_the_server_does_not_know_is_rejected(
        self, connect: Callable[..., SshTransport], ssh_server: SshServer
    ) -> None:
        with pytest.raises(LoginRejected, match=r"takes none of our keys: ssh-ed25519 SHA256:.*authorized_keys"):
            connect(IdentityFile=ssh_server.folder / "stranger").run(["true"])

    def test_an_unreadable_first_key_does_not_stand_in_the_way_of_a_good_one(
        self, connect: Callable[..., SshTransport], ssh_server: SshServer, tmp_path: Path
    ) -> None:
        both = f"{tmp_path / 'nowhere'}\n    IdentityFile {ssh_server.folder / 'id'}"
        assert connect(IdentityFile=both).run(["echo", "in"]).text == "in\n"

    def test_a_key_in_an_agent_will_do(
        self,
        connect: Callable[..., SshTransport],
        ssh_server: SshServer,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        agent_socket = tmp_path / "agent"
        agent = subprocess.Popen(["ssh-agent", "-D", "-a", agent_socket], stdout=subprocess.DEVNULL)
        try:
            deadline = time.monotonic() + 5
            while not agent_socket.exists() and time.monotonic() < deadline:
                time.sleep(0.02)
            monkeypatch.setenv("SSH_AUTH_SOCK", str(agent_socket))
            subprocess.run(["ssh-add", "-q", ssh_server.folder / "id"], check=True)
            transport = connect(IdentityFile=ssh_server.folder / "stranger", IdentitiesOnly="no")
            assert transport.run(["echo", "in"]).text == "in\n"
        finally:
            agent.terminate()
            agent.wait()


class TestTheWayThere:
    def test_nobody_listens(self, connect: Callable[..., SshTransport]) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            with pytest.raises(HostUnreachable, match="refused"):
                connect(Port=free.getsockname()[1]).run(["true"])

    def test_a_name_that_nobody_knows(self, connect: Callable[..., SshTransport]) -> None:
        with pytest.raises(HostUnreachable, match=r"no-such-host\.invalid"):
            connect(HostName="no-such-host.invalid").run(["true"])

    def test_a_server_that_says_nothing(self, connect: Callable[..., SshTransport]) -> None:
        with socket.create_server(("127.0.0.1", 0)) as mute:
            started = time.monotonic()
            with pytest.raises(HostUnreachable):
                connect(Port=mute.getsockname()[1], timeout_s=0.5).run(["true"])
            assert time.monotonic() - started < 5

    def test_through_a_host_in_between(self, connect: Callable[..., SshTransport], ssh_server: SshServer) -> None:
        transport = connect(ProxyJump=f"{ssh_server.user}@first\n{_host_block(ssh_server, 'first')}")
        assert [transport.run(["echo", str(i)]).text for i in range(20)] == [f"{i}\n" for i in range(20)]

    def test_the_host_in_between_is_verified_too(
        self, connect: Callable[..., SshTransport], ssh_server: SshServer, tmp_path: Path
    ) -> None:
        with pytest.raises(HostKeyRejected, match="first"):
            connect(ProxyJump=f"first\n{_host_block(ssh_server, 'first', known=tmp_path / 'none')}").run(["true"])

    def test_through_a_command(self, connect: Callable[..., SshTransport], ssh_server: SshServer) -> None:
        relay = (
            "import os, socket, sys, threading\n"
            "server = socket.create_connection((sys.argv[1], int(sys.argv[2])))\n"
            "def up():\n"
            "    while data := os.read(0, 65536): server.sendall(data)\n"
            "threading.Thread(target=up, daemon=True).start()\n"
            "while data := server.recv(65536): os.write(1, data)\n"
        )
        (ssh_server.folder / "relay.py").write_text(relay)
        transport = connect(ProxyCommand=f"python3 {ssh_server.folder / 'relay.py'} %h %p")
        assert transport.run(["wc", "-c"], stdin=[b"x" * 3_000_000]).text.strip() == "3000000"

    def test_a_command_that_ends_at_once(self, connect: Callable[..., SshTransport]) -> None:
        started = time.monotonic()
        with pytest.raises(HostUnreachable):
            connect(ProxyCommand="false", timeout_s=2).run(["true"])
        assert time.monotonic() - started < 2


class TestLosingTheConnection:
    def test_a_connection_that_ended_while_idle_is_made_again(self, ssh: SshTransport, ssh_server: SshServer) -> None:
        ssh.run(["true"]).check()
        ssh_server.end_sessions()
        ssh.run(["true"]).check()
        assert ssh.handshakes == 2

    def test_one_connection_serves_many_commands(self, ssh: SshTransport) -> None:
        for _ in range(20):
            ssh.run(["true"]).check()
        assert ssh.handshakes == 1

    def test_a_connection_lost_in_the_middle_leaves_the_outcome_unknown(
        self, ssh: SshTransport, ssh_server: SshServer, tmp_path: Path
    ) -> None:
        killer = threading.Timer(0.3, ssh_server.end_sessions)
        killer.start()
        with pytest.raises(OutcomeUnknown, match="lost while sh was running"):
            ssh.run(["sh", "-c", f"touch {tmp_path}/effect; sleep 20"])
        killer.join()
        assert (tmp_path / "effect").exists()

    def test_a_server_that_is_away_is_not_sent_anything(self, ssh_server: SshServer, ssh: SshTransport) -> None:
        ssh.run(["true"]).check()
        ssh_server.end_sessions()
        ssh_server.stop()
        try:
            with pytest.raises(NotSent):
                ssh.run(["true"])
        finally:
            ssh_server.start()
        ssh.run(["true"]).check()

    def test_a_frozen_connection_is_replaced_as_long_as_nothing_was_sent(self, ssh: SshTransport) -> None:
        session = int(ssh.run(["sh", "-c", "ps -o ppid= -p $PPID"]).text)
        os.kill(session, signal.SIGSTOP)
        try:
            assert ssh.run(["echo", "in"], timeout_s=0.5).text == "in\n"
            assert ssh.handshakes == 2
        finally:
            os.kill(session, signal.SIGKILL)

    def test_a_server_frozen_in_the_middle_of_an_upload_is_given_up(self, ssh: SshTransport) -> None:
        session = int(ssh.run(["sh", "-c", "ps -o ppid= -p $PPID"]).text)

        def pieces() -> Iterator[bytes]:
            yield b"x" * 100_000
            os.kill(session, signal.SIGSTOP)
            yield b"x" * 50_000_000

        try:
            with pytest.raises(OutcomeUnknown, match=r"silent for 0\.5 s"):
                ssh.run(["cat"], stdin=pieces(), timeout_s=0.5)
        finally:
            os.kill(session, signal.SIGKILL)


class TestLoginShells:
    @pytest.fixture
    def greeting(self, ssh_server: SshServer) -> Iterator[Callable[[str], None]]:
        keys = ssh_server.folder / "authorized_keys"
        plain = keys.read_text()

        def greet(script: str) -> None:
            # What a start-up file does, without writing to the home of whoever runs the tests.
            shell = f'{script}; eval \\"$SSH_ORIGINAL_COMMAND\\"'
            keys.write_text(f'command="{shell}" {plain}')

        yield greet
        keys.write_text(plain)

    def test_greetings_are_not_taken_for_output(self, greeting: Callable[[str], None], ssh: SshTransport) -> None:
        greeting("echo Welcome to the cluster, 12345; echo Maintenance on Monday >&2")
        completed = ssh.run(["sh", "-c", "echo 7; echo oops >&2"])
        assert (completed.stdout, completed.stderr) == (b"7\n", b"oops\n")

    def test_a_shell_that_ends_too_early_is_told_with_its_words(
        self, greeting: Callable[[str], None], ssh: SshTransport
    ) -> None:
        greeting("echo This account is not available; exit 1")
        with pytest.raises(Refused, match="This account is not available"):
            ssh.run(["true"])


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
        killer = threading.Timer(0.3, ssh_server.end_sessions)
        killer.start()
        with pytest.raises(ConnectionLost):
            ssh.run(["sleep", "20"])
        killer.join()
        with pytest.raises(OutcomeUnknown) as caught:
            ssh.run(["sleep", "20"], timeout_s=0.3)
        assert not isinstance(caught.value, ConnectionLost)


def test_a_transport_comes_from_the_settings(ssh_server: SshServer) -> None:
    transport = SshTransport.from_settings(SshSettings(host="cluster", ssh_config=ssh_server.client()))
    try:
        assert transport.run(["echo", "in"]).text == "in\n"
    finally:
        transport.close()


def test_a_configuration_that_cannot_be_understood_is_named(tmp_path: Path) -> None:
    (tmp_path / "config").write_text("Host\n")
    with pytest.raises(SettingsError, match="config cannot be understood"):
        hosts.resolve("cluster", tmp_path / "config")


def _host_block(server: SshServer, name: str, known: Path | None = None) -> str:
    return (
        f"Host {name}\n    HostName 127.0.0.1\n    Port {server.port}\n    IdentityFile {server.folder / 'id'}\n"
        f"    UserKnownHostsFile {known or server.known_hosts}\n    User {server.user}\n"
        "    GlobalKnownHostsFile /dev/null\n"
    )
