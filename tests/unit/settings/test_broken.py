"""Files that are broken, or look so: each is told in whole, with its place, or read as it was meant."""

from __future__ import annotations

import contextlib
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.settings.conftest import settle
from worker.errors import SettingsError
from worker.settings.build import build
from worker.settings.ini import decode, parse
from worker.settings.inspection import Severity, inspect
from worker.settings.layers import merge
from worker.settings.loader import load_settings
from worker.settings.origins import origins

if TYPE_CHECKING:
    from worker.settings.inspection import Finding
    from worker.settings.models import Settings

FOLDER = Path(__file__).parent / "broken"
EXPECTED: dict[str, dict[str, Any]] = tomllib.loads((FOLDER / "expected.toml").read_text(encoding="utf-8"))
NAMES = sorted(path.stem for path in FOLDER.glob("*.ini"))


@pytest.fixture(params=NAMES)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def path(name: str, tmp_path: Path) -> Path:
    path = tmp_path / f"{name}.ini"
    path.write_bytes((FOLDER / f"{name}.ini").read_bytes())
    settle(path)
    return path


def test_there_are_many_files_and_each_has_its_expectation() -> None:
    assert len(NAMES) >= 50
    assert set(NAMES) == set(EXPECTED)
    assert sum(name.startswith("legal-") for name in NAMES) >= 15


def test_everything_that_is_wrong_is_told_with_its_place(name: str, path: Path) -> None:
    found = list(inspect([path], {}, required=[path]).findings)
    for expected in EXPECTED[name].get("findings", []):
        finding = take(found, expected)
        where = f"{path}:{finding.line}" if finding.line else str(path)
        assert finding.message.startswith((where, "[")), finding.message
        assert where in finding.message
        assert finding.file == path
        for field in ("section", "key", "value"):
            if field in expected:
                assert getattr(finding, field) == expected[field], finding
    assert found == []


def take(findings: list[Finding], expected: dict[str, Any]) -> Finding:
    """Take out the finding that is expected."""
    for number, finding in enumerate(findings):
        said = f"{finding.message} {finding.remedy}"
        if (
            finding.severity.value == expected["severity"]
            and finding.line == expected.get("line")
            and expected.get("says", "") in said
        ):
            return findings.pop(number)
    raise AssertionError(f"{expected} is not among {findings}")


def test_what_can_be_read_is_read_and_the_rest_is_refused_with_the_same_words(name: str, path: Path) -> None:
    findings = EXPECTED[name].get("findings", [])
    errors = [finding for finding in findings if finding["severity"] == Severity.ERROR]
    if errors:
        with pytest.raises(SettingsError) as caught:
            load_settings(path, environ={}, default_paths=())
        assert any(error.get("says", "") in str(caught.value) for error in errors)
        assert str(path) in str(caught.value)
        return
    settings = load_settings(path, environ={}, default_paths=())
    for address, value in EXPECTED[name].get("reads", {}).items():
        assert value_at(settings, address) == value, address
    if name.startswith("legal-"):
        assert settings.warnings == ()
        assert findings == []


def value_at(settings: Settings, address: str) -> str:
    """Look up ``slurm.sbatch_flags.export`` and the like; what is not set is empty."""
    found: Any = settings
    for part in address.split("."):
        found = found[part] if isinstance(found, dict) else getattr(found, part)
    return "" if found is None else str(found)


def test_no_message_shows_a_secret(path: Path) -> None:
    for finding in inspect([path], {}, required=[path]).findings:
        assert "ghp_0123456789" not in f"{finding}"


_LINES = sorted({line for path in FOLDER.glob("*.ini") for line in path.read_bytes()[:2000].splitlines(keepends=True)})
_PIECES = st.lists(st.one_of(st.sampled_from(_LINES), st.binary(max_size=8)), max_size=12).map(b"".join)
_VARIABLES = st.dictionaries(
    st.sampled_from(
        ["BIOMERO_PULL_CPUS", "GPU_GRES", "BIOMERO_GPU_GPUS", "BIOMERO_INJECT_GPU_FLAG", "OMERO_WORKER_LEASE_S"]
    ),
    st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=8),
)


@given(st.lists(st.one_of(_PIECES, st.binary(max_size=200)), min_size=1, max_size=3), _VARIABLES)
def test_whatever_the_files_hold_nothing_but_a_settings_error_is_raised(
    contents: list[bytes], environ: dict[str, str]
) -> None:
    paths = [Path(f"{number}.ini") for number in range(len(contents))]
    with contextlib.suppress(SettingsError):
        layers = merge(parse(decode(data, path), path) for path, data in zip(paths, contents, strict=True))
        settings = build(layers, environ)
        # What could be read can be told apart, shown, and is what it seems to be.
        assert len(settings.digest()) == 64
        shown = origins(layers, environ)
        assert {name for name, workflow in settings.workflows.items() if workflow} <= {key for _, key in shown}
        assert all(workflow.cluster in settings.clusters for workflow in settings.workflows.values())
