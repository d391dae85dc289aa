"""The network that can be broken."""

from __future__ import annotations

import socket
import threading
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from tests.faults.proxy import Proxy

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def server() -> Iterator[int]:
    """A server that says what it hears."""

    def echo(connection: socket.socket) -> None:
        with connection:
            try:
                while data := connection.recv(65536):
                    connection.sendall(data)
            except OSError:
                return

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=echo, args=(connection,), daemon=True).start()

    listener = socket.create_server(("127.0.0.1", 0))
    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield listener.getsockname()[1]
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join(5)


@pytest.fixture
def proxy(server: int) -> Iterator[Proxy]:
    with closing(Proxy(server)) as opened:
        yield opened


def connect(proxy: Proxy) -> socket.socket:
    client = socket.create_connection(("127.0.0.1", proxy.port), timeout=2)
    try:
        client.sendall(b"hello")
        assert client.recv(100) == b"hello"
    except BaseException:
        client.close()
        raise
    return client


def heard(client: socket.socket) -> bytes:
    """What comes until the connection ends."""
    got = b""
    try:
        while piece := client.recv(100):
            got += piece
    except ConnectionResetError:
        pass
    return got


def test_what_is_whole_passes(proxy: Proxy) -> None:
    with connect(proxy):
        assert proxy.struck == 0


def test_a_cut_connection_is_reset_and_new_ones_are_refused_until_healed(proxy: Proxy) -> None:
    with connect(proxy) as client:
        proxy.cut(refuse=True)
        with pytest.raises(ConnectionResetError):
            client.recv(100)
    with pytest.raises(OSError, match="reset"), connect(proxy):
        pass
    proxy.heal()
    connect(proxy).close()
    assert proxy.struck == 2


def test_a_stalled_connection_stays_dead_and_nobody_is_told(proxy: Proxy) -> None:
    with connect(proxy) as client:
        client.settimeout(0.2)
        proxy.stall()
        client.sendall(b"anybody?")
        with pytest.raises(TimeoutError):
            client.recv(100)
        proxy.heal()
        client.sendall(b"anybody now?")
        with pytest.raises(TimeoutError):
            client.recv(100)
    connect(proxy).close()


def test_a_connection_breaks_after_so_many_bytes(proxy: Proxy, server: int) -> None:
    with connect(proxy) as client:
        proxy.cut_after("down", 3)
        client.sendall(b"123456")
        assert heard(client) == b"123"
    assert proxy.struck == 1
    connect(proxy).close()
