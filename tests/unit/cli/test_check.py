"""What ``omero-worker check`` makes of circuits that are open, and of clusters that cannot be reached."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from worker.cli.check import _circuits, _clusters
from worker.engine.breaker import Circuit, CircuitState
from worker.engine.circuits import Circuits
from worker.history.database import Database
from worker.settings.environment import read_environment
from worker.settings.models import ClusterSettings, Settings, SlurmSettings, SshSettings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def test_of_several_clusters_each_is_looked_at(tmp_path: Path) -> None:
    config = tmp_path / "config"
    config.write_text("Host near far\n    HostName 127.0.0.1\n    Port 1\n")
    near, far = (SshSettings(host=host, ssh_config=config) for host in ("near", "far"))
    settings = Settings(ssh=near, further_clusters={"gpu": ClusterSettings("gpu", far, SlurmSettings())})
    environment = read_environment({"HOME": str(tmp_path), "OMERO_WORKER_STATE_DIR": str(tmp_path)})
    items = list(_clusters(settings, environment))
    assert [(item.what, item.state) for item in items] == [("default: ssh", "failed"), ("gpu: ssh", "failed")]
    assert "cannot be reached" in items[1].detail
    assert "HostName" in items[1].remedy


class TestCircuits:
    @pytest.fixture
    def database(self, tmp_path: Path) -> Iterator[Database]:
        with Database(None, sqlite_path=tmp_path / "history.sqlite") as database:
            database.migrate()
            yield database

    def test_one_that_is_open_is_told(self, database: Database) -> None:
        since = datetime.now(UTC)
        state = CircuitState("cluster", Circuit.OPEN, since, since + timedelta(minutes=5), "No route to host.")
        Circuits(database, "engine:7").record(state)
        (finding,) = _circuits(database)
        assert (finding.what, finding.state) == ("cluster", "warning")
        assert finding.detail.startswith("cluster unreachable since ")
        assert "(No route to host)" in finding.detail
        assert "engine:7" in finding.detail

    def test_one_that_is_closed_is_nothing_to_speak_of(self, database: Database) -> None:
        Circuits(database, "engine:7").record(CircuitState("cluster", Circuit.CLOSED, datetime.now(UTC), None, ""))
        assert list(_circuits(database)) == []
