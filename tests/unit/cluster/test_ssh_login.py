"""Who the server is, who we are, and the way there."""

from __future__ import annotations

import socket
import subprocess
import time
from typing import TYPE_CHECKING

import pytest

from tests.unit.cluster.ssh_server import make_key, public
from worker.cluster import hosts
from worker.cluster.ssh import SshTransport
from worker.errors import (
    HostKeyRejected,
    HostUnreachable,
    KeyFileRejected,
    LoginRejected,
    SettingsError,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.unit.cluster.ssh_server import SshServer


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
