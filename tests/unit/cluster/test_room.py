"""Room for results on the disk of the worker."""

from __future__ import annotations

import errno
import os
from collections import namedtuple
from pathlib import Path

import pytest

from tests.faults.transport import CountingTransport
from tests.unit.cluster.outputs import Outputs, write
from worker.errors import LocalDiskError


class TestRoom:
    def test_what_is_needed_is_told_before_the_first_byte(
        self, outputs: Outputs, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        write(outputs.out / "a", b"x" * 3_000_000)
        listing = outputs.list()
        disk = namedtuple("disk", "f_bavail f_frsize f_files f_favail")
        monkeypatch.setattr(os, "statvfs", lambda _: disk(256, 4096, 100, 100))
        counting = CountingTransport(outputs.transport)
        outputs.transport = counting
        with pytest.raises(LocalDiskError, match=r"the results need 3 MiB more, and 1 MiB are free\. Make room"):
            outputs.fetch(listing)
        assert counting.commands.total() == 0
        monkeypatch.setattr(os, "statvfs", lambda _: disk(10_000, 4096, 100, 0))
        with pytest.raises(LocalDiskError, match="the results are 1 files, and there is room for 0"):
            outputs.fetch(listing)

    def test_a_disk_that_fills_up_all_the_same_is_told(self, outputs: Outputs, monkeypatch: pytest.MonkeyPatch) -> None:
        write(outputs.out / "a", b"x")
        listing = outputs.list()

        def full(*_: object) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr(Path, "replace", full)
        with pytest.raises(LocalDiskError, match="No space left on device") as caught:
            outputs.fetch(listing)
        assert caught.value.transient
