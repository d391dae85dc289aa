"""Commands in a world of their own: no variable and no file of this machine counts."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from tests.records import record
from worker.settings import loader, locations

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["lone", "record"]


@pytest.fixture
def lone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is home, in which alone settings are looked for: base.ini, then override.ini."""
    for name in os.environ:
        if name.startswith(("OMERO_", "BIOMERO_", "SQLALCHEMY_", "GPU_", "GIT", "INGEST_", "PERSISTENCE_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    # The loader has taken the real ones as its default by now.
    assert loader.DEFAULT_PATHS == locations.DEFAULT_PATHS
    monkeypatch.setattr(locations, "DEFAULT_PATHS", (tmp_path / "base.ini", tmp_path / "override.ini"))
    return tmp_path
