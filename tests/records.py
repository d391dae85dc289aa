"""A record of runs of a test's own, as the worker opens it: in files, with settings beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from worker.engine.assembly import open_record

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from worker.engine.assembly import Record


@pytest.fixture
def record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Record]:
    """The record that commands in this process open too."""
    (tmp_path / "slurm-config.ini").write_text("[SLURM]\nslurm_data_path=data\n", encoding="utf-8")
    monkeypatch.setenv("OMERO_WORKER_CONFIG_FILE", str(tmp_path / "slurm-config.ini"))
    monkeypatch.setenv("OMERO_WORKER_STATE_DIR", str(tmp_path / "state"))
    # Wide enough that no line of a table is broken.
    monkeypatch.setenv("COLUMNS", "120")
    for name in ("SQLALCHEMY_URL", "SQLALCHEMY_URL_FILE"):
        monkeypatch.delenv(name, raising=False)
    with open_record() as opened:
        yield opened
