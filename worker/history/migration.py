"""Bringing the tables up to date, from Python and safely from several processes at once."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.util.exc import CommandError

from worker.errors import HistoryError

if TYPE_CHECKING:
    from sqlalchemy.engine import Engine

VERSION_TABLE = "alembic_version_omero_worker"
"""Ours alone: other software keeps versions of its own tables in the same database."""

LOCK_KEY = 0x6F6D_776B_0001
"""Advisory lock under which tables are changed ("omwk", 1)."""


def upgrade(engine: Engine) -> None:
    """Make or change the tables, in one transaction; nothing happens if they are up to date.

    Parameters
    ----------
    engine : Engine
        The database's engine.

    Raises
    ------
    HistoryError
        If the tables belong to a newer version of this software.
    """
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.set_main_option("path_separator", "os")
    with engine.begin() as connection:
        # SQLite: the transaction itself holds the lock.
        if connection.dialect.name == "postgresql":
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(LOCK_KEY)))
        config.attributes["connection"] = connection
        try:
            command.upgrade(config, "head")
        except CommandError as error:
            raise HistoryError(
                f"The tables of the history cannot be brought up to date: {error}.",
                remedy="They were made by a newer version of the worker; start that version.",
            ) from error
