"""Descriptors from web servers: what is asked, what is kept, and what becomes of it when things go wrong."""

from __future__ import annotations

import json
import re
import stat
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import TYPE_CHECKING

import pytest
from pydantic import SecretStr

from tests.unit.analyses.conftest import descriptor
from worker.analyses.sources import SourcedAnalysis, by_origin, fetch_analysis, fetch_group
from worker.analyses.tokens import Token, Tokens
from worker.errors import DescriptorError, RepositoryUnreachable

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.unit.analyses.web_server import Handler, WebServer

PATH = "/workflows/nuclei.json"
SECRET = "glpat-0123456789"


def content(name: str) -> bytes:
    return json.dumps(descriptor(name=name)).encode()


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.fixture
def server(web_server: WebServer) -> WebServer:
    web_server.files[PATH] = content("first")
    return web_server


def tokens(server: WebServer) -> Tokens:
    return Tokens((Token(server.host, "oauth2", SecretStr(SECRET)),))


def silences(cache: Path) -> list[dict[str, object]]:
    return [json.loads(file.read_text()) for file in cache.glob("*.silent")]


def let_time_pass(cache: Path) -> None:
    """Let the time come at which silent servers are asked again."""
    for file in cache.glob("*.silent"):
        past = (datetime.now(UTC) - timedelta(seconds=1)).isoformat()
        file.write_text(json.dumps(json.loads(file.read_text()) | {"ask_at": past}))


def test_a_file_is_read_as_it_is_and_kept_in_private(server: WebServer, cache: Path) -> None:
    found = fetch_analysis(server.url(PATH), cache_dir=cache)
    assert (found.analysis.name, found.version, found.commit, found.note) == ("first", "latest", "", "")
    assert found.source == server.url(PATH)
    assert [stat.S_IMODE(file.stat().st_mode) for file in cache.iterdir()] == [0o600]


def test_what_has_not_changed_is_not_sent_again(server: WebServer, cache: Path) -> None:
    first = fetch_analysis(server.url(PATH), cache_dir=cache)
    assert fetch_analysis(server.url(PATH), cache_dir=cache) == first
    server.files[PATH] = content("second")
    assert fetch_analysis(server.url(PATH), cache_dir=cache).analysis.name == "second"
    asked = [request.headers.get("If-None-Match") for request in server.requests]
    assert asked[0] is None
    assert asked[1] == asked[2] is not None


def test_a_server_without_etags_is_asked_by_the_date(server: WebServer, cache: Path) -> None:
    date = "Sat, 01 Nov 2025 10:00:00 GMT"

    def answer(handler: Handler) -> None:
        known = handler.headers.get("If-Modified-Since") == date
        handler.answer(304 if known else 200, b"" if known else content("dated"), {"Last-Modified": date})

    server.faults[PATH] = answer
    names = [fetch_analysis(server.url(PATH), cache_dir=cache).analysis.name for _ in range(2)]
    assert names == ["dated", "dated"]
    assert server.requests[1].headers["If-Modified-Since"] == date


def truncated(handler: Handler) -> None:
    handler.answer(200, content("first")[:40], {"Content-Length": "4000"})


def endless(handler: Handler) -> None:
    handler.send_response(200)
    handler.end_headers()
    handler.wfile.write(b" " * 3_000_000)


def status(number: int, **headers: str) -> Callable[[Handler], None]:
    return lambda handler: handler.answer(number, b"", {name.replace("_", "-"): text for name, text in headers.items()})


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (status(500), "answered with status 500 Internal Server Error"),
        (status(429, Retry_After="600"), "answered with status 429"),
        (status(403), "answered with status 403 Forbidden.*an entry in ~/.netrc"),
        (status(204), "answered with status 204"),
        (status(302), "leads to https://localhost, and only https:// is followed"),
        (status(302, Location="http://127.0.0.1/x"), "leads to http://127.0.0.1, and only"),
        (status(302, Location="file:///etc/passwd"), "leads to file://, and only"),
        (status(302, Location="https://user:pw@localhost/x"), "leads to https://localhost, and only"),
        (status(302, Location=PATH), "led to another address 5 times"),
        (lambda handler: handler.wfile.write(b"nonsense\r\n\r\n"), "could not be fetched: .*nonsense"),
        (lambda handler: handler.connection.close(), "could not be fetched"),
        (truncated, "could not be fetched: IncompleteRead"),
    ],
)
def test_when_a_server_fails_the_copy_is_used_and_the_server_left_alone(
    server: WebServer, cache: Path, fault: Callable[[Handler], None], reason: str
) -> None:
    first = fetch_analysis(server.url(PATH), cache_dir=cache)
    server.faults[PATH] = fault
    second = fetch_analysis(server.url(PATH), cache_dir=cache)
    assert second.analysis == first.analysis
    assert re.search(rf"cannot be asked, so this is the copy of 20\d\d-.* UTC\. .*{reason}", second.note), second.note
    asked = len(server.requests)
    third = fetch_analysis(server.url(PATH), cache_dir=cache)
    assert re.search(rf"has not answered since .* UTC, and is asked again at .* UTC\. .*{reason}", third.note)
    assert len(server.requests) == asked
    server.faults.clear()
    let_time_pass(cache)
    assert fetch_analysis(server.url(PATH), cache_dir=cache) == first
    assert not silences(cache)


def test_a_closed_port_is_an_outage_like_any_other(server: WebServer, cache: Path) -> None:
    first = fetch_analysis(server.url(PATH), cache_dir=cache)
    server.stop()
    second = fetch_analysis(server.url(PATH), cache_dir=cache)
    assert second.analysis == first.analysis
    assert "Connection refused" in second.note
    with pytest.raises(RepositoryUnreachable, match="Connection refused"):
        fetch_analysis(server.url("/other.json"), cache_dir=cache)


def test_a_server_that_hangs_costs_no_more_than_the_time_it_was_given(server: WebServer, cache: Path) -> None:
    server.hang(PATH)
    with pytest.raises(RepositoryUnreachable, match=r"took more than 0\.5 s"):
        fetch_analysis(server.url(PATH), cache_dir=cache, timeout_s=0.5)
    assert server.asked.is_set()
    assert not server.released.is_set()


def test_a_server_that_sends_byte_after_byte_costs_no_more_than_the_time_it_was_given(
    server: WebServer, cache: Path
) -> None:
    def drip(handler: Handler) -> None:
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        while not server.released.wait(0.05):
            handler.wfile.write(b" ")

    server.faults[PATH] = drip
    with pytest.raises(RepositoryUnreachable, match=r"took more than 0\.5 s"):
        fetch_analysis(server.url(PATH), cache_dir=cache, timeout_s=0.5)


@pytest.mark.parametrize("fault", [lambda handler: handler.answer(200, b" " * 1_100_000, {}), endless])
def test_a_file_that_is_too_long_is_not_read_to_its_end(
    server: WebServer, cache: Path, fault: Callable[[Handler], None]
) -> None:
    server.faults[PATH] = fault
    with pytest.raises(DescriptorError, match="is longer than 1048576 bytes"):
        fetch_analysis(server.url(PATH), cache_dir=cache)


def test_a_file_that_is_gone_is_told_and_not_read_from_the_copy(server: WebServer, cache: Path) -> None:
    fetch_analysis(server.url(PATH), cache_dir=cache)
    del server.files[PATH]
    for _ in range(2):
        with pytest.raises(DescriptorError, match=r"has no such file \(status 404\)") as caught:
            fetch_analysis(server.url(PATH), cache_dir=cache)
        assert not caught.value.transient
    assert len(server.requests) == 3


def test_what_cannot_be_read_never_takes_the_place_of_what_could(server: WebServer, cache: Path) -> None:
    fetch_analysis(server.url(PATH), cache_dir=cache)
    server.files[PATH] = b"<html>Please log in</html>"
    with pytest.raises(DescriptorError, match=r"nuclei\.json, line 1"):
        fetch_analysis(server.url(PATH), cache_dir=cache)
    server.fail(PATH, 500)
    assert fetch_analysis(server.url(PATH), cache_dir=cache).analysis.name == "first"


class TestSilence:
    def test_pauses_grow_up_to_half_an_hour(self, server: WebServer, cache: Path) -> None:
        server.fail(PATH, 500)
        pauses = []
        for _ in range(6):
            begin = datetime.now(UTC)
            with pytest.raises(RepositoryUnreachable, match="500"):
                fetch_analysis(server.url(PATH), cache_dir=cache)
            (silence,) = silences(cache)
            pauses.append(round((datetime.fromisoformat(str(silence["ask_at"])) - begin).total_seconds()))
            let_time_pass(cache)
        assert pauses == [120, 240, 480, 960, 1800, 1800]

    @pytest.mark.parametrize(
        ("value", "pause_s"), [("600", 600), ("7", 120), ("999999", 3600), ("soon", 120), ("+600 s", 600)]
    )
    def test_a_server_that_asks_for_patience_gets_it(
        self, server: WebServer, cache: Path, value: str, pause_s: float
    ) -> None:
        begin = datetime.now(UTC)
        if value.startswith("+"):
            value = format_datetime(begin + timedelta(seconds=600), usegmt=True)
        server.fail(PATH, 429, Retry_After=value)
        with pytest.raises(RepositoryUnreachable):
            fetch_analysis(server.url(PATH), cache_dir=cache)
        (silence,) = silences(cache)
        pause = datetime.fromisoformat(str(silence["ask_at"])) - begin
        assert pause.total_seconds() == pytest.approx(pause_s, abs=5)

    def test_whoever_has_mended_it_may_ask_at_once(self, server: WebServer, cache: Path) -> None:
        server.fail(PATH, 500)
        with pytest.raises(RepositoryUnreachable):
            fetch_analysis(server.url(PATH), cache_dir=cache)
        server.faults.clear()
        with pytest.raises(RepositoryUnreachable, match="is asked again at"):
            fetch_analysis(server.url(PATH), cache_dir=cache)
        assert fetch_analysis(server.url(PATH), cache_dir=cache, ask_now=True).analysis.name == "first"
        assert fetch_analysis(server.url(PATH), cache_dir=cache).analysis.name == "first"

    @pytest.mark.parametrize("damage", ["{", "[]", '{"since": 1}', '{"times": 1, "since": "x", "ask_at": "x"}'])
    def test_a_damaged_note_of_it_is_none(self, server: WebServer, cache: Path, damage: str) -> None:
        server.fail(PATH, 500)
        with pytest.raises(RepositoryUnreachable):
            fetch_analysis(server.url(PATH), cache_dir=cache)
        server.faults.clear()
        (note,) = cache.glob("*.silent")
        note.write_text(damage)
        assert fetch_analysis(server.url(PATH), cache_dir=cache).analysis.name == "first"

    def test_a_clock_that_was_wrong_does_not_keep_us_from_asking_for_days(self, server: WebServer, cache: Path) -> None:
        server.fail(PATH, 500)
        with pytest.raises(RepositoryUnreachable):
            fetch_analysis(server.url(PATH), cache_dir=cache)
        server.faults.clear()
        (note,) = cache.glob("*.silent")
        note.write_text(json.dumps(json.loads(note.read_text()) | {"ask_at": "2099-01-01T00:00:00+00:00"}))
        assert fetch_analysis(server.url(PATH), cache_dir=cache).analysis.name == "first"


class TestTheCopy:
    @pytest.mark.parametrize("how", ["truncated", "altered", "emptied", "other"])
    def test_a_damaged_one_is_fetched_anew(self, server: WebServer, cache: Path, how: str) -> None:
        fetch_analysis(server.url(PATH), cache_dir=cache)
        (copy,) = cache.glob("*.json")
        good = copy.read_text()
        copy.write_text(
            {"truncated": good[:50], "altered": good.replace("first", "forst"), "emptied": "", "other": "[]"}[how]
        )
        assert fetch_analysis(server.url(PATH), cache_dir=cache).analysis.name == "first"
        assert server.requests[-1].headers.get("If-None-Match") is None
        fetch_analysis(server.url(PATH), cache_dir=cache)
        assert server.requests[-1].headers.get("If-None-Match")

    def test_a_folder_that_cannot_be_written_is_no_reason_not_to_run(self, server: WebServer, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("")
        assert fetch_analysis(server.url(PATH), cache_dir=tmp_path / "file" / "cache").analysis.name == "first"

    def test_a_server_that_says_unchanged_of_what_we_never_had_is_not_believed(
        self, server: WebServer, cache: Path
    ) -> None:
        server.fail(PATH, 304)
        with pytest.raises(RepositoryUnreachable, match="there is no copy"):
            fetch_analysis(server.url(PATH), cache_dir=cache)


class TestTokens:
    def test_a_private_file_is_opened_by_the_token_of_its_host(self, server: WebServer, cache: Path) -> None:
        server.token = SECRET
        with pytest.raises(RepositoryUnreachable, match="status 401"):
            fetch_analysis(server.url(PATH), cache_dir=cache)
        found = fetch_analysis(server.url(PATH), cache_dir=cache, tokens=tokens(server), ask_now=True)
        assert found.analysis.name == "first"
        assert server.requests[-1].headers["Authorization"] == f"Bearer {SECRET}"
        assert SECRET.encode() not in b"".join(file.read_bytes() for file in cache.iterdir())
        assert SECRET not in repr(tokens(server)) + repr(found)

    def test_a_redirect_carries_no_token_to_another_host(self, server: WebServer, cache: Path) -> None:
        server.token = SECRET
        server.faults["/moved.json"] = lambda handler: handler.answer(302, b"", {"Location": server.other(PATH)})
        found = fetch_analysis(server.url("/moved.json"), cache_dir=cache, tokens=tokens(server))
        assert found.analysis.name == "first"
        sent = [(request.host, "Authorization" in request.headers) for request in server.requests]
        assert sent == [("localhost", True), ("127.0.0.1", False)]

    def test_another_host_gets_none(self, server: WebServer, cache: Path) -> None:
        fetch_analysis(server.other(PATH), cache_dir=cache, tokens=tokens(server))
        assert "Authorization" not in server.requests[-1].headers

    def test_the_token_wins_over_netrc_which_serves_hosts_without_one(
        self, server: WebServer, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        netrc = tmp_path / "netrc"
        netrc.write_text("machine localhost login me password mine\nmachine 127.0.0.1 login me password mine\n")
        monkeypatch.setenv("NETRC", str(netrc))
        fetch_analysis(server.url(PATH), cache_dir=cache, tokens=tokens(server))
        fetch_analysis(server.other(PATH), cache_dir=cache, tokens=tokens(server))
        assert [request.headers["Authorization"].split()[0] for request in server.requests] == ["Bearer", "Basic"]

    def test_no_message_of_a_refusal_shows_it(self, server: WebServer, cache: Path) -> None:
        server.token = "another"
        with pytest.raises(RepositoryUnreachable) as caught:
            fetch_analysis(server.url(PATH), cache_dir=cache, tokens=tokens(server))
        assert SECRET not in str(caught.value)


def test_a_certificate_of_nobody_known_is_refused(
    server: WebServer, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("REQUESTS_CA_BUNDLE")
    with pytest.raises(RepositoryUnreachable, match="certificate verify failed"):
        fetch_analysis(server.url(PATH), cache_dir=cache)
    assert not server.requests


def test_a_file_is_a_group_of_its_own_and_a_wrong_address_harms_no_other(server: WebServer, cache: Path) -> None:
    repos = {"a": server.url(PATH), "b": "https://x/-/tree/v1", "c": "ftp://x", "d": "https://x#v2:sub"}
    assert by_origin(repos) == [
        {"a": repos["a"]}, {"b": repos["b"], "d": repos["d"]}, {"c": repos["c"]}
    ]  # fmt: skip
    results = fetch_group({"c": repos["c"], "a": repos["a"]}, cache_dir=cache)
    assert isinstance(results["a"], SourcedAnalysis)
    assert "over ftp://" in str(results["c"])
