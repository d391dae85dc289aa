"""Files to the cluster, as one tar stream while they are being made: no copy on the way, constant memory, all verified.

An upload appears under its final name only when the far side has computed the same checksums. Compression is left off,
as chunks of images are compressed already. The far side needs GNU tar, findutils and coreutils.
"""

from __future__ import annotations

import hashlib
import re
import tarfile
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from worker.cluster.checksums import hashing_s
from worker.cluster.fence import check_fence
from worker.cluster.layout import confined
from worker.cluster.pipes import Pipe
from worker.cluster.scripts import script
from worker.errors import CommandFailed, OutcomeUnknown, TransferDamaged

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import PurePosixPath
    from types import TracebackType

    from worker.cluster.fence import Fence
    from worker.cluster.transport import Transport

BUFFER_BYTES = 32 * 1024 * 1024
"""What may wait in memory for a slow network; a single larger file waits alone."""

INCOMPLETE = 65
"""How ``put_in_place.sh`` ends when files are missing (EX_DATAERR of sysexits.h)."""


@dataclass(frozen=True, slots=True)
class UploadReport:
    """What was uploaded.

    Parameters
    ----------
    files : int
        How many files.
    size_bytes : int
        Their size together.
    """

    files: int
    size_bytes: int


class TarUpload:
    """Streams files into a folder on the cluster, while they are being made.

    The folder is replaced as a whole by `close`, after verification; until then the files are in ``<folder>.part``. An
    upload that was broken off leaves only that, which the next one removes. A thread of its own feeds the transport,
    of which it holds one connection from the first file to the last.

    Parameters
    ----------
    transport : Transport
        The way to the cluster.
    destination : PurePosixPath
        The folder; those above it are made as well.
    fence : Fence, optional
        Keeps an upload of a process that was paused from replacing what its heir has put there.
    """

    def __init__(self, transport: Transport, destination: PurePosixPath, *, fence: Fence | None = None) -> None:
        self._transport = transport
        self._fence = (str(fence.file), f"{fence.number:d}") if fence else ()
        self._destination = str(destination)
        self._pipe = Pipe(BUFFER_BYTES)
        self._checksums: dict[str, str] = {}
        self._size_bytes = 0
        self._largest_bytes = 0
        self._report: UploadReport | None = None
        self._failure: BaseException | None = None
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        else:
            self.abort()

    def add(self, path: str, data: bytes | bytearray | memoryview) -> None:
        """Send a file.

        Parameters
        ----------
        path : str
            Where to, relative to the folder; parts are separated by ``/``.
        data : bytes or memoryview
            Its content; the caller may reuse the buffer.

        Raises
        ------
        ValueError
            If the path leaves the folder, or was sent before.
        TransportError
            If the transfer has failed meanwhile.
        """
        content = data if isinstance(data, bytes) else bytes(data)
        self.add_stream(path, (content,), len(content))

    def add_stream(self, path: str, pieces: Iterable[bytes], size_bytes: int) -> None:
        """Send a file that is not in memory as a whole.

        Parameters
        ----------
        path : str
            Where to, as for `add`.
        pieces : Iterable[bytes]
            Its content.
        size_bytes : int
            Its size, which stands in the stream before its content.

        Raises
        ------
        ValueError
            If the path leaves the folder, or was sent before.
        TransferDamaged
            If the content has another size; the upload can only be broken off then.
        TransportError
            If the transfer has failed meanwhile.
        """
        name = confined(path)
        if name in self._checksums:
            raise ValueError(f"{name!r} has been sent already.")
        if self._report is not None:
            raise ValueError("The upload has been closed.")
        self._start()
        header = tarfile.TarInfo(name)
        header.size, header.mode, header.mtime = size_bytes, 0o640, int(time.time())
        self._pipe.put(header.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape"))
        digest, sent_bytes = hashlib.sha256(), 0
        for piece in pieces:
            digest.update(piece)
            sent_bytes += len(piece)
            if piece:
                self._pipe.put(piece)
            self._raise_failure()
        if sent_bytes != size_bytes:
            raise TransferDamaged(f"{name!r} has {sent_bytes} bytes instead of {size_bytes}.")
        if padding := -size_bytes % tarfile.BLOCKSIZE:
            self._pipe.put(b"\0" * padding)
        self._checksums[name] = digest.hexdigest()
        self._size_bytes += size_bytes
        self._largest_bytes = max(self._largest_bytes, size_bytes)
        self._raise_failure()

    def close(self) -> UploadReport:
        """Finish the transfer, verify all files on the cluster and put the folder in its place.

        Returns
        -------
        UploadReport
            What was uploaded; a second call gives the same.

        Raises
        ------
        TransferDamaged
            If a file did not arrive as it was sent; the folder has not changed.
        ClusterFull
            If there is no space left.
        CommandFailed
            If the cluster cannot store the files, for want of permission for example.
        Fenced
            If another process has gone on with the run.
        TransportError
            If the cluster cannot be reached any more.
        """
        if self._report is None:
            self._start()
            self._pipe.put(b"\0" * (2 * tarfile.BLOCKSIZE))
            self._pipe.end()
            self._join()
            self._raise_failure()
            self._verify()
            self._put_in_place()
            self._report = UploadReport(len(self._checksums), self._size_bytes)
        return self._report

    def abort(self) -> None:
        """Break the transfer off; the folder has not changed."""
        self._pipe.break_off(TransferDamaged("The upload was broken off."))
        self._join()

    def _start(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._feed, name="cluster-upload", daemon=True)
            self._thread.start()

    def _feed(self) -> None:
        try:
            completed = self._transport.run(script("unpack", self._destination, *self._fence), stdin=self._pipe)
            check_fence(completed)
            completed.check()
        except BaseException as error:  # noqa: BLE001 - it is raised in the caller's thread
            self._failure = error
        finally:
            self._pipe.discard()

    def _join(self) -> None:
        if self._thread is not None:
            self._thread.join()

    def _raise_failure(self) -> None:
        if isinstance(self._failure, OutcomeUnknown):
            # Whatever arrived lies in the part folder, so that to repeat an upload does no harm.
            raise TransferDamaged(f"The upload was interrupted: {self._failure.message}") from self._failure
        if self._failure is not None:
            raise self._failure

    def _verify(self) -> None:
        if not self._checksums:
            return
        completed = self._transport.run(
            script("verify", self._destination + ".part"),
            stdin=[b"".join(_check_line(digest, name) for name, digest in self._checksums.items())],
            timeout_s=hashing_s(self._largest_bytes),
        )
        good = len(re.findall(rb": OK$", completed.stdout, re.MULTILINE))
        if completed.exit_status != 0 or good != len(self._checksums):
            bad = [line for line in completed.text.splitlines() if not line.endswith(": OK")]
            raise TransferDamaged(
                f"{len(self._checksums) - good} of {len(self._checksums)} files did not arrive in "
                f"{self._destination} as they were sent: {'; '.join(bad[:3]) or completed.error_text}.",
                remedy="The upload is repeated; if it always fails, look at the file system of the cluster.",
            )

    def _put_in_place(self) -> None:
        command = script("put_in_place", self._destination, str(len(self._checksums)), *self._fence)
        completed = self._transport.run(command)
        check_fence(completed)
        try:
            completed.check()
        except CommandFailed as error:
            if error.exit_status != INCOMPLETE:
                raise
            raise TransferDamaged(f"The upload to {self._destination} is not complete: {error.stderr}.") from error


def _check_line(digest: str, name: str) -> bytes:
    """Write a line for ``sha256sum -c``, which escapes new lines and backslashes in names."""
    escaped = name.replace("\\", "\\\\").replace("\n", "\\n").replace("\r", "\\r")
    mark = "\\" if escaped != name else ""
    return f"{mark}{digest}  ./{escaped}\n".encode("utf-8", "surrogateescape")
