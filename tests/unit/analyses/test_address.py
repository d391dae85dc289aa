"""Taking the address of a repository apart."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.analyses.address import Address, WebFile, parse_address
from worker.errors import DescriptorError


@pytest.mark.parametrize(
    ("repo", "expected"),
    [
        ("https://github.com/o/r", Address("https://github.com/o/r")),
        ("https://github.com/o/r/", Address("https://github.com/o/r")),
        ("https://github.com/o/r.git", Address("https://github.com/o/r.git")),
        ("https://github.com/o/r/tree/v1.2.9", Address("https://github.com/o/r", "v1.2.9")),
        ("https://github.com/o/r/tree/v1/", Address("https://github.com/o/r", "v1")),
        ("https://github.com/o/r/tree/", Address("https://github.com/o/r")),
        ("https://github.com/o/r/blob/v1/a%20b/d.json", Address("https://github.com/o/r", "v1/a b/d.json")),
        ("https://github.com/o/r.git/tree/v1", Address("https://github.com/o/r.git", "v1")),
        ("https://gitlab.com/g/s/r/-/tree/v1/sub", Address("https://gitlab.com/g/s/r", "v1/sub")),
        ("https://git.example.org:8443/g/r/-/blob/v1/d.json", Address("https://git.example.org:8443/g/r", "v1/d.json")),
        ("https://gitlab.com/g/s/r", Address("https://gitlab.com/g/s/r")),
        ("ssh://git@host:22/o/r.git#v1.0:sub/d.json", Address("ssh://git@host:22/o/r.git", "v1.0", "sub/d.json")),
        ("git@github.com:o/r.git", Address("git@github.com:o/r.git")),
        ("git@github.com:o/r.git#feature/x", Address("git@github.com:o/r.git", "feature/x")),
        ("file:///srv/a b/r", Address("file:///srv/a b/r")),
        ("file:///srv/tree/v1/r", Address("file:///srv/tree/v1/r")),
        ("file:///srv/r.git/tree/v1.0", Address("file:///srv/r.git", "v1.0")),
        ("git://host/r#:sub", Address("git://host/r", "", "sub")),
        ("/opt/workflows/nuclei", Path("/opt/workflows/nuclei")),
        (
            "https://github.com/o/r/raw/refs/heads/main/d.json",
            Address("https://github.com/o/r", "refs/heads/main/d.json"),
        ),
        ("https://raw.githubusercontent.com/o/r/v1/a/d.json", Address("https://github.com/o/r", "v1/a/d.json")),
        ("https://gitlab.com/g/r/-/raw/v1/d.json?ref_type=tags", Address("https://gitlab.com/g/r", "v1/d.json")),
        ("https://gitlab.com/g/r/-/tree/main?ref_type=heads", Address("https://gitlab.com/g/r", "main")),
        ("https://github.com/o/r?tab=readme-ov-file", Address("https://github.com/o/r")),
        ("https://git.example.org/o/r.json#v1:d.json", Address("https://git.example.org/o/r.json", "v1", "d.json")),
        ("https://host/a/descriptor.json", WebFile("https://host/a/descriptor.json")),
        ("https://host:8443/config.YAML", WebFile("https://host:8443/config.YAML")),
        ("https://host/a%20b/raw/branch/main/d.yml?v=2", WebFile("https://host/a%20b/raw/branch/main/d.yml?v=2")),
        ("HTTPS://host/d.json", WebFile("HTTPS://host/d.json")),
        ("https://host/.json", Address("https://host/.json")),
    ],
)
def test_addresses_are_taken_apart(repo: str, expected: Address | Path) -> None:
    assert parse_address(repo) == expected


@pytest.mark.parametrize(
    "repo",
    [
        "", " ", "nuclei", "relative/folder", "--upload-pack=touch pwned", "-x", "http://github.com/o/r",
        "ext::sh -c touch% pwned", "ftp://host/r", "ssh://-oProxyCommand=id/r", "ssh://a b/r", "ssh://-l@host/r",
        "git@-oProxyCommand=id:r", "git@host:-r", "https://github.com/o/r#--upload-pack=x", "https://github.com/o/r#a..b",
        "https://github.com/o/r#v1:../../etc/passwd", "https://github.com/o/r/tree/v1/../../x", "https:///r",
        "https://github.com/o/r#a b", "https://github.com/o/r#a^{tree}", "https://github.com/o/r#v1:-x",
        "https://github.com/o/r/tree/v1#v2", "file://host/r", "https://host:port/r", "https://github.com/o/r\nx",
        "https://[::1/r", "https://host/../d.json", "https://host/%2e%2e/d.json", "https://host//d.json/../../x.json",
        "https://github.com/o/r/blob/v1/%2e%2e/d.json", "https://host/d.json?private_token=s3cret",
        "https://host/d.json?a=b&X-Amz-Signature=s3cret", "https://github.com/o/r?access_token=s3cret", "http://host/d.json",
        "HTTP://localhost/d.json", "file://host/d.json", "ftp://host/d.json", "data:,{}", "gopher://host/d.json",
    ],
)  # fmt: skip
def test_what_is_no_address_is_refused(repo: str) -> None:
    with pytest.raises(DescriptorError):
        parse_address(repo)


@pytest.mark.parametrize(
    "repo",
    [
        "https://token123@github.com/o/r",
        "https://user:token123@github.com/o/r",
        "ssh://git:token123@host/r",
        "https://user:token123@host/d.json",
    ],
)
def test_an_address_with_a_password_is_refused_without_showing_it(repo: str) -> None:
    with pytest.raises(DescriptorError, match="user name, token or password") as caught:
        parse_address(repo)
    assert "token123" not in str(caught.value)


def test_a_secret_in_the_query_is_refused_without_showing_it() -> None:
    with pytest.raises(DescriptorError, match=r"carries a secret \(private_token=…\)") as caught:
        parse_address("https://host/d.json?private_token=token123")
    assert "token123" not in str(caught.value)


def test_a_folder_is_told_from_a_repository_that_is_one(tmp_path: Path) -> None:
    (tmp_path / "plain folder").mkdir()
    (tmp_path / "repository" / ".git").mkdir(parents=True)
    (tmp_path / "bare.git").mkdir()
    (tmp_path / "bare.git" / "HEAD").touch()
    root = f"file://{tmp_path}"
    assert parse_address(f"{root}/plain%20folder") == tmp_path / "plain folder"
    assert parse_address(f"{root}/repository") == Address(f"{root}/repository")
    assert parse_address(f"{root}/bare.git") == Address(f"{root}/bare.git")
    # What is not there at the moment may be a repository on a drive that is away.
    assert parse_address(f"{root}/away") == Address(f"{root}/away")


@given(
    st.text(max_size=30)
    | st.text(max_size=20).map("https://github.com/".__add__)
    | st.text(max_size=20).map("ssh://".__add__)
    | st.text(max_size=20).map("https://host/{}.json".format)
)
def test_no_text_becomes_an_option_or_crashes(repo: str) -> None:
    try:
        address = parse_address(repo)
    except DescriptorError:
        return
    if isinstance(address, Address):
        assert not address.url.startswith("-")
        assert not address.tail.startswith("-")
        assert ".." not in address.path.split("/")
