"""Section [ANALYSES]: how descriptors are fetched."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from worker.errors import SettingsError
from worker.settings.models import Settings

if TYPE_CHECKING:
    from pathlib import Path

    from tests.unit.settings.conftest import Load


def test_its_keys_are_read(load: Load) -> None:
    analyses = load("[ANALYSES]\nrefresh_minutes=30\ntimeout_s=5\ngitlab_host=Git.Example.org:8443\n").analyses
    assert (analyses.refresh_minutes, analyses.timeout_s) == (30, 5.0)
    assert (analyses.github_host, analyses.gitlab_host) == ("github.com", "git.example.org:8443")


def test_tokens_come_from_variables_or_files_and_never_show(load: Load, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("gitlab-secret\n")
    file.chmod(0o400)
    settings = load("", environ={"GITHUB_TOKEN": "github-secret", "GITLAB_TOKEN_FILE": str(file)})
    assert settings.analyses.github_token is not None
    assert settings.analyses.gitlab_token is not None
    assert settings.analyses.github_token.get_secret_value() == "github-secret"
    assert settings.analyses.gitlab_token.get_secret_value() == "gitlab-secret"
    assert "-secret" not in f"{settings} {settings!r} {settings.model_dump_json()}"
    assert settings.digest() == Settings().digest()
    assert settings.warnings == ()


@pytest.mark.parametrize("key", ["github_token", "GitLab_Token"])
def test_a_token_in_the_file_is_refused_without_showing_it(load: Load, key: str) -> None:
    with pytest.raises(SettingsError, match=rf"0\.ini:2: \[ANALYSES\] {key}: .*variable {key.upper()}_FILE") as caught:
        load(f"[ANALYSES]\n{key} = ghp-secret\n")
    assert "ghp-secret" not in str(caught.value)


def test_a_blank_token_in_the_file_is_nothing(load: Load) -> None:
    settings = load("[ANALYSES]\ngithub_token =\n")
    assert settings.analyses.github_token is None
    assert settings.warnings == ()
