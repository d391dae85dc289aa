"""A private sshd on loopback, for one account: whoever runs the tests."""

from __future__ import annotations

import getpass
import os
import shutil
import socket
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from worker.cluster.transport import Transport

SSHD = shutil.which("sshd", path=f"/usr/sbin:/usr/local/sbin:{os.environ.get('PATH', '')}")

CONFIG = """\
Port {port}
ListenAddress 127.0.0.1
HostKey {folder}/host_ed25519
HostKey {folder}/host_rsa
PidFile none
AuthorizedKeysFile {folder}/authorized_keys
StrictModes no
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin prohibit-password
UsePAM no
UseDNS no
PrintMotd no
LogLevel ERROR
# The start-up files of whoever runs the tests are none of their business.
SetEnv HOME={folder}
"""


class SshServer:
    """A running sshd and what a client needs to reach it.

    Parameters
    ----------
    folder : Path
        Where keys and configuration are.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.user = getpass.getuser()
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = int(free.getsockname()[1])
        for name, kind in (
            ("host_ed25519", "ed25519"),
            ("host_rsa", "rsa"),
            ("id", "ed25519"),
            ("stranger", "ed25519"),
        ):
            make_key(folder / name, kind)
        shutil.copy(folder / "id.pub", folder / "authorized_keys")
        self.known_hosts = folder / "known_hosts"
        self.known_hosts.write_text(f"[127.0.0.1]:{self.port} {public(folder / 'host_ed25519')}\n")
        (folder / "sshd_config").write_text(CONFIG.format(port=self.port, folder=folder))
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start sshd and wait until it listens."""
        if os.geteuid() == 0:
            Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
        log = self.folder / "sshd.log"
        self._process = subprocess.Popen([str(SSHD), "-D", "-E", log, "-f", self.folder / "sshd_config"])
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.02)
        raise TimeoutError((self.folder / "sshd.log").read_text())

    def stop(self) -> None:
        """Stop sshd; sessions that it has begun live on."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(10)
            self._process = None

    def end_sessions(self) -> None:
        """Kill what serves the sessions, as a firewall or a reboot would."""
        if self._process is None:
            return
        for child in Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text().split():
            os.kill(int(child), 9)

    def end_sessions_during(self, transport: Transport, script: str) -> None:
        """Run a shell script through a transport, and kill what serves it once it has said something."""
        with transport.stream(["sh", "-c", script]) as pieces:
            for _ in filter(None, pieces):
                self.end_sessions()

    def client(self, name: str = "config", **options: object) -> Path:
        """Write an ssh configuration with the host ``labcluster``; `options` replace or add to its lines."""
        lines = {
            "HostName": "127.0.0.1",
            "Port": self.port,
            "User": self.user,
            "IdentityFile": self.folder / "id",
            "IdentitiesOnly": "yes",
            "UserKnownHostsFile": self.known_hosts,
            "GlobalKnownHostsFile": "/dev/null",
            **options,
        }
        path = self.folder / name
        text = "".join(f"    {key} {value}\n" for key, value in lines.items() if value is not None)
        path.write_text(f"Host cluster\n{text}\n")
        return path


def make_key(path: Path, kind: str, passphrase: str = "") -> None:
    """Make a pair of keys."""
    size = ["-b", "2048"] if kind == "rsa" else []
    subprocess.run(["ssh-keygen", "-q", "-t", kind, *size, "-N", passphrase, "-C", "test", "-f", path], check=True)


def public(path: Path) -> str:
    """The public half of a key, without its comment."""
    return " ".join(path.with_suffix(".pub").read_text().split()[:2])
