"""An https server on this machine: files with ETags, git repositories, and whatever can go wrong, on demand."""

from __future__ import annotations

import base64
import hashlib
import http.server
import os
import ssl
import subprocess
import threading
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from typing import TYPE_CHECKING, Self
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def make_certificate(folder: Path) -> Path:
    """Make a certificate, with its key in the same file, for our two hosts: ``localhost`` and ``127.0.0.1``."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    hosts = [x509.DNSName("localhost"), x509.IPAddress(ip_address("127.0.0.1"))]
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(hosts), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    file = folder / "certificate.pem"
    file.write_bytes(private + certificate.public_bytes(serialization.Encoding.PEM))
    return file


@dataclass(frozen=True, slots=True)
class Request:
    """What somebody asked for, at which of our two hosts."""

    host: str
    path: str
    headers: dict[str, str]


@dataclass(slots=True)
class WebServer:
    """Files by path, faults by path, and below ``/git/`` the repositories of a folder."""

    certificate: Path
    git_root: Path | None = None
    files: dict[str, bytes] = field(default_factory=dict)
    faults: dict[str, Callable[[Handler], None]] = field(default_factory=dict)
    token: str = ""
    """Without it nothing is handed out at ``localhost``."""
    requests: list[Request] = field(default_factory=list)
    asked: threading.Event = field(default_factory=threading.Event)
    """Set once somebody waits for an answer that does not come."""
    released: threading.Event = field(default_factory=threading.Event)
    """Ends all waiting."""
    _server: http.server.ThreadingHTTPServer | None = None

    def __enter__(self) -> Self:
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), lambda *arguments: Handler(self, *arguments))
        server.daemon_threads = True
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        self._server = server
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.released.set()
        self.stop()

    def stop(self) -> None:
        """Close the port."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()

    @property
    def port(self) -> int:
        assert self._server is not None
        return int(self._server.server_address[1])

    @property
    def host(self) -> str:
        return f"localhost:{self.port}"

    def url(self, path: str) -> str:
        return f"https://{self.host}{path}"

    def other(self, path: str) -> str:
        """The same at the other host."""
        return f"https://127.0.0.1:{self.port}{path}"

    def hang(self, path: str) -> None:
        """Never answer for a path, until the end."""

        def wait(_handler: Handler) -> None:
            self.asked.set()
            self.released.wait()

        self.faults[path] = wait

    def fail(self, path: str, status: int, **headers: str) -> None:
        """Answer with a status, and an empty page."""
        self.faults[path] = lambda handler: handler.answer(
            status, b"", {k.replace("_", "-"): v for k, v in headers.items()}
        )


class Handler(http.server.BaseHTTPRequestHandler):
    """One request."""

    protocol_version = "HTTP/1.1"

    def __init__(self, owner: WebServer, *arguments: object) -> None:
        self._owner = owner
        super().__init__(*arguments)  # type: ignore[arg-type]  # what the server gives: socket, address, server

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name of the base class
        pass

    def do_GET(self) -> None:
        self.close_connection = True
        owner, host = self._owner, self.headers.get("Host", "").partition(":")[0]
        path = urlsplit(self.path).path
        owner.requests.append(Request(host, self.path, dict(self.headers)))
        fault = next((one for begin, one in owner.faults.items() if path.startswith(begin)), None)
        if fault is not None:
            fault(self)
        elif owner.token and host == "localhost" and not self._may_enter(owner.token):
            self.answer(401, b"", {"WWW-Authenticate": 'Basic realm="repositories"'})
        elif path.startswith("/git/"):
            self._git(path.removeprefix("/git"))
        else:
            self._file(path)

    do_POST = do_GET  # noqa: N815 - the name of the base class

    def answer(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), "Connection": "close", **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def _may_enter(self, token: str) -> bool:
        given = self.headers.get("Authorization", "")
        basic = base64.b64decode(given.removeprefix("Basic ")).decode() if given.startswith("Basic ") else ""
        return given == f"Bearer {token}" or basic.partition(":")[2] == token

    def _file(self, path: str) -> None:
        body = self._owner.files.get(path)
        if body is None:
            self.answer(404, b"nothing here", {})
            return
        etag = f'"{hashlib.sha256(body).hexdigest()[:16]}"'
        if self.headers.get("If-None-Match") == etag:
            self.answer(304, b"", {"ETag": etag})
        else:
            self.answer(200, body, {"ETag": etag})

    def _git(self, path: str) -> None:
        """Hand the request to git-http-backend(1), by CGI."""
        length = int(self.headers.get("Content-Length") or 0)
        answer = subprocess.run(
            ["git", "http-backend"],
            input=self.rfile.read(length),
            stdout=subprocess.PIPE,
            check=True,
            env=os.environ
            | {
                "GIT_PROJECT_ROOT": str(self._owner.git_root),
                "GIT_HTTP_EXPORT_ALL": "1",
                "PATH_INFO": path,
                "QUERY_STRING": urlsplit(self.path).query,
                "REQUEST_METHOD": self.command,
                "CONTENT_TYPE": self.headers.get("Content-Type", ""),
                "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
                "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
            },
        ).stdout
        head, _, body = answer.partition(b"\r\n\r\n")
        headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n"))
        self.answer(int(headers.pop("Status", "200").split()[0]), body, headers)
