"""Fetching descriptors from real git repositories and folders."""

from __future__ import annotations

import hashlib
import json
import os
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.unit.analyses.conftest import descriptor
from worker.analyses.sources import fetch_analysis, image_tag, read_analysis, version_of
from worker.errors import DescriptorError

if TYPE_CHECKING:
    from tests.unit.analyses.conftest import Repository


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.fixture
def github(repository: Repository, monkeypatch: pytest.MonkeyPatch) -> Repository:
    """Let git find the repository under its address at GitHub."""
    monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
    monkeypatch.setenv("GIT_CONFIG_KEY_0", f"url.{repository.url}.insteadOf")
    monkeypatch.setenv("GIT_CONFIG_VALUE_0", "https://github.com/org/W_Nuclei")
    return repository


def test_the_default_branch_is_the_latest_version(repository: Repository, cache: Path) -> None:
    commit = repository.git("rev-parse", "HEAD")
    found = fetch_analysis(repository.url, cache_dir=cache)
    assert (found.analysis.name, found.version, found.commit, found.note) == ("first", "latest", commit, "")
    assert read_analysis(repository.url, cache_dir=cache) == found.analysis


def test_nothing_in_a_path_reaches_a_shell(repository: Repository, cache: Path, tmp_path: Path) -> None:
    fetch_analysis(repository.url, cache_dir=cache)
    assert not list(tmp_path.rglob("pwned"))
    assert not Path("pwned").exists()


@pytest.mark.parametrize("annotated", [True, False])
def test_a_tag_stays_what_it_is_when_the_branch_goes_on(github: Repository, cache: Path, *, annotated: bool) -> None:
    github.git("tag", *(["--annotate", "--message", "Release"] if annotated else []), "v1.0")
    tagged = github.git("rev-parse", "HEAD")
    github.commit({"descriptor.json": descriptor(name="second")})
    old = fetch_analysis("https://github.com/org/W_Nuclei/tree/v1.0", cache_dir=cache)
    new = fetch_analysis("https://github.com/org/W_Nuclei", cache_dir=cache)
    assert (old.analysis.name, old.version, old.commit) == ("first", "v1.0", tagged)
    assert (new.analysis.name, new.version) == ("second", "latest")


def test_a_branch_that_moves_is_read_again_also_backwards(repository: Repository, cache: Path) -> None:
    names = [read_analysis(repository.url, cache_dir=cache).name]
    first = repository.git("rev-parse", "HEAD")
    repository.commit({"descriptor.json": descriptor(name="second")})
    names.append(read_analysis(repository.url, cache_dir=cache).name)
    repository.git("reset", "--quiet", "--hard", first)
    names.append(read_analysis(repository.url, cache_dir=cache).name)
    assert names == ["first", "second", "first"]


def test_a_branch_with_slashes_is_told_from_the_path_behind_it(github: Repository, cache: Path) -> None:
    github.git("switch", "--quiet", "--create", "feature/two")
    github.commit({"sub/folder/descriptor.json": descriptor(name="deep"), "sub/other.json": descriptor(name="other")})
    page = "https://github.com/org/W_Nuclei/tree/feature/two"
    assert read_analysis(page, cache_dir=cache).name == "first"
    found = fetch_analysis(f"{page}/sub/folder", cache_dir=cache)
    assert (found.analysis.name, found.version) == ("deep", "feature/two")
    assert read_analysis(f"{page}/sub/folder/descriptor.json", cache_dir=cache).name == "deep"
    assert read_analysis(f"{page}/sub/other.json", cache_dir=cache).name == "other"


def test_the_whole_commit_may_be_given(github: Repository, cache: Path) -> None:
    commit = github.git("rev-parse", "HEAD")
    github.git("config", "uploadpack.allowAnySHA1InWant", "true")
    github.commit({"descriptor.json": descriptor(name="second")})
    found = fetch_analysis(f"https://github.com/org/W_Nuclei/tree/{commit}", cache_dir=cache)
    assert (found.analysis.name, found.commit) == ("first", commit)


def test_half_a_commit_is_refused_with_a_hint(github: Repository, cache: Path) -> None:
    short = github.git("rev-parse", "--short=10", "HEAD")
    with pytest.raises(DescriptorError, match=rf"no branch or tag '{short}'.*all of its 40 digits"):
        read_analysis(f"https://github.com/org/W_Nuclei/tree/{short}", cache_dir=cache)


def test_master_is_the_default_branch_where_there_is_no_master(github: Repository, cache: Path) -> None:
    github.git("branch", "--move", "master", "main")
    found = fetch_analysis("https://github.com/org/W_Nuclei/tree/master", cache_dir=cache)
    assert (found.analysis.name, found.version) == ("first", "latest")


def test_a_url_with_a_fragment_names_revision_and_path(repository: Repository, cache: Path) -> None:
    repository.commit({"sub/descriptor.json": descriptor(name="sub")})
    repository.git("tag", "v2")
    found = fetch_analysis(f"{repository.url}#v2:sub/descriptor.json", cache_dir=cache)
    assert (found.analysis.name, found.version) == ("sub", "v2")


def test_the_first_of_three_names_counts_and_a_file_that_is_named_alone(github: Repository, cache: Path) -> None:
    page = "https://github.com/org/W_Nuclei/tree/master"
    names = []
    github.commit({"descriptor.yaml": descriptor(name="second"), "config.yaml": descriptor(name="third")})
    for name in ("descriptor.json", "descriptor.yaml"):
        names.append(read_analysis(page, cache_dir=cache).name)
        (github.path / name).unlink()
        github.commit({})
    names.append(read_analysis(page, cache_dir=cache).name)
    assert names == ["first", "second", "third"]
    assert read_analysis(f"{page}/config.yaml", cache_dir=cache).name == "third"
    with pytest.raises(DescriptorError, match=r"has no descriptor\.yaml on master"):
        read_analysis(f"{page}/descriptor.yaml", cache_dir=cache)


def test_links_to_raw_files_spell_the_branch_out(github: Repository, cache: Path) -> None:
    found = fetch_analysis("https://github.com/org/W_Nuclei/raw/refs/heads/master/descriptor.json", cache_dir=cache)
    assert (found.analysis.name, found.version) == ("first", "latest")


@pytest.mark.parametrize("name", ["descriptor.json", "descriptor.yaml", "config.yaml"])
def test_a_local_folder_has_the_same_three_names(tmp_path: Path, cache: Path, name: str) -> None:
    (tmp_path / name).write_text(json.dumps(descriptor(name="local")))
    found = fetch_analysis(f"file://{tmp_path}", cache_dir=cache)
    assert (found.analysis.name, found.source) == ("local", str(tmp_path / name))


def test_the_tag_of_the_image_is_the_version_if_the_descriptor_gives_one(repository: Repository, cache: Path) -> None:
    repository.commit({"descriptor.json": descriptor(container_image={"image": "registry:5000/org/w:v7"})})
    assert fetch_analysis(repository.url, cache_dir=cache).version == "v7"


@pytest.mark.parametrize(
    ("repo", "reason"),
    [
        ("https://github.com/org/W_Nuclei/tree/v9", r"has no branch or tag 'v9'"),
        (
            "https://github.com/org/W_Nuclei/tree/master/sub",
            r"has no descriptor\.json, descriptor\.yaml or config\.yaml in sub on master",
        ),
        ("https://github.com/org/W_Nuclei/tree/master/link.json", r"link\.json is a link, and must be a file"),
        ("https://github.com/org/W_Nuclei/tree/master/large.json", r"too long for a descriptor"),
        ("https://github.com/org/W_Nuclei/tree/master/README.md", r"\) README\.md holds no fields"),
    ],
)
def test_what_a_repository_does_not_have_is_named(github: Repository, cache: Path, repo: str, reason: str) -> None:
    (github.path / "link.json").symlink_to("/etc/passwd")
    github.commit({"README.md": "text", "large.json": " " * 1_100_000})
    with pytest.raises(DescriptorError, match=reason):
        read_analysis(repo, cache_dir=cache)


def test_an_empty_repository_is_named(plain_git: None, repository: Repository, tmp_path: Path, cache: Path) -> None:
    repository.git("init", "--quiet", "--bare", str(tmp_path / "empty.git"))
    with pytest.raises(DescriptorError, match="is empty"):
        read_analysis(f"file://{tmp_path}/empty.git", cache_dir=cache)


def test_a_repository_that_is_away_is_read_from_the_copy_with_a_note(github: Repository, cache: Path) -> None:
    page = "https://github.com/org/W_Nuclei"
    before = fetch_analysis(page, cache_dir=cache)
    github.path.rename(github.path.with_name("away"))
    after = fetch_analysis(page, cache_dir=cache)
    assert (after.analysis, after.version, after.commit) == (before.analysis, before.version, before.commit)
    assert "so this is the copy of 20" in after.note
    assert "git ls-remote failed" in after.note


def test_a_repository_that_never_was_there_is_an_error_that_may_pass(
    plain_git: None, tmp_path: Path, cache: Path
) -> None:
    with pytest.raises(
        DescriptorError, match=r"git ls-remote failed: fatal:.*does not appear to be a git repo"
    ) as caught:
        read_analysis(f"file://{tmp_path}/nothing", cache_dir=cache)
    assert caught.value.transient


def test_a_descriptor_that_was_deleted_is_not_read_from_the_copy(repository: Repository, cache: Path) -> None:
    read_analysis(repository.url, cache_dir=cache)
    (repository.path / "descriptor.json").unlink()
    repository.commit({"README.md": "gone"})
    with pytest.raises(DescriptorError, match=r"has no descriptor\.json, .* in its root on its default branch"):
        read_analysis(repository.url, cache_dir=cache)


def test_a_damaged_cache_is_made_anew(repository: Repository, cache: Path) -> None:
    read_analysis(repository.url, cache_dir=cache)
    (bare,) = cache.glob("*.git")
    (bare / "HEAD").unlink()
    for copy in cache.glob("*.json"):
        copy.write_text("{")
    assert read_analysis(repository.url, cache_dir=cache).name == "first"


def test_a_second_look_fetches_nothing(
    repository: Repository, cache: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    repository.git("tag", "--annotate", "--message", "Release", "v1")
    for repo in (repository.url, f"{repository.url}#v1"):
        trace = tmp_path / f"trace-{len(repo)}"
        read_analysis(repo, cache_dir=cache)
        monkeypatch.setenv("GIT_TRACE", str(trace))
        read_analysis(repo, cache_dir=cache)
        monkeypatch.delenv("GIT_TRACE")
        assert "git ls-remote" in trace.read_text()
        assert "git fetch" not in trace.read_text()


def test_of_a_tag_and_a_longer_branch_the_longer_counts(github: Repository, cache: Path) -> None:
    github.git("tag", "feature")
    github.git("switch", "--quiet", "--create", "feature/two")
    github.commit({"descriptor.json": descriptor(name="branch"), "two/descriptor.json": descriptor(name="folder")})
    found = fetch_analysis("https://github.com/org/W_Nuclei/tree/feature/two", cache_dir=cache)
    assert (found.analysis.name, found.version) == ("branch", "feature/two")


def test_neither_history_nor_other_files_are_fetched(repository: Repository, cache: Path) -> None:
    repository.git("config", "uploadpack.allowFilter", "true")
    repository.commit({"images.bin": os.urandom(500_000).hex()})
    repository.commit({"descriptor.json": descriptor(name="second")})
    assert read_analysis(repository.url, cache_dir=cache).name == "second"
    (bare,) = cache.glob("*.git")
    assert sum(file.stat().st_size for file in bare.rglob("*") if file.is_file()) < 50_000


def test_a_server_that_hangs_is_given_up_with_all_it_started(
    plain_git: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, cache: Path
) -> None:
    marker = tmp_path / "pid"
    ssh = tmp_path / "ssh"
    ssh.write_text(f'#!/bin/sh\necho $$ > "{marker}"\nexec sleep 60\n')
    ssh.chmod(0o700)
    monkeypatch.setenv("GIT_SSH_COMMAND", str(ssh))
    begin = time.monotonic()
    with pytest.raises(DescriptorError, match=r"git ls-remote took more than 0\.5 s"):
        read_analysis("ssh://git@host/r.git", cache_dir=cache, timeout_s=0.5)
    assert time.monotonic() - begin < 5
    pid = int(marker.read_text())
    for _ in range(100):
        if not Path(f"/proc/{pid}").exists() or "Z" in Path(f"/proc/{pid}/stat").read_text().split()[2]:
            return
        time.sleep(0.02)
    pytest.fail("ssh was left behind")


def test_no_configuration_of_git_can_make_it_speak_other_protocols(
    plain_git: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, cache: Path
) -> None:
    monkeypatch.setenv("GIT_CONFIG_COUNT", "2")
    monkeypatch.setenv("GIT_CONFIG_KEY_0", f"url.ext::touch {tmp_path}/pwned .insteadOf")
    monkeypatch.setenv("GIT_CONFIG_VALUE_0", "https://github.com/org/")
    monkeypatch.setenv("GIT_CONFIG_KEY_1", "protocol.ext.allow")
    monkeypatch.setenv("GIT_CONFIG_VALUE_1", "always")
    with pytest.raises(DescriptorError, match="transport 'ext' not allowed"):
        read_analysis("https://github.com/org/W_Nuclei", cache_dir=cache)
    assert not (tmp_path / "pwned").exists()


def test_a_hook_of_git_may_call_us(
    repository: Repository, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, cache: Path
) -> None:
    elsewhere = tmp_path / "elsewhere"
    monkeypatch.setenv("GIT_DIR", str(elsewhere))
    monkeypatch.setenv("GIT_OBJECT_DIRECTORY", str(elsewhere / "objects"))
    assert read_analysis(repository.url, cache_dir=cache).name == "first"
    assert not elsewhere.exists()


def test_several_may_fetch_the_same_at_once(repository: Repository, cache: Path) -> None:
    names: list[str] = []
    threads = [
        threading.Thread(target=lambda: names.append(read_analysis(repository.url, cache_dir=cache).name))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert names == ["first"] * 4


def test_without_git_the_reason_is_named(
    repository: Repository, cache: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(DescriptorError, match="git cannot be started: No such file"):
        read_analysis(repository.url, cache_dir=cache)


def test_without_room_for_what_git_says_the_folder_is_named(
    repository: Repository, cache: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "full"))
    with pytest.raises(DescriptorError, match=r"There is no room .*Make room in .*/full"):
        read_analysis(repository.url, cache_dir=cache)


def test_a_local_folder_is_read_as_it_is_now(tmp_path: Path, cache: Path) -> None:
    folder = tmp_path / "it's a folder"
    folder.mkdir()
    (folder / "descriptor.json").write_text(json.dumps(descriptor(name="local")))
    found = fetch_analysis(str(folder), cache_dir=cache)
    assert (found.analysis.name, found.version, found.commit) == ("local", "latest", "")
    assert read_analysis(str(folder / "descriptor.json"), cache_dir=cache).name == "local"
    assert not cache.exists()


def test_the_digest_is_that_of_the_bytes_whatever_an_editor_has_put_before_them(tmp_path: Path, cache: Path) -> None:
    file = tmp_path / "descriptor.json"
    file.write_bytes(b"\xef\xbb\xbf" + json.dumps(descriptor(name="local"), indent=2).replace("\n", "\r\n").encode())
    found = fetch_analysis(str(file), cache_dir=cache)
    assert found.analysis.name == "local"
    assert found.content == file.read_bytes()
    assert found.sha256 == hashlib.sha256(file.read_bytes()).hexdigest()


def test_where_in_a_repository_it_was_read_is_told(repository: Repository, cache: Path) -> None:
    found = fetch_analysis(repository.url, cache_dir=cache)
    assert (found.path, found.ref) == ("descriptor.json", "")
    assert found.sha256 == hashlib.sha256(found.content).hexdigest()
    again = fetch_analysis(repository.url, cache_dir=cache)
    assert (again.sha256, again.content) == (found.sha256, found.content)


def test_a_link_out_of_a_local_folder_is_not_followed(tmp_path: Path, cache: Path) -> None:
    (tmp_path / "outside.json").write_text(json.dumps(descriptor(name="outside")))
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "descriptor.json").symlink_to(tmp_path / "outside.json")
    with pytest.raises(DescriptorError, match="leads out of its folder"):
        read_analysis(str(folder), cache_dir=cache)


def test_a_link_within_a_local_folder_is_followed(tmp_path: Path, cache: Path) -> None:
    (tmp_path / "v1.json").write_text(json.dumps(descriptor(name="inside")))
    (tmp_path / "descriptor.json").symlink_to("v1.json")
    assert read_analysis(str(tmp_path), cache_dir=cache).name == "inside"


def test_a_local_folder_without_descriptor_is_named(tmp_path: Path, cache: Path) -> None:
    with pytest.raises(DescriptorError, match=r"no descriptor to be read at .*: No such file"):
        read_analysis(str(tmp_path), cache_dir=cache)


def test_a_pipe_in_the_place_of_a_descriptor_is_not_waited_for(tmp_path: Path, cache: Path) -> None:
    os.mkfifo(tmp_path / "descriptor.json")
    with pytest.raises(DescriptorError, match="is not a file"):
        read_analysis(str(tmp_path), cache_dir=cache)


@pytest.mark.parametrize(
    ("ref", "version"), [("", "latest"), ("master", "latest"), ("main", "latest"), ("v1.2", "v1.2"), ("dev", "dev")]
)
def test_the_version_of_a_revision(ref: str, version: str) -> None:
    assert version_of(ref) == version


@pytest.mark.parametrize(
    ("image", "tag"),
    [("org/w", ""), ("org/w:v1", "v1"), ("host:5000/org/w", ""), ("host:5000/o/w:2", "2"), ("o/w:v1@sha256:00", "v1")],
)
def test_the_tag_of_an_image(image: str, tag: str) -> None:
    assert image_tag(image) == tag
