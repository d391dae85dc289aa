"""A read-only container registry on the loopback interface, with images that are made on the spot.

As much of the OCI Distribution Specification (https://github.com/opencontainers/distribution-spec) as a pull needs:
the version check, manifests by tag or digest, and blobs. It speaks plain HTTP, which a client has to be told of
(`Registry.trust`).
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import re
import tarfile
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"


@dataclass
class Registry:
    """What is served, and how badly.

    Parameters
    ----------
    port : int
        Where it listens on 127.0.0.1.
    """

    port: int = 0
    requests: list[str] = field(default_factory=list)
    """Paths that were asked for, in their order."""
    blobs_sent: int = 0
    """How many layers were begun to be sent."""
    truncated: bool = False
    """Whether layers end in the middle."""
    pause_s: float = 0.0
    """How long a layer lets its reader wait before its first byte."""
    _blobs: dict[str, bytes] = field(default_factory=dict)
    _layers: set[str] = field(default_factory=set)
    _manifests: dict[tuple[str, str], bytes] = field(default_factory=dict)

    @property
    def source(self) -> str:
        """What precedes the name of an image in a pull from here."""
        return f"docker://127.0.0.1:{self.port}/"

    def trust(self) -> str:
        """The text of a ``~/.config/containers/registries.conf`` with which apptainer pulls from here."""
        return f'[[registry]]\nlocation = "127.0.0.1:{self.port}"\ninsecure = true\n'

    def add(self, name: str, tag: str, files: Mapping[str, bytes]) -> None:
        """Publish an image of one layer.

        Parameters
        ----------
        name : str
            Its name, such as ``lab/w_nuclei``.
        tag : str
            Its tag.
        files : Mapping[str, bytes]
            Contents of its files by path, all executable.
        """
        tar = _tar(files)
        layer = self._blob(gzip.compress(tar, mtime=0))
        self._layers.add(layer)
        diff = "sha256:" + hashlib.sha256(tar).hexdigest()
        settings: dict[str, Any] = {"Cmd": ["/bin/true"], "WorkingDir": "/", "Env": ["PATH=/bin"]}
        config = self._blob(
            json.dumps(
                {
                    "architecture": "amd64",
                    "os": "linux",
                    "config": settings,
                    "rootfs": {"type": "layers", "diff_ids": [diff]},
                }
            ).encode()
        )
        manifest = json.dumps(
            {
                "schemaVersion": 2,
                "mediaType": MANIFEST,
                "config": self._described(CONFIG, config),
                "layers": [self._described(LAYER, layer)],
            }
        ).encode()
        for reference in (tag, "sha256:" + hashlib.sha256(manifest).hexdigest()):
            self._manifests[name, reference] = manifest

    def _blob(self, data: bytes) -> str:
        digest = "sha256:" + hashlib.sha256(data).hexdigest()
        self._blobs[digest] = data
        return digest

    def _described(self, media_type: str, digest: str) -> dict[str, object]:
        return {"mediaType": media_type, "digest": digest, "size": len(self._blobs[digest])}

    def answer(self, path: str) -> tuple[int, str, bytes]:
        """Give status, media type and body for a path."""
        if path.rstrip("/") == "/v2":
            return 200, "application/json", b"{}"
        match = re.fullmatch(r"/v2/(.+)/(manifests|blobs)/([^/]+)", path)
        if match is None:
            return _error("UNSUPPORTED", "no such endpoint")
        name, kind, reference = match.groups()
        if kind == "manifests":
            manifest = self._manifests.get((name, reference))
            known = any(name == other for other, _ in self._manifests)
            if manifest is None and known:
                return _error("MANIFEST_UNKNOWN", "manifest unknown")
            if manifest is None:
                return _error("NAME_UNKNOWN", "repository name not known to registry")
            return 200, MANIFEST, manifest
        blob = self._blobs.get(reference)
        return _error("BLOB_UNKNOWN", "blob unknown") if blob is None else (200, "application/octet-stream", blob)

    def spoil(self, path: str, body: bytes) -> bytes:
        """Give what is really sent of a body."""
        if path.rpartition("/")[2] not in self._layers:
            return body
        self.blobs_sent += 1
        time.sleep(self.pause_s)
        return body[: len(body) // 2] if self.truncated else body


def _error(code: str, message: str) -> tuple[int, str, bytes]:
    return 404, "application/json", json.dumps({"errors": [{"code": code, "message": message}]}).encode()


def _tar(files: Mapping[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        folders = {parent for path in files for parent in _parents(path)}
        for folder in sorted(folders):
            entry = tarfile.TarInfo(folder)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o755
            archive.addfile(entry)
        for path, data in sorted(files.items()):
            entry = tarfile.TarInfo(path)
            entry.size, entry.mode = len(data), 0o755
            archive.addfile(entry, io.BytesIO(data))
    return stream.getvalue()


def _parents(path: str) -> list[str]:
    parts = path.split("/")[:-1]
    return ["/".join(parts[: end + 1]) for end in range(len(parts))]


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Be silent: clients that have what they want just leave."""


@contextmanager
def serving() -> Iterator[Registry]:
    """Serve a registry while the block runs.

    Yields
    ------
    Registry
        Empty; images can be added at any time.
    """
    registry = Registry()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._reply(with_body=True)

        def do_HEAD(self) -> None:
            self._reply(with_body=False)

        def _reply(self, *, with_body: bool) -> None:
            registry.requests.append(self.path)
            status, media_type, body = registry.answer(self.path)
            self.send_response(status)
            self.send_header("Content-Type", media_type)
            self.send_header("Content-Length", str(len(body)))
            if media_type == MANIFEST:
                self.send_header("Docker-Content-Digest", "sha256:" + hashlib.sha256(body).hexdigest())
            self.end_headers()
            if with_body:
                sent = registry.spoil(self.path, body)
                try:
                    self.wfile.write(sent)
                except ConnectionError:
                    self.close_connection = True
                if len(sent) < len(body):
                    self.close_connection = True

        def log_message(self, *_: object) -> None:
            """Be silent."""

    server = _Server(("127.0.0.1", 0), Handler)
    registry.port = server.server_port
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield registry
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
