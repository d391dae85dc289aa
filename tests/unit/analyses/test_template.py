"""The command line of a biomero-schema descriptor, filled in."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.analyses.descriptor import parse_descriptor
from worker.analyses.parameters import command_line

if TYPE_CHECKING:
    from worker.analyses.model import Analysis


def analysis(command: str, **configuration: str) -> Analysis:
    document = {
        "name": "x",
        "schema-version": "biomero-0.1",
        "container-image": {"image": "org/x"},
        "configuration": configuration,
        "inputs": [
            {"id": "images", "type": "image", "value-key": "[IMAGES]", "command-line-flag": "--images"},
            {"id": "size", "type": "integer", "value-key": "SIZE", "default-value": 3, "optional": True},
            {"id": "note", "type": "string", "value-key": "[@ID]", "optional": True},
        ],
        "outputs": [{"id": "results", "type": "file", "value-key": "[RESULTS]"}],
        "command-line": command,
    }
    return parse_descriptor(json.dumps(document), source="descriptor.json")


def line(subject: Analysis, **values: object) -> list[str]:
    return command_line(subject, values, infolder="/in", outfolder="/out", gtfolder="/gt")


@pytest.mark.parametrize(
    "program",
    [
        "tool", "./tool", "python wrapper.py", "python3.11 -u wrapper.py", "python -m package",
        "/usr/bin/env python x.py", "conda run -n cells --no-capture-output python -m package",
        "java -Xmx4g -jar tool.jar", "",
    ],
)  # fmt: skip
def test_the_program_is_left_out(program: str) -> None:
    assert line(analysis(f"{program} [IMAGES] [RESULTS] [SIZE]")) == ["--images=/in", "/out", "--size=3"]


@pytest.mark.parametrize(
    ("template", "filled"),
    [
        ("--images [IMAGES]", ["--images", "/in"]),
        ("--images=[IMAGES]", ["--images=/in"]),
        ("-i [IMAGES]", ["-i", "/in"]),
        ("--local -nmc [IMAGES]", ["--local", "-nmc", "--images=/in"]),
        ("[IMAGES]/a:[IMAGES]/b", ["/in/a:/in/b"]),
        ("--images [IMAGES] --size SIZE", ["--images", "/in", "--size", "3"]),
        ("--images [IMAGES] --size=@size", ["--images", "/in", "--size=3"]),
        ("--images [IMAGES] 'two words' --flag", ["--images", "/in", "two words", "--flag"]),
        ("[CYTOMINE_HOST] --images [IMAGES] --host [CYTOMINE_HOST] --key=[CYTOMINE_KEY]", ["--images", "/in"]),
        ("--images [INFOLDER] --truth [GTFOLDER]", ["--images", "/in", "--truth", "/gt"]),
    ],
)
def test_keys_are_replaced(template: str, filled: list[str]) -> None:
    rest = [] if "size" in template.lower() else ["--size=3"]
    assert line(analysis(f"python x.py {template} [OUTFOLDER]")) == [*filled, "/out", *rest]


def test_what_has_no_value_is_left_out_with_its_option() -> None:
    subject = analysis("x [IMAGES] --note [NOTE] --prefix=[NOTE] [RESULTS] [SIZE]")
    assert line(subject) == ["--images=/in", "/out", "--size=3"]
    assert line(subject, note="a b") == ["--images=/in", "--note", "a b", "--prefix=a b", "/out", "--size=3"]


def test_what_the_template_does_not_name_follows_at_its_end() -> None:
    assert line(analysis("x [IMAGES] [RESULTS]"), note="n")[2:] == ["--size=3", "--note=n"]


@pytest.mark.parametrize(
    "command",
    [
        "",
        "python x.py",
        "x [IMAGES]",
        "x [RESULTS]",
        "x [IMAGES] [RESULTS] [UNKNOWN]",
        "x '[IMAGES] [RESULTS]",
        "bash -c 'x [IMAGES]'",
    ],
)
def test_a_template_that_cannot_be_filled_counts_for_nothing(command: str) -> None:
    subject = analysis(command)
    assert subject.style == "biaflows"
    assert line(subject)[:2] == ["--infolder", "/in"]


def test_folders_that_the_container_knows_need_not_be_named() -> None:
    subject = analysis("x --size [SIZE]", input_folder="/inputs", output_folder="/outputs")
    assert (subject.style, line(subject)) == ("biomero", ["--size", "3"])


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1))
def test_a_value_stays_one_word_whatever_it_holds(text: str) -> None:
    words = line(analysis("x [IMAGES] [RESULTS] a[NOTE]b --note [NOTE] [NOTE]"), note=text)
    assert words[2] == f"a{text}b"
    assert words[-2] == f"--note={text}"
    assert words[3:-2] in ([f"--note={text}"], ["--note", text])
