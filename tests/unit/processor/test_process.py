"""The process class of Processor-0, against the omero-py that is installed."""

from __future__ import annotations

import inspect
import json
import logging
import os
import subprocess
import sys
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import omero.processor
import pytest
from omero.util import ServerContext, load_dotted_class

from worker.processor.process import WorkerProcess
from worker.settings.environment import FORWARDED_NAMES

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PROPERTY = "worker.processor.process.WorkerProcess"
"""The value of the server's property ``omero.process.python``."""

SECRETS = {
    "SQLALCHEMY_URL": "postgresql+psycopg2://biomero:hush@database-biomero/biomero",
    "INGEST_TRACKING_DB_URL": "postgresql+psycopg2://biomero:hush@database-biomero/biomero",
    "OMERO_SERVICE_PASSWORD": "hush",
    "ROOTPASS": "hush",
    "CONFIG_omero_db_pass": "hush",
}


@pytest.fixture
def process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("https_proxy", "http://proxy.example:3128")
    monkeypatch.setenv("SQLALCHEMY_URL_FILE", "/run/secrets/sqlalchemy_url")
    monkeypatch.setenv("OMERO_WORKER_STATE_DIR", "/var/lib/omero-worker")
    monkeypatch.setenv("OMERO_TMPDIR", str(tmp_path))
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.setenv("HTTP_PROXY", "")
    home = omero.processor.path(str(tmp_path))
    made = WorkerProcess(
        ServerContext("Processor-0", None, None),
        sys.executable,
        {"omero.user": "a-session"},
        None,
        True,
        omero_home=home,
    )
    yield made
    made.iskill = False


def environment_of_child(process: Any) -> dict[str, str]:
    """What a script sees, told by a script."""
    show = "import os, json; print(json.dumps(dict(os.environ)))"
    told = subprocess.run([sys.executable, "-c", show], env=process.env(), capture_output=True, text=True, check=True)
    return dict(json.loads(told.stdout))


def test_omero_finds_the_class_by_the_name_that_the_server_is_given() -> None:
    assert load_dotted_class(PROPERTY) is WorkerProcess


def test_the_processor_chooses_it_when_the_server_says_so() -> None:
    processor = SimpleNamespace(logger=logging.getLogger("test"))
    call = SimpleNamespace(ctx={"omero.process": PROPERTY})
    launcher, chosen = omero.processor.ProcessorI.find_launcher(processor, call)
    assert (launcher, chosen) == (sys.executable, WorkerProcess)


def test_it_is_made_with_what_the_processor_passes() -> None:
    theirs = inspect.signature(omero.processor.ProcessI.__init__)
    assert inspect.signature(WorkerProcess.__init__) == theirs
    assert list(theirs.parameters)[:6] == ["self", "ctx", "interpreter", "properties", "params", "iskill"]


def test_a_script_sees_what_is_forwarded(process: Any) -> None:
    seen = environment_of_child(process)
    assert seen["https_proxy"] == "http://proxy.example:3128"
    assert seen["SQLALCHEMY_URL_FILE"] == "/run/secrets/sqlalchemy_url"
    assert seen["OMERO_WORKER_STATE_DIR"] == "/var/lib/omero-worker"
    assert "NO_PROXY" not in seen
    assert "HTTP_PROXY" not in seen


def test_a_script_sees_what_omero_itself_hands_on(process: Any) -> None:
    seen = environment_of_child(process)
    assert seen["ICE_CONFIG"] == str(process.config_path)
    assert seen["PATH"] == os.environ["PATH"]


@pytest.mark.parametrize("name", sorted(SECRETS))
def test_a_script_never_sees_a_secret(process: Any, name: str) -> None:
    seen = environment_of_child(process)
    assert name not in seen
    assert "hush" not in " ".join(seen.values())


def test_no_forwarded_name_stands_for_a_secret() -> None:
    telling = ("PASS", "SECRET", "TOKEN", "URL", "KEY")
    assert [name for name in FORWARDED_NAMES if any(word in name.upper() for word in telling)] == [
        "SQLALCHEMY_URL_FILE",
        "INGEST_TRACKING_DB_URL_FILE",
        "GITHUB_TOKEN_FILE",
        "GITLAB_TOKEN_FILE",
        # The address of OMERO.web, which everybody knows.
        "OMERO_WORKER_OMERO_WEB_URL",
    ]
