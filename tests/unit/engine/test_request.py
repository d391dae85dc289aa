"""The request of a run, checked at the door."""

from __future__ import annotations

import json
from uuid import UUID

import pytest

from worker.engine.request import RunRequest, parse_request
from worker.errors import RequestError

GOOD: dict[str, object] = {
    "data_type": "Image",
    "ids": [1, 2],
    "workflows": [{"name": "nuclei", "version": "v1.0.0", "parameters": {"diameter": 20, "label": 'x"; rm -rf "'}}],
    "user_id": 3,
    "user_name": "ann",
    "group_id": 4,
    "group_name": "lab",
}

PARENT = {"run_id": str(UUID(int=1)), "index": 1, "total": 3}


@pytest.mark.parametrize("change", [{}, {"batch": {"size": 32}}, {"parent": PARENT}])
def test_a_request_survives_its_way_through_the_record_unchanged(change: dict[str, object]) -> None:
    request = parse_request(GOOD | change)
    assert RunRequest.model_validate(json.loads(json.dumps(request.model_dump(mode="json")))) == request


def test_parameters_keep_the_types_that_were_typed() -> None:
    parameters = {"flag": True, "count": 1, "scale": 1.0, "text": "1"}
    request = parse_request(GOOD | {"workflows": [{"name": "n", "version": "v", "parameters": parameters}]})
    kept = RunRequest.model_validate_json(request.model_dump_json()).workflows[0].parameters
    assert [type(kept[name]) for name in parameters] == [bool, int, float, str]


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"ids": []}, "ids"),
        ({"ids": [0]}, "ids.0"),
        ({"data_type": "Project"}, "data_type"),
        ({"workflows": []}, "workflows"),
        ({"ome_zarr_version": "0.6"}, "ome_zarr_version"),
        ({"surprise": 1}, "surprise"),
        ({"workflows": [{"name": "a", "version": "1"}, {"name": "a", "version": "2"}]}, "workflows"),
        ({"workflows": [{"name": "a", "version": "1", "parameters": {"x": float("nan")}}]}, "workflows.0.parameters"),
        ({"batch": {"size": 0}}, "batch.size"),
        ({"batch": {"size": 1, "parallel": 0}}, "batch.parallel"),
        ({"parent": {"run_id": str(UUID(int=1)), "index": 4, "total": 3}}, "parent: .*no batch 4 of 3"),
        ({"batch": {"size": 1}, "parent": PARENT}, "a batch cannot be split"),
    ],
)
def test_what_does_not_fit_is_named(change: dict[str, object], field: str) -> None:
    with pytest.raises(RequestError, match=rf"cannot be accepted: .*{field}"):
        parse_request(GOOD | change)


@pytest.mark.parametrize(
    ("change", "format_"),
    [
        ({}, "tiff"),
        ({"use_zarr": True}, "zarr-0.4"),
        ({"use_zarr": True, "ome_zarr_version": "0.5"}, "zarr-0.5"),
        ({"ome_zarr_version": "0.5"}, "tiff"),
    ],
)
def test_the_format_follows_from_the_dialog(change: dict[str, object], format_: str) -> None:
    assert parse_request(GOOD | change).export_format == format_
