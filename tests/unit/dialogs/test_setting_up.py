"""What an admin fills in at "Slurm Init"."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from worker.cluster.report import Item, SetupReport
from worker.dialogs import administration
from worker.dialogs.setting_up import _line, _moment, _told, _with_extra_file
from worker.errors import RequestError, SettingsError
from worker.settings.environment import read_environment
from worker.settings.loader import load_settings

if TYPE_CHECKING:
    from pathlib import Path


class TestMoment:
    def test_without_a_day_every_run_counts(self) -> None:
        assert _moment({}) is None
        assert _moment({administration.REBUILD_DATE: "  "}) is None

    def test_days_ago_win_over_a_date(self) -> None:
        moment = _moment({administration.REBUILD_DAYS: 2, administration.REBUILD_DATE: "2020-01-01"})
        assert moment is not None
        assert timedelta(days=2) <= datetime.now(UTC) - moment < timedelta(days=2, minutes=1)

    def test_a_date_is_a_day_in_utc_unless_it_says_otherwise(self) -> None:
        assert _moment({administration.REBUILD_DATE: "2026-01-31"}) == datetime(2026, 1, 31, tzinfo=UTC)
        assert _moment({administration.REBUILD_DATE: "2026-01-31T01:00+01:00"}) == datetime(2026, 1, 31, tzinfo=UTC)

    @pytest.mark.parametrize(
        "inputs", [{administration.REBUILD_DATE: "31.1.2026"}, {administration.REBUILD_DAYS: 2**31 - 1}]
    )
    def test_what_is_no_day_is_refused(self, inputs: dict[str, object]) -> None:
        with pytest.raises(RequestError, match="'Rebuild From"):
            _moment(inputs)


class TestExtraFile:
    def test_it_wins_over_the_others_and_takes_nothing_else_from_them(self, tmp_path: Path) -> None:
        usual, extra = tmp_path / "usual.ini", tmp_path / "extra.ini"
        usual.write_text("[SSH]\nhost = one\n[WORKFLOWS]\ncells = cells\n")
        extra.write_text("[SSH]\nhost = two\n[WORKFLOWS]\nspots = spots\n")
        environment = read_environment({"HOME": str(tmp_path), "OMERO_WORKER_CONFIG_FILE": str(usual)})
        known = load_settings(usual)
        settings = _with_extra_file(known, environment, str(extra))
        assert settings.ssh.host == "two"
        assert set(settings.workflows) >= {"cells", "spots"}
        assert _with_extra_file(known, environment, "") is known

    def test_one_that_is_not_there_is_told(self, tmp_path: Path) -> None:
        environment = read_environment({"HOME": str(tmp_path)})
        with pytest.raises(SettingsError, match="nowhere"):
            _with_extra_file(load_settings(None), environment, str(tmp_path / "nowhere.ini"))


def test_the_message_tells_what_is_to_be_mended_and_the_report_everything() -> None:
    good, bad = Item("sbatch", "ok", "slurm 24.11"), Item("data folder", "failed", "no space left", "Make room.")
    assert _told("default", SetupReport((good,))) == ["Cluster default: 1 ok."]
    assert _told("default", SetupReport((good, bad))) == ["Cluster default: 1 ok, 1 failed.", _line(bad)]
    assert _line(bad) == "[failed] data folder: no space left -> Make room."
