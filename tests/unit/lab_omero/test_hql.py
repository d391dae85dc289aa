from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.lab.omero.hql.engine import Engine
from tests.lab.omero.hql.parser import parse
from tests.lab.omero.hql.syntax import QueryError
from tests.lab.omero.model.store import Store

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    path: Path = tmp_path_factory.mktemp("hql") / "store.sqlite"
    store = Store(path)
    with store.transaction():
        first, second = store.new("Dataset", name="First"), store.new("Dataset", name="second")
        for number in range(4):
            image = store.new("Image", name=f"image {number}", description="even" if number % 2 == 0 else None)
            store.new("Pixels", image=image, sizeX=10 * number)
            store.new("DatasetImageLink", parent=first if number < 3 else second, child=image)
        annotation = store.new("MapAnnotation", ns="test", mapValue=[("colour", "red"), ("size", "3")])
        store.new("TagAnnotation", textValue="tag")
        store.new("ImageAnnotationLink", parent=store.all("Image")[1], child=annotation)
    yield store
    store.close()


@pytest.mark.parametrize(
    ("query", "parameters", "rows"),
    [
        ("select i.id from Image i where i.id in (:ids)", {"ids": [2, 3, 99]}, [[2], [3]]),
        ("select i.id from Image i where i.name like '%2'", {}, [[3]]),
        ("select d.name from Dataset d order by lower(d.name) desc", {}, [["second"], ["First"]]),
        ("select i.id from Image i where i.description is null", {}, [[2], [4]]),
        ("select i.id from Image i where not (i.description = 'even')", {}, []),
        ("select count(*) from Image i where i.pixels.sizeX >= 10", {}, [[3]]),
        ("select l.parent.id, count(l.id) from DatasetImageLink l group by l.parent.id", {}, [[1, 3], [2, 1]]),
        ("select d.id from Dataset d join d.imageLinks l join l.child i where i.id = 4", {}, [[2]]),
        (
            "select d.id from Dataset d where exists (select l from DatasetImageLink l where l.parent = d)",
            {},
            [[1], [2]],
        ),
        ("select d.id from Dataset d where size(d.imageLinks) > 1", {}, [[1]]),
        (
            "select d.id, (select count(id) from DatasetImageLink dil where dil.parent = d) from Dataset d",
            {},
            [[1, 3], [2, 1]],
        ),
        (
            (
                "select i.id, nv.value from ImageAnnotationLink l join l.parent i join l.child a join a.mapValue nv "
                "where nv.name = 'colour' and a.class = MapAnnotation"
            ),
            {},
            [[2, "red"]],
        ),
        (
            "select case when i.id < 3 then 'low' else 'high' end from Image i where i.id in (2, 3)",
            {},
            [["low"], ["high"]],
        ),
        ("select max(p.sizeX), min(p.sizeX), sum(p.sizeX), avg(p.sizeX) from Pixels p", {}, [[30, 0, 60, 15.0]]),
        ("select distinct d.name from Dataset d join d.imageLinks l where d.id = 1", {}, [["First"]]),
        ("select i.id from Image i where i.id between 2 and 3 or i.id = 1", {}, [[1], [2], [3]]),
        ("select i.id from Image i left outer join i.annotationLinks l where l.id is null", {}, [[1], [3], [4]]),
        ("select i.id from Image i left outer join i.annotationLinks l where i.id < 3 and l.id is null", {}, [[1]]),
        ("select i.id from Image i left outer join i.annotationLinks l where l.id > 99", {}, []),
        (
            (
                "select i.id, d.id from Image i left outer join i.datasetLinks l left join l.parent d"
                " where d.id = 1 and i.id > 2"
            ),
            {},
            [[3, 1]],
        ),
        ("select d.id, i.id from Dataset d, Image i where i.id = 4 and d.name = 'second'", {}, [[2, 4]]),
        (
            (
                "select d.id, i.id from Dataset d, Image i where i.id > 2"
                " and exists (select l from DatasetImageLink l where l.parent = d and l.child = i)"
            ),
            {},
            [[1, 3], [2, 4]],
        ),
    ],
)
def test_a_query_finds_what_it_asks_for(store: Store, query: str, parameters: dict[str, Any], rows: list[Any]) -> None:
    assert Engine(store, parameters).rows(parse(query)) == rows


def test_fetching_decides_what_is_loaded(store: Store) -> None:
    found = Engine(store).objects(parse("select d from Dataset d left outer join fetch d.imageLinks l where d.id = 1"))
    dataset = store.all("Dataset")[0]
    assert found.roots == [dataset] * 3, "a join multiplies, unless the query says distinct"
    assert found.collections == {(dataset, "imageLinks"): store.collection(dataset, "imageLinks")}
    assert store.all("Image")[0] not in found.loaded


def test_what_the_caller_may_not_see_is_not_there(store: Store) -> None:
    engine = Engine(store, may_see=lambda row: row.id != 1)
    assert engine.rows(parse("select i.id from Image i")) == [[2], [3], [4]]
    assert engine.rows(
        parse("select i.id, d.id from Image i left outer join i.datasetLinks l left join l.parent d")
    ) == [
        [2, None],
        [3, None],
        [4, 2],
    ]


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        ("select i.colour from Image i", "could not resolve property: colour of: Image"),
        ("select i from Image i join i.pixels p where p.image.nothing = 1", "could not resolve property: nothing"),
        ("select p from Picture p", "Picture is not mapped"),
        ("select i from Image i where i.id > all (select j.id from Image j)", "not supported"),
        ("select soundex(i.name) from Image i", "the function soundex is not supported"),
        ("select i from Image i full join i.pixels", "FULL is not supported"),
        ("select i from Image i where", "not understood"),
        ("select i from Image i where i.id = 1 limit 3", "not understood"),
        ("select i from Image i where i.name = #", "unexpected character"),
        ("update Image set name = 'x'", "expected FROM"),
    ],
)
def test_a_query_that_is_wrong_or_not_understood_is_refused_with_its_text(query: str, reason: str) -> None:
    with pytest.raises(QueryError, match=reason) as caught:
        parse(query)
    assert query in str(caught.value)


def test_a_parameter_without_a_value_is_refused(store: Store) -> None:
    with pytest.raises(QueryError, match="Named parameter not bound : id"):
        Engine(store).rows(parse("select i from Image i where i.id = :id"))
