"""Which host an alias of the ssh configuration means, and how it is reached."""

from __future__ import annotations

import getpass
import glob
import os
import shlex
from dataclasses import dataclass
from pathlib import Path

import paramiko

from worker.errors import SettingsError

DEFAULT_IDENTITIES = ("~/.ssh/id_ed25519", "~/.ssh/id_ecdsa", "~/.ssh/id_rsa")
DEFAULT_KNOWN_HOSTS = ("~/.ssh/known_hosts", "~/.ssh/known_hosts2")
DEFAULT_GLOBAL_KNOWN_HOSTS = ("/etc/ssh/ssh_known_hosts", "/etc/ssh/ssh_known_hosts2")
INCLUDE_DEPTH = 16
"""How deep files may include each other; the limit of ssh itself."""


@dataclass(frozen=True, slots=True)
class Host:
    """An SSH server and how to reach it; the names are those of ssh_config(5).

    Parameters
    ----------
    alias : str
        How the settings call it.
    hostname : str
        Its name or address.
    port : int
        Its port.
    user : str
        Who logs in.
    identity_files : tuple[Path, ...]
        Private keys, in the order in which they are tried.
    identities_named : bool
        Whether the configuration names them; if not, they are the usual ones and need not exist.
    identities_only : bool
        Whether keys of an agent are left alone.
    known_hosts : tuple[Path, ...]
        Files with keys of servers.
    host_key_alias : str
        Name of the server in those files; empty for `hostname`.
    jumps : tuple[Host, ...]
        Hosts to go through, the first one first (``ProxyJump``).
    proxy_command : str
        Command whose input and output are the connection (``ProxyCommand``); empty for none.
    """

    alias: str
    hostname: str
    port: int
    user: str
    identity_files: tuple[Path, ...]
    identities_named: bool
    identities_only: bool
    known_hosts: tuple[Path, ...]
    host_key_alias: str = ""
    jumps: tuple[Host, ...] = ()
    proxy_command: str = ""

    @property
    def known_name(self) -> str:
        """Its name in known_hosts: ``name`` or ``[name]:port``."""
        if self.host_key_alias:
            return self.host_key_alias
        return self.hostname if self.port == paramiko.config.SSH_PORT else f"[{self.hostname}]:{self.port}"

    def __str__(self) -> str:
        address = f"{self.user}@{self.hostname}:{self.port}"
        return address if self.alias in (self.hostname, "") else f"{self.alias} ({address})"


def resolve(alias: str, ssh_config: Path) -> Host:
    """Look an alias up.

    Parameters
    ----------
    alias : str
        A ``Host`` of the configuration; any other name is taken as the name of a host.
    ssh_config : Path
        The configuration; nothing is known if the file does not exist.

    Returns
    -------
    Host
        The host, with those to go through.

    Raises
    ------
    SettingsError
        If the configuration cannot be read.
    """
    try:
        config = paramiko.SSHConfig.from_text("\n".join(_lines(ssh_config.expanduser(), 0)))
        return _host(alias, config, ())
    except paramiko.ConfigParseError as error:
        raise SettingsError(f"{ssh_config} cannot be understood: {error}.", remedy="See ssh_config(5).") from error
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(
            f"{ssh_config} cannot be read: {error}.", remedy="It must be readable by the user who runs the worker."
        ) from error


def _lines(path: Path, depth: int) -> list[str]:
    """Lines of a configuration, those of included files in their place: paramiko does not know ``Include``."""
    if not path.exists():
        return []
    if depth > INCLUDE_DEPTH:
        raise SettingsError(f"{path}: too many files include each other.", remedy="Look for a circle of Include lines.")
    lines: list[str] = []
    for line in path.read_text(encoding="utf-8").splitlines():
        keyword, _, rest = line.strip().replace("=", " ", 1).partition(" ")
        if keyword.lower() != "include":
            lines.append(line)
            continue
        for pattern in shlex.split(rest):
            full = os.path.join("~/.ssh", pattern)  # noqa: PTH118 - an absolute or ~ pattern must win
            full = pattern if pattern.startswith("~") else full
            for name in sorted(glob.glob(os.path.expanduser(full))):  # noqa: PTH111,PTH207 - patterns are strings
                lines.extend(_lines(Path(name), depth + 1))
    return lines


def _host(alias: str, config: paramiko.SSHConfig, passed: tuple[str, ...]) -> Host:
    if alias in passed:
        raise SettingsError(
            f"The ssh configuration goes in a circle: {' -> '.join((*passed, alias))}.", remedy="Look at ProxyJump."
        )
    found = config.lookup(alias)
    port = found.get("port", "22")
    if not port.isdecimal():
        raise SettingsError(f"Port {port!r} of {alias!r} in the ssh configuration is not a number.")
    # paramiko gives a list here, though its types say text.
    named = tuple(str(name) for name in found.get("identityfile", ()))
    jump = found.get("proxyjump", "none")
    jumps = () if jump.lower() == "none" else _jumps(jump, config, (*passed, alias))
    return Host(
        alias=alias,
        hostname=found["hostname"],
        port=int(port),
        user=found.get("user") or getpass.getuser(),
        identity_files=_paths(named or DEFAULT_IDENTITIES),
        identities_named=bool(named),
        identities_only=found.get("identitiesonly", "no").lower() == "yes",
        known_hosts=_paths(
            (
                *_words(found.get("userknownhostsfile"), DEFAULT_KNOWN_HOSTS),
                *_words(found.get("globalknownhostsfile"), DEFAULT_GLOBAL_KNOWN_HOSTS),
            )
        ),
        host_key_alias=found.get("hostkeyalias", ""),
        jumps=jumps,
        # As in ssh, ProxyJump wins: who writes both means the nearer one.
        proxy_command="" if jumps else (found.get("proxycommand") or ""),
    )


def _jumps(jump: str, config: paramiko.SSHConfig, passed: tuple[str, ...]) -> tuple[Host, ...]:
    """Read ``[user@]host[:port],...``; each host may be an alias with jumps of its own."""
    hosts: list[Host] = []
    for item in jump.split(","):
        user, _, address = item.strip().removeprefix("ssh://").rpartition("@")
        name, colon, port = address.rpartition(":")
        if not colon or address.endswith("]") or (":" in name and not name.endswith("]")):
            name, port = address, ""  # no port, or a bare IPv6 address
        host = _host(name.strip("[]"), config, passed)
        hosts.extend(host.jumps)
        hosts.append(
            Host(
                **{
                    **{field: getattr(host, field) for field in Host.__slots__},
                    "jumps": (),
                    "user": user or host.user,
                    "port": int(port) if port.isdecimal() else host.port,
                }
            )
        )
    return tuple(hosts)


def _words(value: str | None, default: tuple[str, ...]) -> tuple[str, ...]:
    words = tuple(shlex.split(value)) if value else default
    return () if words == ("none",) else words


def _paths(names: tuple[str, ...] | list[str]) -> tuple[Path, ...]:
    return tuple(Path(name).expanduser() for name in names)
