"""Logging in to the server: our private keys, those of an agent, and what can be wrong with them."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

import paramiko
from paramiko.pkey import UnknownKeyType

from worker.cluster.trust import fingerprint
from worker.errors import HostUnreachable, KeyFileRejected, LoginRejected

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from worker.cluster.hosts import Host


def load_key(path: Path) -> paramiko.PKey:
    """Read a private key that no other user can read.

    Parameters
    ----------
    path : Path
        Its file; a certificate beside it (``-cert.pub``) is read too.

    Returns
    -------
    paramiko.PKey
        The key.

    Raises
    ------
    KeyFileRejected
        If it is missing, readable by others, needs a passphrase, or is not a key.
    """
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
    except OSError as error:
        raise KeyFileRejected(
            f"The private key {path} cannot be read: {error.strerror}.",
            remedy="Put the key there, readable by the user who runs the worker, or correct IdentityFile.",
        ) from error
    if mode & 0o077:
        raise KeyFileRejected(
            f"The private key {path} can be read by other users (its mode is {mode:04o}).",
            remedy=f"Run `chmod 600 {path}`.",
        )
    try:
        return paramiko.PKey.from_path(path)
    except OSError as error:
        raise KeyFileRejected(
            f"The private key {path} cannot be read: {error.strerror}.",
            remedy="It must be readable by the user who runs the worker.",
        ) from error
    except (paramiko.PasswordRequiredException, TypeError) as error:
        # cryptography says TypeError where paramiko's own classes say PasswordRequiredException.
        raise KeyFileRejected(
            f"The private key {path} is protected by a passphrase, and nobody is there to type it.",
            remedy="Load it into an ssh-agent and set SSH_AUTH_SOCK for the worker, or use a key without passphrase.",
        ) from error
    except (paramiko.SSHException, UnknownKeyType, ValueError) as error:
        raise KeyFileRejected(
            f"{path} is not a private key that can be used: {error}.", remedy="Make one with `ssh-keygen -t ed25519`."
        ) from error


def log_in(host: Host, transport: paramiko.Transport) -> None:
    """Log in with the first key that the server takes.

    Parameters
    ----------
    host : Host
        The server.
    transport : paramiko.Transport
        The connection; the server's key has been checked.

    Raises
    ------
    KeyFileRejected
        If no key can be tried because of its file.
    LoginRejected
        If the server takes none of the keys.
    HostUnreachable
        If the connection ends meanwhile.
    """
    tried: list[str] = []
    spoilt: list[KeyFileRejected] = []
    agent = None
    try:
        for key in _file_keys(host, spoilt):
            if _accepted(host, transport, key, tried):
                return
        if not host.identities_only and os.environ.get("SSH_AUTH_SOCK"):
            agent = paramiko.Agent()
            for agent_key in agent.get_keys():
                if _accepted(host, transport, agent_key, tried):
                    return
    except paramiko.SSHException as error:
        raise HostUnreachable(f"The connection to {host} ended during the login: {error}.") from error
    finally:
        if agent is not None:
            agent.close()
    if spoilt:
        raise spoilt[0]
    if not tried:
        names = ", ".join(map(str, host.identity_files))
        raise KeyFileRejected(
            f"There is no private key to log in to {host} with: looked at {names} and for an ssh-agent.",
            remedy="Name one as IdentityFile in ssh_config; make one with `ssh-keygen -t ed25519`.",
        )
    raise LoginRejected(
        f"{host} takes none of our keys: {', '.join(tried)}.",
        remedy=f"Append the public key to ~/.ssh/authorized_keys of {host.user} there, and check that User in "
        "ssh_config is right and that the account is open.",
    )


def _file_keys(host: Host, spoilt: list[KeyFileRejected]) -> Iterator[paramiko.PKey]:
    """Keys from files; what is wrong with a named one is kept, to be told only if no other key works."""
    for path in host.identity_files:
        if not host.identities_named and not path.exists():
            continue
        try:
            yield load_key(path)
        except KeyFileRejected as error:
            spoilt.append(error)


def _accepted(host: Host, transport: paramiko.Transport, key: paramiko.PKey, tried: list[str]) -> bool:
    try:
        more = transport.auth_publickey(host.user, key)
    except paramiko.BadAuthenticationType as error:
        raise LoginRejected(
            f"{host} does not let keys log in, only {', '.join(error.allowed_types)}.",
            remedy="Ask the admins of the cluster for an account that logs in with a key.",
        ) from error
    except paramiko.AuthenticationException as error:
        if not transport.is_active():
            raise HostUnreachable(
                f"{host} ended the connection during the login: {error}.",
                remedy="If it always does, it may see too many keys: set IdentitiesOnly yes in ssh_config.",
            ) from error
        if "timeout" in str(error).lower():
            raise HostUnreachable(f"{host} did not answer the login in time.") from error
        tried.append(f"{key.get_name()} {fingerprint(key)}")
        return False
    if more:
        raise LoginRejected(
            f"{host} took the key but wants a second proof as well ({', '.join(more)}), which a program cannot give.",
            remedy="Ask the admins of the cluster for an account that logs in with a key alone.",
        )
    return True
