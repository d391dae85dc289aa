"""What is not known is refused by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

import omero
import omero.cmd
import pytest

if TYPE_CHECKING:
    from tests.lab.omero.private import PrivateOmero


def test_an_unknown_operation_is_named_to_the_client_and_in_the_log(omero_server: PrivateOmero) -> None:
    with omero_server.login("alice") as alice, pytest.raises(omero.InternalException) as caught:
        alice.c.sf.getRoiService().getRoiMeasurements(1, None)
    assert "IRoi.getRoiMeasurements" in caught.value.message
    assert "IRoi.getRoiMeasurements" in omero_server.log_file.read_text(encoding="utf-8")


def test_a_query_that_is_not_understood_is_shown_to_the_client(omero_server: PrivateOmero) -> None:
    query = "select i from Image i where soundex(i.name) = 'x'"
    with omero_server.login("alice") as alice:
        for ask in (alice.getQueryService().findAllByQuery, alice.getQueryService().projection):
            with pytest.raises(omero.ApiUsageException) as caught:
                ask(query, None)
            assert query in caught.value.message


def test_a_property_that_does_not_exist_is_refused_even_when_there_are_no_rows(omero_server: PrivateOmero) -> None:
    with omero_server.login("alice") as alice, pytest.raises(omero.ApiUsageException, match="could not resolve"):
        alice.getQueryService().projection("select e.nothing from Experiment e", None)


def test_an_unknown_request_is_named(omero_server: PrivateOmero) -> None:
    with omero_server.login("alice") as alice, pytest.raises(omero.CmdError) as caught:
        alice.c.submit(omero.cmd.DiskUsage2())
    assert "DiskUsage2" in str(caught.value.err.parameters)


@pytest.mark.parametrize("operation", ["getPlane", "getTile"])
def test_pixels_outside_of_an_image_are_refused(omero_server: PrivateOmero, operation: str) -> None:
    import numpy as np

    from tests.lab.omero.images import import_image

    with omero_server.login("alice") as alice:
        image = alice.getObject("Image", import_image(alice, np.zeros((3, 4), "uint8"), "small"))
        store = alice.c.sf.createRawPixelsStore()
        store.setPixelsId(image.getPixelsId(), True)
        arguments = (1, 0, 0) if operation == "getPlane" else (0, 0, 0, 2, 0, 3, 3)
        with pytest.raises(omero.ApiUsageException, match="outside of the image"):
            getattr(store, operation)(*arguments)
        store.close()
