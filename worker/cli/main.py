"""The ``omero-worker`` command: entry point, logging and exit statuses."""

from __future__ import annotations

import logging
import sys
from typing import Annotated

import structlog
import typer
from rich.console import Console

from worker.cli.lazy import Command, LazyGroup, register
from worker.errors import WorkerError

COMMANDS = (
    Command("runs", "worker.cli.runs", "app", "Look at runs, and cancel, resume or retry them."),
    Command("history", "worker.cli.history", "app", "Check the views of the history, or compute them anew."),
    Command("usage", "worker.cli.usage", "usage", "Sum up what jobs have used."),
    Command("storage", "worker.cli.storage", "app", "See what runs have left on the clusters, and remove it."),
    Command("serve", "worker.cli.serve", "serve", "Drive all runs to their end, until told to stop."),
    Command("analyses", "worker.cli.analyses", "app", "List and show what can be run, and check a descriptor."),
    Command("refresh", "worker.cli.analyses", "refresh", "Look at all workflows now, for the dialogs."),
    Command("config", "worker.cli.config", "app", "Check, show, compare and change slurm-config.ini."),
    Command("cluster", "worker.cli.cluster", "app", "Set clusters up, and look whether they are."),
    Command("check", "worker.cli.check", "check", "Check settings, database, cluster and OMERO."),
)
"""Every command; a new one needs a line here, and is imported only when it is called."""

app = typer.Typer(
    name="omero-worker",
    cls=LazyGroup,
    help="Runs image analyses of OMERO users on a Slurm cluster, and knows what became of each.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
register(app, COMMANDS)


@app.callback()
def configure(
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Log details too.")] = False,
    json_log: Annotated[bool, typer.Option("--json-log", help="Log one JSON object a line.")] = False,
) -> None:
    """Set up the log: to standard error, with the uuids of run and task on every line."""
    configure_logging(verbose=verbose, json_log=json_log)


def configure_logging(*, verbose: bool = False, json_log: bool = False) -> None:
    """Send the log of this process to standard error.

    Parameters
    ----------
    verbose : bool
        Whether to log details.
    json_log : bool
        Whether to write one JSON object a line instead of text.
    """
    renderer = structlog.processors.JSONRenderer() if json_log else structlog.dev.ConsoleRenderer(colors=False)
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.DEBUG if verbose else logging.INFO),
        # Asked for with each line, so that it is standard error as it is then.
        logger_factory=lambda *_: structlog.PrintLogger(sys.stderr),
    )
    # paramiko logs a traceback for each lost connection, which we report ourselves, translated.
    logging.getLogger("paramiko").setLevel(logging.CRITICAL)


def run() -> None:
    """Run the command; an error of ours is one plain message and exit status 1."""
    try:
        app()
    except WorkerError as error:
        console = Console(stderr=True, soft_wrap=True)
        console.print(error.message, style="bold red", markup=False, highlight=False)
        if error.remedy:
            console.print(error.remedy, markup=False, highlight=False)
        raise SystemExit(1) from error
