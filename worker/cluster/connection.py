"""One SSH connection: made, verified, logged in; directly, through other hosts, or through a command."""

from __future__ import annotations

import math
import shlex
import socket
import subprocess
import sys
from typing import TYPE_CHECKING

import paramiko

from worker.cluster import login, trust
from worker.errors import HostUnreachable

if TYPE_CHECKING:
    from collections.abc import Callable

    from paramiko.transport import _SocketLike

    from worker.cluster.hosts import Host

REKEY_BYTES = 1 << 36
"""Bytes after which new session keys are negotiated, 64 GiB, what OpenSSH allows AES as well (2**32 blocks).

paramiko's own limit is 512 MiB, and a negotiation that meets the close of a channel stalls for 30 s or kills the
connection, as seen with transfers of about 1 GiB.
"""

UNANSWERED_S = 60.0
"""How long the network may swallow what we send before the connection counts as lost. Without it, Linux repeats
packets for a quarter of an hour."""

CIPHERS = ("aes128-gcm@openssh.com", "aes256-gcm@openssh.com", "aes128-ctr", "aes192-ctr", "aes256-ctr")
"""The ciphers that we offer. With GCM paramiko sends and receives up to 1.7 times as fast as with CTR, its favourite;
the others that it would offer (CBC, 3DES) are broken."""


class Connection:
    """A connection on which commands can be run, by one thread at a time.

    paramiko loses a connection within some dozens of commands when several threads open and close channels on it
    (its issues 1115, 1584 and 1705).

    Parameters
    ----------
    host : Host
        The server.
    transport : paramiko.Transport
        The connection, logged in.
    closers : list of callables
        What else must be ended with it, in reverse order: connections to hosts in between, a proxy command.
    """

    def __init__(self, host: Host, transport: paramiko.Transport, closers: list[Callable[[], object]]) -> None:
        self.host = host
        self.transport = transport
        self._closers = closers

    @property
    def alive(self) -> bool:
        """Whether the connection has not been seen to end."""
        return self.transport.is_active()

    def close(self) -> None:
        """End the connection and everything below it; may be called by any thread, more than once."""
        self.transport.close()
        while self._closers:
            self._closers.pop()()


def connect(host: Host, *, timeout_s: float, keepalive_s: float) -> Connection:
    """Connect, verify the server and log in.

    Parameters
    ----------
    host : Host
        The server.
    timeout_s : float
        Patience for each of: the TCP connection, the banner, the handshake, the login.
    keepalive_s : float
        Time between two signs of life on an idle connection, so that firewalls do not forget it; 0 sends none.

    Returns
    -------
    Connection
        The connection.

    Raises
    ------
    HostUnreachable
        If no connection can be made. Nothing has been sent.
    HostKeyRejected, KeyFileRejected, LoginRejected
        If the server, or we, are refused.
    """
    closers: list[Callable[[], object]] = []
    try:
        first, *others = (*host.jumps, host)
        transport = _handshake(first, _first_hop(first, timeout_s, closers), timeout_s, closers)
        for hop in others:
            transport.set_keepalive(math.ceil(keepalive_s))
            transport = _handshake(hop, _next_hop(transport, hop, timeout_s), timeout_s, closers)
        transport.set_keepalive(math.ceil(keepalive_s))
        return Connection(host, transport, closers)
    except BaseException:
        while closers:
            closers.pop()()
        raise


def _first_hop(host: Host, timeout_s: float, closers: list[Callable[[], object]]) -> socket.socket:
    sock = _proxied(host, closers) if host.proxy_command else _tcp(host, timeout_s)
    closers.append(sock.close)
    return sock


def _tcp(host: Host, timeout_s: float) -> socket.socket:
    try:
        sock = socket.create_connection((host.hostname, host.port), timeout=timeout_s)
    except (OSError, UnicodeError) as error:
        raise HostUnreachable(
            f"{host} cannot be reached: {error}.",
            remedy="Check HostName and Port in ssh_config, the network, and whether the login node is up.",
        ) from error
    # Before the handshake: paramiko sends a command in several small packets, and each would wait 40 ms for the last.
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if sys.platform == "linux":
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, round(UNANSWERED_S * 1000))
    return sock


def _next_hop(transport: paramiko.Transport, host: Host, timeout_s: float) -> paramiko.Channel:
    try:
        return transport.open_channel("direct-tcpip", (host.hostname, host.port), ("127.0.0.1", 0), timeout=timeout_s)
    except (paramiko.SSHException, EOFError, OSError) as error:
        raise HostUnreachable(
            f"{host} cannot be reached from the host in between: {error}.",
            remedy="Check ProxyJump in ssh_config, and that the host in between allows TCP forwarding.",
        ) from error


def _proxied(host: Host, closers: list[Callable[[], object]]) -> socket.socket:
    """Start the proxy command on one end of a socket pair.

    paramiko's own ProxyCommand spins when the command ends, and leaves it behind.
    """
    ours, its = socket.socketpair()
    names = {"%h": shlex.quote(host.hostname), "%p": str(host.port), "%r": shlex.quote(host.user), "%%": "%"}
    command = host.proxy_command
    for token, value in names.items():
        command = command.replace(token, value)
    with its:
        # The line is the admin's, and ssh_config(5) says that a shell reads it.
        process = subprocess.Popen(
            ["/bin/sh", "-c", f"exec {command}"], stdin=its.fileno(), stdout=its.fileno(), start_new_session=True
        )

    def end() -> None:
        process.terminate()
        try:
            process.wait(2)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    closers.append(end)
    return ours


def _handshake(
    host: Host, sock: _SocketLike, timeout_s: float, closers: list[Callable[[], object]]
) -> paramiko.Transport:
    known = trust.known_keys(host)
    try:
        transport = paramiko.Transport(sock)
    except (paramiko.SSHException, OSError) as error:
        raise HostUnreachable(f"{host} ended the connection at once: {error}.") from error
    closers.append(transport.close)
    try:
        transport.packetizer.REKEY_BYTES = REKEY_BYTES
        transport.get_security_options().ciphers = CIPHERS
        transport.banner_timeout = transport.handshake_timeout = transport.auth_timeout = timeout_s
        trust.prefer_known_types(transport, known)
        transport.start_client(timeout=timeout_s)
        trust.check(host, transport, known)
        login.log_in(host, transport)
    except (paramiko.SSHException, EOFError, OSError) as error:
        raise HostUnreachable(
            f"The SSH handshake with {host} failed: {error or type(error).__name__}.",
            remedy="Check that an SSH server answers at that port and is not overloaded.",
        ) from error
    return transport
