"""The login node of the cluster: sshd, an account, and the ``~/.ssh`` of a client that may log in."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from tests.lab import ports
from tests.lab.accounts import end_processes, make_account
from tests.lab.parts import LabContext, run
from tests.lab.slurm.configuration import named_localhost, slurm_environment

if TYPE_CHECKING:
    from collections.abc import Mapping

SERVER_CONFIG = """\
Port {port}
ListenAddress 127.0.0.1
HostKey {server}/host_ed25519
PidFile none
AuthorizedKeysFile {server}/authorized_keys/%u
StrictModes no
PubkeyAuthentication yes
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin no
AllowUsers {user}
UsePAM no
UseDNS no
PrintMotd no
PrintLastLog no
X11Forwarding no
AllowTcpForwarding yes
MaxStartups 200:30:400
MaxSessions 200
LoginGraceTime 20
Subsystem sftp internal-sftp
# Commands come without a login shell; this is how they find the cluster.
SetEnv SLURM_CONF={slurm_conf}
LogLevel VERBOSE
"""

CLIENT_CONFIG = """\
Host {alias}
    HostName 127.0.0.1
    Port {port}
    User {user}
    IdentityFile {client}/id_ed25519
    IdentitiesOnly yes
    UserKnownHostsFile {client}/known_hosts
    GlobalKnownHostsFile /dev/null
    StrictHostKeyChecking yes
    BatchMode yes

Host {jump_alias}
    HostName 127.0.0.1
    Port {port}
    User {user}
    IdentityFile {client}/id_ed25519
    IdentitiesOnly yes
    UserKnownHostsFile {client}/known_hosts
    GlobalKnownHostsFile /dev/null
    StrictHostKeyChecking yes
    BatchMode yes
    ProxyJump {alias}
"""

PRIVILEGE_SEPARATION = Path("/run/sshd")
"""Compiled into sshd, which does not start without it; made by the service that does not run here."""

ALIAS = "labcluster"
JUMP_ALIAS = "labviajump"


class SshdPart:
    """sshd with logins by key alone, and its client's directory."""

    name = "sshd"

    def start(self, ctx: LabContext) -> Mapping[str, object]:
        server = ctx.directory("ssh/server")
        keys = ctx.directory("ssh/server/authorized_keys")
        client = ctx.directory("ssh/client", mode=0o700)
        user, port = ctx.cluster_user, ctx.port("sshd")
        make_account(user, ctx.cluster_home)
        key = make_key(client / "id_ed25519", comment=f"{user}@{ALIAS}")
        (keys / user).write_text(public_half(key), encoding="ascii")
        host_key = make_key(server / "host_ed25519", comment=ALIAS)
        known_hosts = client / "known_hosts"
        known_hosts.write_text(f"[127.0.0.1]:{port} {public_half(host_key)}", encoding="ascii")
        config = client / "config"
        config.write_text(
            CLIENT_CONFIG.format(alias=ALIAS, jump_alias=JUMP_ALIAS, port=port, user=user, client=client),
            encoding="utf-8",
        )
        server_config = server / "sshd_config"
        server_config.write_text(
            SERVER_CONFIG.format(port=port, server=server, user=user, slurm_conf=slurm_environment(ctx)["SLURM_CONF"]),
            encoding="utf-8",
        )
        PRIVILEGE_SEPARATION.mkdir(mode=0o755, exist_ok=True)
        ctx.spawn("sshd", named_localhost(["/usr/sbin/sshd", "-D", "-e", "-f", str(server_config)]))
        ctx.wait_for("sshd", lambda: ports.answers(port), daemon="sshd", timeout_s=5)
        return {
            "ssh_host": "127.0.0.1",
            "ssh_port": port,
            "ssh_user": user,
            "ssh_directory": client,
            "ssh_config": config,
            "known_hosts": known_hosts,
            "key": key,
            "ssh_alias": ALIAS,
            "ssh_jump_alias": JUMP_ALIAS,
            "cluster_home": ctx.cluster_home,
        }

    def stop(self, ctx: LabContext) -> None:
        ctx.end("sshd", grace_s=1)
        end_processes(ctx.cluster_user, home=ctx.cluster_home, environment=slurm_environment(ctx))

    def status(self, ctx: LabContext) -> str:
        return ctx.statuses("sshd")


def make_key(path: Path, *, comment: str) -> Path:
    """Make an ed25519 key pair without a passphrase, if it is not there, and return the private half's path."""
    if not path.exists():
        run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", comment, "-f", str(path)])
    return path


def public_half(key: Path) -> str:
    """Return the public half of a key as a line of text."""
    return key.with_name(f"{key.name}.pub").read_text(encoding="ascii")
