"""The folder of a run on the far side as an analysis has left it, and what a far side may send in its place."""

from __future__ import annotations

from contextlib import contextmanager, nullcontext
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from tests.faults.transport import CountingTransport
from worker.cluster import streams
from worker.cluster.listing import Listing, RemoteFile, list_tree
from worker.cluster.streams import download_tree
from worker.errors import RunCancelled

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from worker.cluster.transport import Transport


class Outputs:
    """The folder of a run on the far side, and that to which its results come."""

    def __init__(self, folder: Path, transport: Transport) -> None:
        self.run = folder / "far" / "biomero_run"
        self.out = self.run / "data" / "out"
        self.out.mkdir(parents=True)
        self.outside = folder / "outside"
        self.outside.mkdir()
        (self.outside / "secret").write_text("secret")
        self.home = folder / "home" / "out"
        self.transport = transport

    def list(self, known: tuple[RemoteFile, ...] = ()) -> Listing:
        root, within = PurePosixPath(self.out), PurePosixPath(self.run)
        self.home.mkdir(parents=True, exist_ok=True)
        return list_tree(self.transport, root, within=within, known=known, into=self.home)

    def fetch(self, listing: Listing, follow: streams.Follow = streams.nobody) -> None:
        root, within = PurePosixPath(self.out), PurePosixPath(self.run)
        download_tree(self.transport, root, listing.files, self.home, within=within, follow=follow)

    def bring(self) -> Listing:
        listing = self.list()
        self.fetch(listing)
        return listing

    def here(self) -> dict[str, bytes]:
        found = {str(path.relative_to(self.home)): path for path in self.home.rglob("*") if not path.is_dir()}
        return {name: path.read_bytes() for name, path in found.items()}


class Sender:
    """A far side that sends what it likes."""

    def __init__(self, data: bytes, *, endless: bool = False, piece: bytes = bytes(65536)) -> None:
        self.sent_bytes = 0
        self._data = data
        self._endless = endless
        self._piece = piece

    def run(self, argv, *, stdin=None, timeout_s=None):  # type: ignore[no-untyped-def]  # never used
        raise NotImplementedError

    def stream(self, argv, *, stdin=None, timeout_s=None):  # type: ignore[no-untyped-def]  # as Transport.stream
        return nullcontext(self._pieces())

    def _pieces(self) -> Iterator[bytes]:
        yield self._data
        while self._endless:
            self.sent_bytes += len(self._piece)
            yield self._piece

    def close(self) -> None:
        """There is nothing to close."""


def write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def stopping_at(limit_bytes: int) -> streams.Follow:
    def follow(_files: int, size_bytes: int, /) -> None:
        if size_bytes > limit_bytes:
            raise RunCancelled("Cancelled by ada.")

    return follow


class Recording(CountingTransport):
    """Keeps from which byte on files were asked for."""

    def __init__(self, inner: Transport) -> None:
        super().__init__(inner)
        self.arguments: list[str] = []

    def stream(self, argv, *, stdin=None, timeout_s=None):  # type: ignore[no-untyped-def]  # as the base class
        if "omero-worker-send_rest" in argv:
            self.arguments.append(argv[-1])
        return super().stream(argv, stdin=stdin, timeout_s=timeout_s)


class Meddling(CountingTransport):
    """Does something just before one of our scripts runs, and something else after it."""

    def __init__(
        self, inner: Transport, script: str, before: Callable[[], object], after: Callable[[], object] = lambda: None
    ) -> None:
        super().__init__(inner)
        self._script = script
        self._before, self._after = before, after

    @contextmanager
    def stream(self, argv, *, stdin=None, timeout_s=None):  # type: ignore[no-untyped-def]  # as the base class
        meant = f"omero-worker-{self._script}" in argv
        if meant:
            self._before()
        with super().stream(argv, stdin=stdin, timeout_s=timeout_s) as pieces:
            yield pieces
        if meant:
            self._after()
