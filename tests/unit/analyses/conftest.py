"""Descriptors, and real git repositories that hold them."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

import hypothesis
import pytest

from tests.unit.analyses.web_server import WebServer, make_certificate

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

# How long an example takes says more about the machine than about the code.
hypothesis.settings.register_profile("unhurried", deadline=None)
hypothesis.settings.load_profile("unhurried")


def descriptor(*inputs: Mapping[str, object], **fields: object) -> dict[str, object]:
    """Write a descriptor with inputs; fields replace what it has otherwise, and None takes it out."""
    document: dict[str, object] = {
        "name": "NucleiSegmentation",
        "description": "Segments nuclei",
        "schema-version": "cytomine-0.1",
        "container-image": {"image": "org/w_nuclei", "type": "singularity"},
        "command-line": "python wrapper.py CYTOMINE_HOST DIAMETER",
        "inputs": list(inputs),
    } | {name.replace("_", "-"): value for name, value in fields.items()}
    return {name: value for name, value in document.items() if value is not None}


def entry(identity: str, kind: str = "Number", **fields: object) -> dict[str, object]:
    """Write one input of a descriptor."""
    named = {name.replace("_", "-"): value for name, value in fields.items()}
    return {"id": identity, "type": kind, "name": identity, "value-key": "@ID", "command-line-flag": "--@id"} | named


@dataclass(frozen=True, slots=True)
class Repository:
    """A git repository with a working tree."""

    path: Path

    @property
    def url(self) -> str:
        return f"file://{self.path}"

    def git(self, *arguments: str) -> str:
        return subprocess.run(
            ["git", "-C", str(self.path), *arguments], check=True, capture_output=True, text=True
        ).stdout.strip()

    def commit(self, files: Mapping[str, object]) -> str:
        """Write files (objects as JSON), and commit them; returns the commit."""
        for name, content in files.items():
            file = self.path / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(content if isinstance(content, str) else json.dumps(content))
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", "A change")
        return self.git("rev-parse", "HEAD")


@pytest.fixture
def plain_git(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Keep the configuration of this machine out, and name an author."""
    for name in [name for name in os.environ if name.startswith("GIT_")]:
        monkeypatch.delenv(name)
    config = tmp_path / "gitconfig"
    config.write_text("[user]\n\tname = Test\n\temail = test@example.org\n[init]\n\tdefaultBranch = master\n")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(config))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")


@pytest.fixture
def repository(plain_git: None, tmp_path: Path) -> Repository:
    """Make a repository with a descriptor on master; its path holds spaces and quotes."""
    path = tmp_path / 'it\'s a "repository"; $(touch pwned)'
    path.mkdir()
    repository = Repository(path)
    repository.git("init", "--quiet")
    repository.commit({"descriptor.json": descriptor(name="first")})
    return repository


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate of a server on this machine, and its own authority."""
    return make_certificate(tmp_path_factory.mktemp("certificate"))


@pytest.fixture
def web_server(
    certificate: Path, plain_git: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[WebServer]:
    """Serve files and repositories over https, trusted by the one variable that a site sets for its own authority."""
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
    monkeypatch.setenv("NETRC", str(tmp_path / "no-netrc"))
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    with WebServer(certificate, git_root=tmp_path) as server:
        yield server
