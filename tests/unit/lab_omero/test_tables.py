from __future__ import annotations

from typing import TYPE_CHECKING, Any

import omero
import omero.grid
import omero.model
import pytest
from omero.rtypes import rlong, rstring

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.lab.omero.private import PrivateOmero


def columns(numbers: list[int], areas: list[float], names: list[str]) -> list[Any]:
    return [
        omero.grid.LongColumn("number", "which cell", numbers),
        omero.grid.DoubleColumn("area", "", areas),
        omero.grid.StringColumn("name", "", 8, names),
    ]


@pytest.fixture
def make_table() -> Callable[[Any], Any]:
    def make(gateway: Any) -> Any:
        table = gateway.c.sf.sharedResources().newTable(1, "results/cells.h5")
        table.initialize(columns([], [], []))
        table.addData(columns([1, 2, 3], [10.5, 20.0, 30.25], ["a", "b", "ä"]))
        return table

    return make


def values(data: Any) -> dict[str, list[Any]]:
    return {column.name: list(column.values) for column in data.columns}


def test_a_table_keeps_what_was_added(omero_server: PrivateOmero, make_table: Callable[[Any], Any]) -> None:
    with omero_server.login("alice") as alice:
        assert alice.c.sf.sharedResources().areTablesEnabled()
        table = make_table(alice)
        table.addData(columns([4], [1.0], ["d"]))
        assert table.getNumberOfRows() == 4
        assert [(header.name, header.ice_id()) for header in table.getHeaders()] == [
            ("number", "::omero::grid::LongColumn"),
            ("area", "::omero::grid::DoubleColumn"),
            ("name", "::omero::grid::StringColumn"),
        ]
        assert values(table.read([0, 2], 1, 3)) == {"number": [2, 3], "name": ["b", "ä"]}
        assert values(table.slice([1], [3, 0])) == {"area": [1.0, 10.5]}
        assert values(table.readCoordinates([2])) == {"number": [3], "area": [30.25], "name": ["ä"]}
        table.close()


@pytest.mark.parametrize(
    ("condition", "rows"),
    [
        ("area > 15", [1, 2]),
        ("(number == 1) | (name == 'b')", [0, 1]),
        ("(area > 15) & ~(number == wanted)", [1]),
        ("number != wanted", [0, 1]),
    ],
)
def test_rows_are_found_by_a_condition(
    omero_server: PrivateOmero, make_table: Callable[[Any], Any], condition: str, rows: list[int]
) -> None:
    with omero_server.login("alice") as alice:
        table = make_table(alice)
        assert table.getWhereList(condition, {"wanted": rlong(3)}, 0, 0, 0) == rows
        table.close()


@pytest.mark.parametrize("condition", ["__import__('os')", "nothing == 1", "area >", "number in (1, 2)", "name == 'ä'"])
def test_a_condition_that_is_not_understood_is_refused(
    omero_server: PrivateOmero, make_table: Callable[[Any], Any], condition: str
) -> None:
    with omero_server.login("alice") as alice:
        table = make_table(alice)
        with pytest.raises(omero.ApiUsageException, match="understood"):
            table.getWhereList(condition, {}, 0, 0, 0)
        table.close()


def test_rows_are_changed(omero_server: PrivateOmero, make_table: Callable[[Any], Any]) -> None:
    with omero_server.login("alice") as alice:
        table = make_table(alice)
        table.update(omero.grid.Data(0, [0, 2], [omero.grid.DoubleColumn("area", "", [1.0, 3.0])]))
        assert values(table.read([1], 0, 3)) == {"area": [1.0, 20.0, 3.0]}
        table.close()


def test_metadata_are_kept(omero_server: PrivateOmero, make_table: Callable[[Any], Any]) -> None:
    with omero_server.login("alice") as alice:
        table = make_table(alice)
        table.setMetadata("author", rstring("alice"))
        assert table.getMetadata("author").val == "alice"
        assert set(table.getAllMetadata()) == {"author"}
        table.close()


def test_texts_that_do_not_fit_are_refused(omero_server: PrivateOmero, make_table: Callable[[Any], Any]) -> None:
    with omero_server.login("alice") as alice:
        table = make_table(alice)
        with pytest.raises(omero.ValidationException, match="column name"):
            table.addData(columns([4], [1.0], ["more than eight"]))
        assert table.getNumberOfRows() == 3
        table.close()


def test_a_table_outlives_a_kill(own_server: PrivateOmero, make_table: Callable[[Any], Any]) -> None:
    own_server.start()
    with own_server.login("alice") as alice:
        table = make_table(alice)
        file_id = table.getOriginalFile().id.val
    own_server.kill()
    own_server.start()
    with own_server.login("alice") as alice:
        table = alice.c.sf.sharedResources().openTable(omero.model.OriginalFileI(file_id, False))
        assert values(table.read([1], 0, 3)) == {"area": [10.5, 20.0, 30.25]}
        table.close()


def test_others_read_a_table_of_their_group_but_do_not_write(
    omero_server: PrivateOmero, make_table: Callable[[Any], Any]
) -> None:
    with omero_server.login("alice", group="lab-a") as alice:
        table = make_table(alice)
        file_id = table.getOriginalFile().id.val
        table.close()
    with omero_server.login("bob", group="lab-a") as bob:
        table = bob.c.sf.sharedResources().openTable(omero.model.OriginalFileI(file_id, False), bob.SERVICE_OPTS)
        assert table.getNumberOfRows() == 3
        with pytest.raises(omero.SecurityViolation):
            table.addData(columns([4], [1.0], ["d"]))
        with pytest.raises(omero.SecurityViolation):
            table.delete()
        table.close()
    with omero_server.login("bob", group="lab-b") as bob, pytest.raises(omero.ValidationException):
        bob.c.sf.sharedResources().openTable(omero.model.OriginalFileI(file_id, False), bob.SERVICE_OPTS)


@pytest.mark.parametrize(
    ("columns", "error"),
    [
        ([omero.grid.LongColumn("a", "", []), omero.grid.DoubleColumn("a", "", [])], omero.ApiUsageException),
        ([omero.grid.LongColumn("__a", "", [])], omero.ApiUsageException),
        ([omero.grid.StringColumn("a", "", 0, [])], omero.ApiUsageException),
        ([omero.grid.LongColumn("a", "µm", [])], omero.InternalException),
        ([omero.grid.LongColumn(f"column_{number}", "", []) for number in range(1_000)], omero.InternalException),
    ],
    ids=["same name", "reserved", "no size", "not ASCII", "too many"],
)
def test_columns_that_pytables_refuses_are_refused(
    omero_server: PrivateOmero, columns: list[Any], error: type[omero.ServerError]
) -> None:
    with omero_server.login("alice") as alice:
        table = alice.c.sf.sharedResources().newTable(1, "refused.h5")
        with pytest.raises(error):
            table.initialize(columns)
        table.close()


def test_a_table_is_initialised_once(omero_server: PrivateOmero, make_table: Callable[[Any], Any]) -> None:
    with omero_server.login("alice") as alice:
        table = make_table(alice)
        with pytest.raises(omero.ValidationException, match="Already"):
            table.initialize(columns([], [], []))
        assert table.getNumberOfRows() == 3
        table.close()


def test_zeros_at_the_end_of_a_text_are_lost(omero_server: PrivateOmero, make_table: Callable[[Any], Any]) -> None:
    with omero_server.login("alice") as alice:
        table = make_table(alice)
        table.addData(columns([4], [1.0], ["a\0b\0"]))
        assert values(table.read([2], 3, 4)) == {"name": ["a\0b"]}
        table.close()


def test_names_that_a_database_does_not_hold_are_refused(omero_server: PrivateOmero) -> None:
    with omero_server.login("alice") as alice:
        dataset = omero.model.DatasetI()
        dataset.setName(rstring("d" * 256))
        with pytest.raises(omero.ValidationException, match="255"):
            alice.getUpdateService().saveObject(dataset)
