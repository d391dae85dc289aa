"""Commands are imported when they are called, and not before."""

from __future__ import annotations

import subprocess
import sys

import pytest
from typer.testing import CliRunner

from worker.cli.lazy import Command, load
from worker.cli.main import COMMANDS, app

PROGRAM = """
import sys
from typer.testing import CliRunner
from worker.cli.main import app
result = CliRunner().invoke(app, sys.argv[1:])
assert result.exit_code == 0, result.output
print(*sorted(name for name in sys.modules if name.startswith(("worker.", "omero", "paramiko", "zarr", "sqlalchemy"))))
"""


def imported_by(*arguments: str) -> set[str]:
    done = subprocess.run([sys.executable, "-c", PROGRAM, *arguments], check=True, capture_output=True, text=True)
    return set(done.stdout.split())


def test_the_list_of_commands_costs_none_of_them() -> None:
    assert imported_by("--help") == {"worker.cli", "worker.cli.lazy", "worker.cli.main", "worker.errors"}


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
def test_each_command_is_there_when_it_is_called(command: Command) -> None:
    assert load(command).name == command.name
    result = CliRunner().invoke(app, [command.name, "--help"])
    assert result.exit_code == 0
    assert f"Usage: omero-worker {command.name} " in result.output


def test_the_list_says_what_each_command_is_for() -> None:
    output = CliRunner().invoke(app, ["--help"]).output
    for command in COMMANDS:
        assert any(line.split()[:1] == [command.name] and command.help in line for line in output.splitlines())


def test_a_mistyped_command_is_told_its_neighbour() -> None:
    result = CliRunner().invoke(app, ["usge"])
    assert result.exit_code == 2
    assert "Did you mean 'usage'?" in result.output
