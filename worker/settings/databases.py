"""Addresses of databases: read once for all, and shown without their passwords."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy import exc

from worker.errors import SettingsError

_FORM = "postgresql+psycopg2://user:password@host:5432/database"


def read_database_url(url: str, setting: str) -> sa.URL:
    """Read the address of a database.

    Parameters
    ----------
    url : str
        URL of PostgreSQL or SQLite, in the form of SQLAlchemy.
    setting : str
        Name of the setting that it stands in, for messages.

    Returns
    -------
    sqlalchemy.URL
        The address; for PostgreSQL with the driver that is here, whichever the URL names.

    Raises
    ------
    SettingsError
        If it cannot be read, or names another kind of database. Nothing of a password is told.
    """
    try:
        parsed = sa.make_url(url)
    except (exc.ArgumentError, ValueError):
        # "from None": the foreign error quotes the URL, and with it the password.
        raise SettingsError(f"{setting} cannot be read.", remedy=f"Write it as {_FORM}.") from None
    kind = parsed.get_backend_name()
    if kind not in ("postgresql", "sqlite"):
        raise SettingsError(
            f"{setting} names a database of kind {kind!r}.", remedy=f"Write it as {_FORM}; SQLite is possible too."
        )
    if "@" in (parsed.host or ""):
        # What is taken for the host begins with a part of the password, so that it is not repeated here.
        raise SettingsError(
            f"{setting} has more than one '@' before its host.", remedy="Write an '@' in user or password as %40."
        )
    return parsed.set(drivername="postgresql+psycopg2") if kind == "postgresql" else parsed


def shown_url(url: sa.URL) -> str:
    """Write the address of a database for messages: without its password, and without a query, which may hold one too.

    Parameters
    ----------
    url : sqlalchemy.URL
        The address.

    Returns
    -------
    str
        What may be told.
    """
    return url.set(query={}).render_as_string(hide_password=True)
