"""Whether results can be imported in place: folder, storage and the importer's database, before they are needed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from worker.results.inplace.book import OrderBook
from worker.results.inplace.storage import check_mounted, check_writable
from worker.settings.importer import read_importer_settings

if TYPE_CHECKING:
    from pathlib import Path

    from worker.results.inplace.orders import Backlog
    from worker.settings.environment import WorkerEnvironment
    from worker.settings.importer import ImporterSettings


@dataclass(frozen=True, slots=True)
class ImporterState:
    """What was found of the importer.

    Parameters
    ----------
    settings : ImporterSettings
        What is configured.
    database : str
        Its database, without a password.
    backlog : Backlog
        Orders that it has not begun.
    """

    settings: ImporterSettings
    database: str
    backlog: Backlog


def check_in_place(settings: ImporterSettings, group_name: str, group_id: int | None = None) -> Path:
    """Check that results of a group can be imported in place; nothing is left behind.

    Parameters
    ----------
    settings : ImporterSettings
        Where results go, and whom to tell.
    group_name : str
        Name of the group in OMERO.
    group_id : int, optional
        Its id.

    Returns
    -------
    Path
        Folder of the group.

    Raises
    ------
    SettingsError
        If the group has no folder, we may not write to it, or the database is not the importer's.
    StorageUnavailable
        If the storage does not work.
    ImporterUnavailable
        If the database does not answer.
    """
    folder = settings.group_folder(group_name, group_id)
    check_writable(settings.base_dir, folder, group_name)
    with OrderBook(settings.database_url) as book:
        book.check()
    return folder


def check_group(environment: WorkerEnvironment, group_name: str, group_id: int | None = None) -> Path:
    """Check that results of a group can be imported in place, by what is configured now.

    Parameters
    ----------
    environment : WorkerEnvironment
        Names the files of importer and web plugin.
    group_name : str
        Name of the group in OMERO.
    group_id : int, optional
        Its id.

    Returns
    -------
    Path
        Folder of the group.

    Raises
    ------
    WorkerError
        As `check_in_place`; and `SettingsError` for files that are missing or wrong.
    """
    return check_in_place(read_importer_settings(environment), group_name, group_id)


def examine_importer(environment: WorkerEnvironment) -> ImporterState:
    """Look at everything that does not depend on a group.

    Parameters
    ----------
    environment : WorkerEnvironment
        Names the files of importer and web plugin.

    Returns
    -------
    ImporterState
        What was found.

    Raises
    ------
    WorkerError
        Saying what is missing or wrong, and how to mend it.
    """
    settings = read_importer_settings(environment)
    check_mounted(settings.base_dir)
    with OrderBook(settings.database_url) as book:
        book.check()
        return ImporterState(settings, book.name, book.backlog())
