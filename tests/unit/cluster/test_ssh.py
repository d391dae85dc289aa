"""Running programs over SSH, on a real sshd."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import pytest

from tests.unit.cluster.transport_contract import TransportContract
from worker.cluster import hosts, ssh
from worker.cluster.ssh import SshTransport
from worker.errors import (
    NotSent,
    OutcomeUnknown,
    Refused,
)
from worker.settings.models import SshSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.unit.cluster.ssh_server import SshServer
    from worker.cluster.transport import Transport


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
        with pytest.raises(OutcomeUnknown, match="lost while sh was running"):
            ssh_server.end_sessions_during(ssh, f"touch {tmp_path}/effect; echo in; sleep 20")
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


def test_a_transport_comes_from_the_settings(ssh_server: SshServer) -> None:
    transport = SshTransport.from_settings(SshSettings(host="cluster", ssh_config=ssh_server.client()))
    try:
        assert transport.run(["echo", "in"]).text == "in\n"
    finally:
        transport.close()
