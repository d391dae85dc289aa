"""Arguments through a shell."""

from __future__ import annotations

import os
import shutil
import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.cluster.transport_contract import AWKWARD
from worker.cluster.quoting import quote

SHELLS = [shell for shell in ("bash", "dash", "ksh", "zsh") if shutil.which(shell)]


def through(shell: str, argv: list[str]) -> list[str]:
    line = os.fsencode(quote(["printf", "%s\\0", *argv]))
    return os.fsdecode(subprocess.run([shell, "-c", line], capture_output=True, check=True).stdout).split("\0")[:-1]


@pytest.mark.parametrize("shell", SHELLS)
def test_a_shell_gives_awkward_arguments_back(shell: str) -> None:
    assert through(shell, AWKWARD) == AWKWARD


@settings(max_examples=50, deadline=None)
@given(st.lists(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])), min_size=1, max_size=5))
def test_bash_gives_any_arguments_back(argv: list[str]) -> None:
    assert through("bash", argv) == argv


def test_a_command_needs_a_program() -> None:
    with pytest.raises(ValueError, match="program"):
        quote([])
