"""Looking up a selection: what OMERO's answers become. The questions themselves are asked in the lab."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import omero.clients  # before the model, whose modules need each other
import omero.constants.permissions
import omero.model
import pytest
from omero.rtypes import rdouble, rint, rlong, rstring

from worker.errors import NotPermitted, RequestError
from worker.pixels.image import DEFAULT_COLOURS
from worker.pixels.selection import Selection, read_selection


class Answers:
    """A query service that answers by the class that a question begins with.

    Parameters
    ----------
    answers : dict
        The answer to ``"select <first selected expression> from <Class>"``, by ``"<expression> <Class>"``.
    """

    def __init__(self, answers: dict[str, list[Any]]) -> None:
        self._answers = answers

    def _answer(self, hql: str) -> list[Any]:
        selected, source = hql.removeprefix("select ").split(" from ", 1)
        return self._answers.get(f"{selected.split(',')[0]} {source.split()[0]}", [])

    def findAllByQuery(self, hql: str, parameters: object, context: object) -> list[Any]:  # noqa: N802  # OMERO's name
        return self._answer(hql)

    def projection(self, hql: str, parameters: object, context: object) -> list[Any]:
        return self._answer(hql)


def gateway(**answers: list[Any]) -> Any:
    questions = {
        "pixels": "p Pixels",
        "channels": "p.id Pixels",
        "plates": "p Plate",
        "wells": "w.plate.id Well",
        "datasets": "d.id Dataset",
        "links": "l.parent.id DatasetImageLink",
        "screens": "s.id Screen",
    }
    service = Answers({questions[name]: answer for name, answer in answers.items()})
    return SimpleNamespace(c=SimpleNamespace(sf=SimpleNamespace(getQueryService=lambda: service)), SERVICE_OPTS={})


def pixels(image_id: int = 12, *, restricted: bool = False, **sizes: Any) -> Any:
    image = omero.model.ImageI(image_id, True)
    image.setName(rstring("cells"))
    image.getDetails().setPermissions(permissions(restricted))
    result = omero.model.PixelsI(image_id + 100, True)
    result.setImage(image)
    for axis in "TCZYX":
        getattr(result, f"setSize{axis}")(rint(2))
    result.setPixelsType(omero.model.PixelsTypeI())
    result.getPixelsType().setValue(rstring("uint16"))
    for axis, length in sizes.items():
        getattr(result, f"setPhysicalSize{axis.upper()}")(length)
    return result


def permissions(restricted: bool) -> Any:
    result = omero.model.PermissionsI()
    result._extendedRestrictions = [omero.constants.permissions.BINARYACCESS] if restricted else []
    return result


def plate(*, restricted: bool = False) -> Any:
    result = omero.model.PlateI(5, True)
    result.setName(rstring("plate"))
    result.getDetails().setPermissions(permissions(restricted))
    return result


def chosen(**answers: list[Any]) -> Selection:
    return read_selection(gateway(**answers), "Image", [12])


def test_an_image_whose_raw_data_must_stay_is_not_exported() -> None:
    with pytest.raises(NotPermitted, match="Image 12"):
        chosen(pixels=[pixels(restricted=True)])


def test_a_plate_whose_raw_data_must_stay_is_not_exported() -> None:
    with pytest.raises(NotPermitted, match="Plate 5"):
        read_selection(gateway(plates=[plate(restricted=True)]), "Plate", [5])


@pytest.mark.parametrize(
    ("value", "unit", "expected"),
    [
        (0.5, "MICROMETER", 0.5),
        (500.0, "NANOMETER", 0.5),
        (1.0, "MILLIMETER", 1000.0),
        (2.0, "PIXEL", None),
        (2.0, "REFERENCEFRAME", None),
        (0.0, "MICROMETER", None),
        (-1.0, "MICROMETER", None),
        (float("nan"), "MICROMETER", None),
        (float("inf"), "MICROMETER", None),
    ],
)
def test_sizes_are_micrometres_or_unknown(value: float, unit: str, expected: float | None) -> None:
    (image,) = chosen(pixels=[pixels(x=omero.model.LengthI(value, unit))]).images
    assert image.pixel_size_x_um == (None if expected is None else pytest.approx(expected))


def test_time_is_in_seconds() -> None:
    source = pixels()
    source.setTimeIncrement(omero.model.TimeI(2.0, "MINUTE"))
    assert chosen(pixels=[source]).images[0].time_increment_s == pytest.approx(120)


def channel(index: int, *values: Any) -> list[Any]:
    return [rlong(112), rint(index), *values]


def test_channels_are_in_order_and_named_as_omero_names_them() -> None:
    nobody = [None] * 5
    rows = [
        channel(1, None, rdouble(525.0), *nobody),
        channel(0, rstring("DAPI"), rdouble(460.0), rint(255), rint(128), rint(0), rdouble(3), rdouble(900)),
    ]
    (image,) = chosen(pixels=[pixels()], channels=rows).images
    assert [c.label for c in image.channels] == ["DAPI", "525"]
    assert [c.colour for c in image.channels] == ["FF8000", DEFAULT_COLOURS[1]]
    assert (image.channels[0].minimum, image.channels[0].maximum) == (3, 900)


def test_limits_that_nobody_counted_are_unknown() -> None:
    rows = [channel(0, rstring("a"), None, None, None, None, rdouble(0), rdouble(1))]
    (image,) = chosen(pixels=[pixels()], channels=rows).images
    assert (image.channels[0].minimum, image.channels[0].maximum) == (None, None)


def test_channels_that_are_not_described_are_there_all_the_same() -> None:
    (image,) = chosen(pixels=[pixels()]).images
    assert [c.label for c in image.channels] == ["0", "1"]


@pytest.mark.parametrize("data_type", ["Project", "", "image"])
def test_another_data_type_is_refused(data_type: str) -> None:
    with pytest.raises(RequestError, match="Dataset, Image, Plate, Screen"):
        read_selection(gateway(), data_type, [1])


def test_a_choice_of_nothing_is_refused() -> None:
    with pytest.raises(RequestError, match="No Image"):
        read_selection(gateway(), "Image", [])


@pytest.mark.parametrize("data_type", ["Dataset", "Image", "Plate", "Screen"])
def test_what_cannot_be_found_is_named(data_type: str) -> None:
    with pytest.raises(RequestError, match=f"{data_type} 7, 9"):
        read_selection(gateway(), data_type, [9, 7])


@pytest.mark.parametrize(
    ("data_type", "answers"),
    [
        ("Dataset", {"datasets": [[rlong(1)]]}),
        ("Screen", {"screens": [[rlong(1), None]]}),
        ("Plate", {"plates": [plate()]}),
    ],
)
def test_a_container_without_images_is_refused(data_type: str, answers: dict[str, list[Any]]) -> None:
    with pytest.raises(RequestError, match=f"There is no (image|plate) in {data_type}"):
        read_selection(gateway(**answers), data_type, [5 if data_type == "Plate" else 1])
