"""Which files a parameter takes."""

from __future__ import annotations

import pytest

from worker.errors import RequestError
from worker.pixels.attachments import require_format


@pytest.mark.parametrize("formats", [(), ("",), ("csv",), (".CSV", "tsv"), ("ome.tiff", "csv")])
def test_an_ending_that_is_allowed_passes(formats: tuple[str, ...]) -> None:
    require_format("Table.csv", formats)


@pytest.mark.parametrize("name", ["table.csv.exe", "csv", "tablecsv", ""])
def test_an_ending_that_is_not_allowed_is_refused(name: str) -> None:
    with pytest.raises(RequestError, match=r"ends with \.csv or \.tsv"):
        require_format(name, ("csv", "tsv"))
