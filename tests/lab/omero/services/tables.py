"""omero.grid.Table: tables of columns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import omero
import omero.grid

from tests.lab.omero.files import sha1_of
from tests.lab.omero.model.encode import encode
from tests.lab.omero.model.rtypes import from_json, plain, to_json
from tests.lab.omero.services.base import Service, now_ms
from tests.lab.omero.serving.dispatch import servant, unlocked
from tests.lab.omero.tablefile import ConditionError, Header, TableFile

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tests.lab.omero.blitz import Blitz
    from tests.lab.omero.model.rows import Row
    from tests.lab.omero.security.sessions import Session

MIMETYPE = "OMERO.tables"

_TYPES = frozenset(
    {
        *("FileColumn", "ImageColumn", "DatasetColumn", "RoiColumn", "WellColumn", "PlateColumn", "BoolColumn"),
        *("DoubleColumn", "LongColumn", "StringColumn", "FloatArrayColumn", "DoubleArrayColumn", "LongArrayColumn"),
    }
)
_MESSAGE_BYTES = 65_535
_COLUMN_BYTES = 52
_SIZED = frozenset({"StringColumn", "FloatArrayColumn", "DoubleArrayColumn", "LongArrayColumn"})


@servant(omero.grid.Table)
class TableService(Service):
    """A table that is open.

    Parameters
    ----------
    blitz, session
        As for every service.
    file : Row
        Its OriginalFile.
    """

    stateful = True

    def __init__(self, blitz: Blitz, session: Session, file: Row) -> None:
        super().__init__(blitz, session)
        self._file = file
        self._table = TableFile(blitz.files.path_of(file))
        self._changed = False

    def _check_write(self, current: Any) -> None:
        with self.store.lock:
            self.call(current).in_all_groups().check_update(self._file)
        self._changed = True

    def _headers(self) -> list[Header]:
        headers = self._table.headers()
        if not headers:
            raise omero.ApiUsageException("", "", "Not yet initialized")
        return headers

    @unlocked
    def initialize(self, columns: Sequence[Any], current: Any = None) -> None:
        """Say what the columns are; values in them are not added, as in OMERO."""
        self._check_write(current)
        if self._table.headers():
            raise omero.ValidationException("", "", "Already initialized.")
        if not columns:
            raise omero.ApiUsageException("", "", "No columns provided")
        headers = [_header(column) for column in columns]
        _check_headers(headers)
        self._table.initialize(headers)

    @unlocked
    def addData(self, columns: Sequence[Any], current: Any = None) -> None:
        self._check_write(current)
        headers = self._headers()
        names = [header.name for header in headers]
        if [column.name for column in columns] != names:
            given = [column.name for column in columns]
            raise omero.ApiUsageException("", "", f"the table has the columns {names}, data came for {given}")
        lengths = {len(column.values or ()) for column in columns}
        if len(lengths) > 1:
            raise omero.ValidationException("", "", f"columns of different lengths: {sorted(lengths)}")
        for header, column in zip(headers, columns, strict=True):
            _check_sizes(header, column)
        self._table.add([_stored(header, column.values or ()) for header, column in zip(headers, columns, strict=True)])

    @unlocked
    def update(self, data: Any, current: Any = None) -> None:
        self._check_write(current)
        places = {header.name: place for place, header in enumerate(self._headers())}
        headers = self._headers()
        columns = {places[column.name]: _stored(headers[places[column.name]], column.values) for column in data.columns}
        self._table.change(data.rowNumbers, columns)

    @unlocked
    def getHeaders(self, current: Any = None) -> list[Any]:
        return [_column(header, []) for header in self._headers()]

    @unlocked
    def getNumberOfRows(self, current: Any = None) -> int:
        self._headers()
        return self._table.count()

    def _data(self, numbers: Sequence[int] | range, columns: Sequence[int] | None = None) -> Any:
        headers = self._headers()
        try:
            values = self._table.read(numbers)
            chosen = [(place, headers[place]) for place in (range(len(headers)) if columns is None else columns)]
        except IndexError as error:
            raise omero.ApiUsageException("", "", str(error)) from error
        data = omero.grid.Data()
        data.lastModification = self._file["mtime"] or 0
        data.rowNumbers = list(numbers)
        data.columns = [_column(header, values[place]) for place, header in chosen]
        return data

    @unlocked
    def read(self, columns: Sequence[int], start: int, stop: int, current: Any = None) -> Any:
        return self._data(range(start, min(stop, self._table.count())), columns)

    @unlocked
    def readCoordinates(self, rows: Sequence[int], current: Any = None) -> Any:
        return self._data(rows)

    @unlocked
    def slice(self, columns: Sequence[int], rows: Sequence[int], current: Any = None) -> Any:
        """Return some columns of some rows; all of them, where none are named."""
        return self._data(rows or range(self._table.count()), columns or None)

    @unlocked
    def getWhereList(
        self, condition: str, variables: Mapping[str, Any], start: int, stop: int, step: int, current: Any = None
    ) -> list[int]:
        count = self._table.count()
        rows = range(start, min(stop or count, count), step or 1)
        values = {name: plain(value) for name, value in (variables or {}).items()}
        try:
            return self._table.select(condition, values, rows)
        except ConditionError as error:
            raise omero.ApiUsageException("", "ConditionError", str(error)) from error

    @unlocked
    def getMetadata(self, key: str, current: Any = None) -> Any:
        value = self._table.metadata().get(key)
        return None if value is None else from_json(value)

    @unlocked
    def getAllMetadata(self, current: Any = None) -> dict[str, Any]:
        return {key: from_json(value) for key, value in self._table.metadata().items()}

    @unlocked
    def setMetadata(self, key: str, value: Any, current: Any = None) -> None:
        self.setAllMetadata({key: value}, current)

    @unlocked
    def setAllMetadata(self, values: Mapping[str, Any], current: Any = None) -> None:
        self._check_write(current)
        self._table.set_metadata({key: to_json(value) for key, value in values.items()})

    def getOriginalFile(self, current: Any = None) -> Any:
        return encode(self.call(current).in_all_groups(), self._file)

    @unlocked
    def delete(self, current: Any = None) -> None:
        with self.store.transaction():
            call = self.call(current).in_all_groups()
            if not call.may_delete(self._file):
                raise omero.SecurityViolation("", "", f"Deleting {self._file} not allowed for user {call.user.id}")
            self.store.delete(self._file)
        self.blitz.files.remove(self._file)
        self._changed = False

    @unlocked
    def close(self, current: Any = None) -> None:
        if self._changed:
            path = self.blitz.files.path_of(self._file)
            with self.store.transaction():
                hasher = self.store.enumerated("ChecksumAlgorithm", "SHA1-160")
                size = path.stat().st_size
                self.store.set(self._file, size=size, hash=sha1_of(path), hasher=hasher, mtime=now_ms())
        super().close(current)


def _type_of(column: Any) -> str:
    name = str(column.ice_id()).rsplit("::", 1)[-1]
    if name not in _TYPES:
        raise omero.ApiUsageException("", "", f"columns of the type {name} are not known to this stand-in for OMERO")
    return name


def _header(column: Any) -> Header:
    name = _type_of(column)
    size = int(column.size) if name in _SIZED else 0
    if name in _SIZED and size < 1:
        raise omero.ApiUsageException("", "", f"the column {column.name} has no size")
    return Header(name, column.name, column.description or "", size)


def _check_headers(headers: Sequence[Header]) -> None:
    """Refuse what PyTables refuses; its own errors come out of OMERO as InternalException."""
    names = [header.name for header in headers]
    for name in names:
        if not name or name.startswith("__"):
            what = f"Reserved column name: {name}" if name else "Column unnamed"
            raise omero.ApiUsageException("", "", what)
        if names.count(name) > 1:
            raise omero.ApiUsageException("", "", f"Duplicate column name: {name}")
    if not all(header.description.isascii() for header in headers):
        message = "TypeError: Array objects cannot currently deal with void, unicode or object arrays"
        raise omero.InternalException("", "", message)
    # A message of an object header in HDF5 has at most 64 KB, and this one describes all columns: their names, padded,
    # and their types. Tried with PyTables 3.11.
    if sum(_COLUMN_BYTES + 8 * (len(name.encode()) // 8 + 1) for name in names) > _MESSAGE_BYTES:
        raise omero.InternalException("", "", "HDF5ExtError: Problems creating the table")


def _column(header: Header, values: list[Any]) -> Any:
    column = getattr(omero.grid, header.type)()
    column.name, column.description, column.values = header.name, header.description, values
    if header.type in _SIZED:
        column.size = header.size
    return column


def _check_sizes(header: Header, column: Any) -> None:
    if header.type not in _SIZED:
        return
    for value in column.values or ():
        length = len(value.encode()) if isinstance(value, str) else len(value)
        fits = length <= header.size if isinstance(value, str) else length == header.size
        if not fits:
            message = f"a value of {length} does not fit into the column {header.name} of size {header.size}"
            raise omero.ValidationException("", "", message)


def _stored(header: Header, values: Sequence[Any]) -> list[Any]:
    """Return the values of a column as they are kept."""
    if header.type == "StringColumn":
        # HDF5 pads texts with zeros, and so cannot tell the last ones of a text from its own.
        return [value.rstrip("\0") for value in values]
    return [list(value) for value in values] if header.type in _SIZED else list(values)
