"""Files to read settings from."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Protocol

import hypothesis
import pytest

from worker.settings.loader import load_settings

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from worker.settings.models import Settings


# How long an example takes says more about the machine than about the code.
hypothesis.settings.register_profile("unhurried", deadline=None)
hypothesis.settings.load_profile("unhurried")


class Load(Protocol):
    """Writes texts to files, one after another in rank, and reads the settings from them."""

    def __call__(self, *texts: str | bytes, environ: Mapping[str, str] | None = None) -> Settings: ...


@pytest.fixture
def load(tmp_path: Path) -> Load:
    def write_and_load(*texts: str | bytes, environ: Mapping[str, str] | None = None) -> Settings:
        paths = []
        for number, text in enumerate(texts):
            path = tmp_path / f"{number}.ini"
            path.write_bytes(text if isinstance(text, bytes) else text.encode())
            settle(path)
            paths.append(path)
        return load_settings(environ=environ or {}, default_paths=paths)

    return write_and_load


def settle(path: Path) -> None:
    """Let a file look as if it had been written a minute ago."""
    then = time.time() - 60
    os.utime(path, (then, then))
