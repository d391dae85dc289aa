"""Whether the server is the one it claims to be: its key against known_hosts, always strictly.

``StrictHostKeyChecking no`` is not obeyed: a worker has nobody who would notice that another machine answers.
"""

from __future__ import annotations

import base64
import hashlib
from typing import TYPE_CHECKING

import paramiko

from worker.errors import HostKeyRejected, HostUnreachable

if TYPE_CHECKING:
    from worker.cluster.hosts import Host


def fingerprint(key: paramiko.PKey) -> str:
    """Write the fingerprint of a key as ``ssh-keygen -lf`` does.

    Parameters
    ----------
    key : paramiko.PKey
        Public or private key.

    Returns
    -------
    str
        ``SHA256:...``.
    """
    digest = hashlib.sha256(key.asbytes()).digest()
    return "SHA256:" + base64.b64encode(digest).decode().rstrip("=")


def known_keys(host: Host) -> list[paramiko.PKey]:
    """Read the keys by which a server is known.

    Parameters
    ----------
    host : Host
        The server.

    Returns
    -------
    list[paramiko.PKey]
        Its keys, in the order of the files.

    Raises
    ------
    HostKeyRejected
        If a file is there but cannot be read.
    """
    keys = paramiko.HostKeys()
    for path in host.known_hosts:
        if path.is_file():
            try:
                keys.load(str(path))
            except (OSError, UnicodeDecodeError) as error:
                raise HostKeyRejected(
                    f"{path} cannot be read: {error}.", remedy="It must be readable by the user who runs the worker."
                ) from error
    # As ssh does, a key that is known for the host without its port counts too.
    found = keys.lookup(host.known_name) or keys.lookup(host.hostname)
    return list(found.values()) if found else []


def prefer_known_types(transport: paramiko.Transport, keys: list[paramiko.PKey]) -> None:
    """Ask the server for a key of a type that we know, as it may have several.

    Parameters
    ----------
    transport : paramiko.Transport
        A connection before its handshake.
    keys : list[paramiko.PKey]
        The known keys.
    """
    options = transport.get_security_options()
    known = {key.get_name() for key in keys}
    if "ssh-rsa" in known:
        known |= {"rsa-sha2-512", "rsa-sha2-256"}
    offered = list(options.key_types)
    options.key_types = [kind for kind in offered if kind in known] + [kind for kind in offered if kind not in known]


def check(host: Host, transport: paramiko.Transport, keys: list[paramiko.PKey]) -> None:
    """Compare the key that the server has shown with those by which it is known.

    Parameters
    ----------
    host : Host
        The server.
    transport : paramiko.Transport
        The connection, after its handshake and before the login.
    keys : list[paramiko.PKey]
        The known keys.

    Raises
    ------
    HostKeyRejected
        If the server is not known, or not by this key.
    HostUnreachable
        If the handshake is not complete.
    """
    try:
        shown = transport.get_remote_server_key()
    except paramiko.SSHException as error:
        raise HostUnreachable(f"{host} did not complete the SSH handshake.") from error
    if any(key.asbytes() == shown.asbytes() for key in keys):
        return
    kind, print_ = shown.get_name(), fingerprint(shown)
    file = host.known_hosts[0] if host.known_hosts else "known_hosts"
    scan = f"ssh-keyscan -p {host.port} {host.hostname} >new_key && ssh-keygen -lf new_key"
    if not keys:
        raise HostKeyRejected(
            f"The server {host} is not known: no key for {host.known_name!r} stands in "
            f"{', '.join(map(str, host.known_hosts)) or 'any known_hosts file'}. It shows a key of type {kind} with "
            f"fingerprint {print_}.",
            remedy=f"Run `{scan}`, compare the fingerprint with the one that the admins of the cluster publish, and "
            f"only if they are equal append it: `cat new_key >>{file}`.",
        )
    raise HostKeyRejected(
        f"The server {host} shows another key than the one it is known by ({kind}, {print_} instead of "
        f"{', '.join(fingerprint(key) for key in keys)}). It was reinstalled, or somebody stands in between.",
        remedy="Ask the admins of the cluster whether its key has changed. Only if they confirm this fingerprint, "
        f"remove the old key with `ssh-keygen -f {file} -R '{host.known_name}'` and add the new one: "
        f"`{scan} && cat new_key >>{file}`.",
    )
