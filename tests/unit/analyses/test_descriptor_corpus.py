"""Descriptors as they are written in the wild: what becomes of them, and what is said about broken ones."""

from __future__ import annotations

import json
from pathlib import Path, PurePosixPath
from typing import Any

import pytest

from worker.analyses.descriptor import parse_descriptor
from worker.analyses.model import Analysis
from worker.analyses.parameters import command_line
from worker.errors import DescriptorError, RequestError

FOLDER = Path(__file__).parent / "descriptors"
EXPECTED = sorted(FOLDER.glob("*/*.expected.json"))
BROKEN: dict[str, str] = {
    "flag.json": r"line 9: inputs\[1\]\.command-line-flag: 'b' is not an option such as --b",
    "twice.json": r"line 6: inputs: the id 'a' is there twice",
    "comma.json": r"line 4, column 3: this is not JSON",
    "choices.json": r"line 7: inputs\[0\]\.value-choices-labels: must be as many as value-choices, 2",
    "image-type.json": r"line 6: inputs\[0\]\.type: 'Image' is not one of Number",
    "no-image.yaml": r"line 4: docker_image\.name: is missing",
    "indent.yaml": r"line 4, column \d+: this is not YAML",
    "parameter-type.yaml": r"line 10: parameters\[0\]\.type: 'colour' is not one of array, boolean, checkbox",
    "parameter-default.yaml": r"line 12: parameters\[0\]\.default: must be a whole number, and is 2\.50",
    "mode.yaml": r"line 11: parameters\[0\]\.mode: 'expert' is not one of beginner, advanced",
    "no-tag-name.yaml": r"line 9: parameters\[0\]\.name: is missing",
    "order.yaml": r"line 11: parameters\[0\]\.cli_order: must be a whole number, and is 1\.5",
    "bomb.yaml": r"holds more than \d+ values",
    "itself.yaml": r"a value that holds itself",
    "merge.yaml": r"line 6 has a key that is not a text",
    "python.yaml": r"line 2 holds a value of the type 'tag:yaml\.org,2002:python/object/apply:os\.system'",
    "list.yaml": r"holds no fields, and so no descriptor",
    "cwl.yaml": r"is a CWL or OpenAPI document",
    "other.json": r"is no descriptor: it has neither a schema-version nor container-image",
    "folder.json": r"line 6: configuration\.input_folder: '\.\./in' is not the full path of a folder",
    "outputs.json": r"line 6: outputs\[0\]\.id: is missing",
    "resources.json": r"line 6: configuration\.resources\.ram-min: must be a number, and is 'much'",
}


def read(path: Path) -> Analysis:
    return parse_descriptor(path.read_bytes(), source=path.name)


def load(path: Path) -> tuple[Analysis, dict[str, Any]]:
    (descriptor,) = (other for other in path.parent.glob(path.name.replace(".expected.json", ".*")) if other != path)
    return read(descriptor), json.loads(path.read_text(encoding="utf-8"))


def run(analysis: Analysis, case: dict[str, Any]) -> list[str]:
    folders = {key: [str(PurePosixPath(path).parent) for path in paths] for key, paths in case.get("files", {}).items()}
    return command_line(analysis, case["values"], infolder="/in", outfolder="/out", gtfolder="/gt", files=folders)


@pytest.mark.parametrize("path", EXPECTED, ids=lambda path: f"{path.parent.name}-{path.name.partition('.')[0]}")
class TestADescriptorOfTheWild:
    def test_says_what_the_analysis_is(self, path: Path) -> None:
        analysis, expected = load(path)
        found = analysis.to_json()
        assert {key: found[key] for key in expected["analysis"]} == expected["analysis"]

    def test_says_what_persons_are_asked_for(self, path: Path) -> None:
        analysis, expected = load(path)
        asked = [f"{item.id} {item.type} {item.default!r}" for item in analysis.parameters if item.asked]
        assert asked == expected["asked"]
        assert [f"{item.id} {item.file_count}" for item in analysis.files] == expected.get("files", [])

    def test_becomes_arguments(self, path: Path) -> None:
        analysis, expected = load(path)
        assert [run(analysis, case) for case in expected["commands"]] == [case["argv"] for case in expected["commands"]]

    def test_refuses_what_does_not_fit(self, path: Path) -> None:
        analysis, expected = load(path)
        for case in expected.get("refused", []):
            with pytest.raises(RequestError) as caught:
                run(analysis, case)
            assert case["message"] in str(caught.value)

    def test_survives_the_catalogue(self, path: Path) -> None:
        analysis, _ = load(path)
        assert Analysis.from_json(json.loads(json.dumps(analysis.to_json()))) == analysis


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_descriptor_is_refused_with_file_line_field_and_reason(name: str) -> None:
    with pytest.raises(DescriptorError, match=rf"^{name}.*{BROKEN[name]}"):
        read(FOLDER / "broken" / name)


def test_every_broken_descriptor_is_expected() -> None:
    assert sorted(path.name for path in (FOLDER / "broken").iterdir()) == sorted(BROKEN)
