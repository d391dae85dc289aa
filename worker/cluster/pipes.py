"""The two ends of a stream: pieces from one thread to another, and pieces as a file."""

from __future__ import annotations

import io
import threading
from collections import deque
from typing import TYPE_CHECKING

from worker.errors import TransferDamaged

if TYPE_CHECKING:
    from collections.abc import Iterator


class Pipe:
    """Bytes from the thread that makes them to the thread that sends them.

    Parameters
    ----------
    limit_bytes : int
        How many may be under way; a larger piece goes alone.
    """

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._pieces: deque[bytes] = deque()
        self._waiting_bytes = 0
        self._ended = False
        self._discarding = False
        self._error: BaseException | None = None
        self._changed = threading.Condition()

    def put(self, piece: bytes) -> None:
        """Hand on a piece, once there is room.

        Parameters
        ----------
        piece : bytes
            The piece.
        """
        with self._changed:
            self._changed.wait_for(
                lambda: (
                    self._discarding or not self._waiting_bytes or self._waiting_bytes + len(piece) <= self._limit_bytes
                )
            )
            if not self._discarding:
                self._pieces.append(piece)
                self._waiting_bytes += len(piece)
                self._changed.notify_all()

    def end(self) -> None:
        """There is nothing more to come."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def break_off(self, error: BaseException) -> None:
        """Let the reader fail.

        Parameters
        ----------
        error : BaseException
            What is raised there.
        """
        with self._changed:
            self._error = error
            self._changed.notify_all()

    def discard(self) -> None:
        """Take whatever comes and forget it: nobody reads any more."""
        with self._changed:
            self._discarding = True
            self._pieces.clear()
            self._changed.notify_all()

    def __iter__(self) -> Iterator[bytes]:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._pieces or self._ended or self._error is not None)
                if self._error is not None:
                    raise self._error
                if not self._pieces:
                    return
                piece = self._pieces.popleft()
                self._waiting_bytes -= len(piece)
                self._changed.notify_all()
            yield piece


class Reader(io.RawIOBase):
    """Pieces as a file, for tarfile.

    Parameters
    ----------
    pieces : Iterator[bytes]
        The pieces; empty ones say nothing.
    """

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._rest = memoryview(b"")

    def read(self, size: int = -1) -> bytes:
        """Read as many bytes as are asked for, fewer only at the end.

        Parameters
        ----------
        size : int
            How many.

        Returns
        -------
        bytes
            The bytes.
        """
        parts: list[memoryview] = []
        while size > 0:
            if not self._rest:
                piece = next(self._pieces, None)
                if piece is None:
                    break
                self._rest = memoryview(piece)
            part = self._rest[:size]
            self._rest = self._rest[len(part) :]
            size -= len(part)
            parts.append(part)
        return b"".join(parts)


class Limited(Reader):
    """A stream of which no more is taken than is expected, whatever sizes its headers claim.

    Parameters
    ----------
    pieces : Iterator[bytes]
        The pieces.
    headers_bytes : int
        What may come before each file.
    """

    def __init__(self, pieces: Iterator[bytes], headers_bytes: int) -> None:
        super().__init__(pieces)
        self._headers_bytes = headers_bytes
        self._left_bytes = headers_bytes

    def expect(self, size_bytes: int) -> None:
        """Take so much from here on, and a header.

        Parameters
        ----------
        size_bytes : int
            Size of a file.
        """
        self._left_bytes = size_bytes + self._headers_bytes

    def read(self, size: int = -1) -> bytes:
        """Read as many bytes as are asked for, fewer only at the end.

        Parameters
        ----------
        size : int
            How many.

        Returns
        -------
        bytes
            The bytes.

        Raises
        ------
        TransferDamaged
            If the stream is longer than expected.
        """
        data = super().read(size)
        self._left_bytes -= len(data)
        if self._left_bytes < 0:
            raise TransferDamaged("The cluster sent more than was asked for.")
        return data
