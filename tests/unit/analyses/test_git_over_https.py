"""Repositories behind a real https server (git-http-backend): tokens, redirects, outages, and how often it is asked."""

from __future__ import annotations

import contextlib
import os
import stat
from typing import TYPE_CHECKING

import pytest
from pydantic import SecretStr

from tests.unit.analyses.conftest import descriptor
from worker.analyses import git
from worker.analyses.sources import SourcedAnalysis, by_origin, fetch_analysis, fetch_group
from worker.analyses.tokens import Token, Tokens
from worker.errors import RepositoryUnreachable

if TYPE_CHECKING:
    from pathlib import Path

    from tests.unit.analyses.conftest import Repository
    from tests.unit.analyses.web_server import Handler, WebServer

SECRET = "ghp_0123456789'$(id)\""


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.fixture
def page(repository: Repository, web_server: WebServer) -> str:
    """The address of a repository on an https server, in the way of GitHub's pages."""
    (repository.path.parent / "org").mkdir()
    (repository.path.parent / "org" / "nuclei").symlink_to(repository.path / ".git")
    repository.git("config", "uploadpack.allowFilter", "true")
    return web_server.url("/git/org/nuclei")


def tokens(server: WebServer) -> Tokens:
    return Tokens((Token(server.host, "x-access-token", SecretStr(SECRET)),))


def authorised(server: WebServer) -> list[tuple[str, bool]]:
    return [(request.host, "Authorization" in request.headers) for request in server.requests]


def test_an_unchanged_repository_costs_two_questions_and_no_download(
    repository: Repository, web_server: WebServer, page: str, cache: Path
) -> None:
    first = fetch_analysis(page, cache_dir=cache)
    assert stat.S_IMODE(cache.stat().st_mode) == 0o700
    web_server.requests.clear()
    assert fetch_analysis(page, cache_dir=cache) == first
    asked = [request.path.rpartition("/")[2] for request in web_server.requests]
    assert asked == ["refs?service=git-upload-pack", "git-upload-pack"]
    repository.commit({"descriptor.json": descriptor(name="second")})
    assert fetch_analysis(page, cache_dir=cache).analysis.name == "second"


def test_workflows_of_one_repository_ask_it_once(
    repository: Repository, web_server: WebServer, page: str, cache: Path
) -> None:
    repository.commit({"a/descriptor.json": descriptor(name="a"), "b/config.yaml": descriptor(name="b")})
    repository.git("tag", "v1")
    repos = {"a": f"{page}#v1:a", "b": f"{page}.git#v1:b", "root": f"{page}#v1", "default": page}
    repos["b"] = f"{page}#v1:b/config.yaml"
    (group,) = by_origin(repos)
    fetch_group(group, cache_dir=cache)
    web_server.requests.clear()
    found = fetch_group(group, cache_dir=cache)
    assert len(web_server.requests) == 2
    names = {name: one.analysis.name for name, one in found.items() if isinstance(one, SourcedAnalysis)}
    assert names == {"a": "a", "b": "b", "root": "first", "default": "first"}


def test_workflows_of_one_repository_that_hangs_wait_for_it_once(web_server: WebServer, page: str, cache: Path) -> None:
    web_server.hang("/git/")
    found = fetch_group({name: f"{page}#:{name}" for name in "abc"}, cache_dir=cache, timeout_s=1)
    assert all("git ls-remote took more than 1 s" in str(one) for one in found.values())
    assert len(web_server.requests) == 1
    assert len(list(cache.glob("*.silent"))) == 1


def test_one_commit_that_cannot_be_had_takes_nothing_from_other_workflows(
    repository: Repository, page: str, cache: Path
) -> None:
    repos = {"lost": f"{page}#{'0' * 40}", "good": page}
    for _ in range(2):
        found = fetch_group(repos, cache_dir=cache)
        assert isinstance(found["lost"], RepositoryUnreachable)
        assert isinstance(found["good"], SourcedAnalysis)


class TestTokens:
    def test_a_private_repository_is_opened_by_the_token_of_its_host(
        self, web_server: WebServer, page: str, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        web_server.token = SECRET
        trace = tmp_path / "trace"
        monkeypatch.setenv("GIT_TRACE", str(trace))
        monkeypatch.setenv("GIT_TRACE_CURL", str(trace))
        assert fetch_analysis(page, cache_dir=cache, tokens=tokens(web_server)).analysis.name == "first"
        assert "git fetch" in trace.read_text()
        assert SECRET not in trace.read_text()
        assert not [file for file in cache.rglob("*") if file.is_file() and SECRET.encode() in file.read_bytes()]

    def test_without_one_the_message_says_what_is_missing(self, web_server: WebServer, page: str, cache: Path) -> None:
        web_server.token = SECRET
        with pytest.raises(RepositoryUnreachable, match=r"It is private, or does not exist: .*GITHUB_TOKEN_FILE"):
            fetch_analysis(page, cache_dir=cache)

    def test_a_token_that_is_refused_is_in_no_message(self, web_server: WebServer, page: str, cache: Path) -> None:
        web_server.token = "another"
        with pytest.raises(RepositoryUnreachable, match=r"Authentication failed.* It is private") as caught:
            fetch_analysis(page, cache_dir=cache, tokens=tokens(web_server))
        assert SECRET not in str(caught.value)

    def test_it_is_not_even_sent_where_nobody_asks_for_it(self, web_server: WebServer, page: str, cache: Path) -> None:
        fetch_analysis(page, cache_dir=cache, tokens=tokens(web_server))
        assert set(authorised(web_server)) == {("localhost", False)}

    def test_a_redirect_carries_it_to_no_other_host(self, web_server: WebServer, page: str, cache: Path) -> None:
        def elsewhere(handler: Handler) -> None:
            there = web_server.other(handler.path.replace("/git/moved", "/other/git"))
            handler.answer(302, b"", {"Location": there})

        web_server.faults["/git/moved"] = elsewhere
        # The other host asks for a password, as one would that wants to have our token.
        web_server.fail("/other/", 401, WWW_Authenticate='Basic realm="here"')
        with pytest.raises(RepositoryUnreachable):
            fetch_analysis(web_server.url("/git/moved/nuclei"), cache_dir=cache, tokens=tokens(web_server))
        hosts = {request.host for request in web_server.requests}
        assert hosts == {"localhost", "127.0.0.1"}
        assert ("127.0.0.1", True) not in authorised(web_server)

    def test_a_redirect_after_the_token_was_given_does_not_carry_it_either(
        self, web_server: WebServer, page: str, cache: Path
    ) -> None:
        def asks_then_leads_away(handler: Handler) -> None:
            if "Authorization" not in handler.headers:
                handler.answer(401, b"", {"WWW-Authenticate": 'Basic realm="here"'})
            else:
                handler.answer(302, b"", {"Location": web_server.other(handler.path.replace("/git/moved", "/git/org"))})

        web_server.faults["/git/moved"] = asks_then_leads_away
        with contextlib.suppress(RepositoryUnreachable):
            # Whether git then goes on at the other host depends on its version.
            fetch_analysis(web_server.url("/git/moved/nuclei"), cache_dir=cache, tokens=tokens(web_server))
        sent = authorised(web_server)
        assert ("localhost", True) in sent
        assert ("127.0.0.1", False) in sent
        assert ("127.0.0.1", True) not in sent

    def test_no_other_helper_gets_it_to_keep(
        self, web_server: WebServer, page: str, cache: Path, tmp_path: Path
    ) -> None:
        with (tmp_path / "gitconfig").open("a") as config:
            config.write(f'[credential]\n\thelper = "store --file={tmp_path}/kept"\n')
        web_server.token = SECRET
        fetch_analysis(page, cache_dir=cache, tokens=tokens(web_server))
        assert not (tmp_path / "kept").exists()

    def test_where_there_is_none_the_helpers_of_the_admin_are_asked(
        self, web_server: WebServer, page: str, cache: Path, tmp_path: Path
    ) -> None:
        with (tmp_path / "gitconfig").open("a") as config:
            config.write("[credential]\n\thelper = \"!printf 'username=me\\\\npassword=mine\\\\n';:\"\n")
        web_server.token = "mine"
        assert fetch_analysis(page, cache_dir=cache).analysis.name == "first"


def test_a_repository_that_is_too_large_fills_no_disk(
    repository: Repository, page: str, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(git, "LIMIT_BYTES", 64 * 1024)
    repository.git("config", "uploadpack.allowFilter", "false")
    repository.commit({"images.bin": os.urandom(200_000).hex()})
    with pytest.raises(RepositoryUnreachable, match="git fetch failed"):
        fetch_analysis(page, cache_dir=cache)
    assert sum(file.stat().st_size for file in cache.rglob("*") if file.is_file()) < 100_000
