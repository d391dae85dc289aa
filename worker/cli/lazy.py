"""Commands that are imported when they are run: ``omero-worker --help`` does not pay for OMERO, Slurm and zarr."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import typer
from typer.core import TyperGroup
from typer.main import get_group

if TYPE_CHECKING:
    from collections.abc import Iterable


@dataclass(frozen=True, slots=True)
class Command:
    """One command, or one group of commands.

    Parameters
    ----------
    name : str
        What is typed after ``omero-worker``.
    module : str
        The module that is imported for it.
    attribute : str
        The function, or the `typer.Typer` of a group, in that module.
    help : str
        What the list of commands says about it.
    """

    name: str
    module: str
    attribute: str
    help: str


_commands: dict[str, Command] = {}


class LazyGroup(TyperGroup):
    """A group whose commands are names and helps, until one of them is called."""

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        """Find the command that is called, and import it.

        Parameters
        ----------
        ctx : typer.Context
            The context of the call.
        args : list[str]
            What was typed.

        Returns
        -------
        tuple[str | None, Command, list[str]]
            Its name, the command itself, and what is left of what was typed.
        """
        name, command, rest = super().resolve_command(ctx, args)
        return name, command if name is None else load(_commands[name]), rest


def register(app: typer.Typer, commands: Iterable[Command]) -> None:
    """Give an application its commands, by name.

    Parameters
    ----------
    app : typer.Typer
        An application whose ``cls`` is `LazyGroup`.
    commands : Iterable[Command]
        The commands, in the order of the help.
    """
    for command in commands:
        _commands[command.name] = command
        app.command(command.name, help=command.help)(_unloaded)


def load(command: Command) -> Any:
    """Import a command.

    Parameters
    ----------
    command : Command
        Which one.

    Returns
    -------
    Command
        As typer calls it.
    """
    found = getattr(importlib.import_module(command.module), command.attribute)
    holder = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
    if isinstance(found, typer.Typer):
        holder.add_typer(found, name=command.name, help=command.help)
    else:
        holder.command(command.name)(found)
    return get_group(holder).commands[command.name]


def _unloaded() -> None:
    """Stand where a command will be."""
