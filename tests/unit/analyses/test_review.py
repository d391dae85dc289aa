"""What an author of a descriptor is told to look at again."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.unit.analyses.conftest import descriptor, entry
from worker.analyses import review
from worker.analyses.descriptor import parse_descriptor

if TYPE_CHECKING:
    from collections.abc import Mapping


def remarks(*inputs: Mapping[str, object], **fields: object) -> tuple[str, ...]:
    return review.remarks(parse_descriptor(json.dumps(descriptor(*inputs, **fields)), source="d.json"))


def test_a_good_descriptor_gets_none() -> None:
    good = entry("size", default_value=3, minimum=1, maximum=9), entry("name", "String", optional=True)
    assert remarks(*good) == ()


@pytest.mark.parametrize(
    ("field", "remark"),
    [
        (entry("a", default_value=1, command_line_flag="-diameter"), "a: '-diameter' is an unusual option"),
        (entry("a", default_value=1, command_line_flag="--a;b"), "a: '--a;b' is an unusual option"),
        (entry("a"), "a: it has no default and is not optional"),
        (entry("a", "String", default_value="x", value_choices=["y"]), "a: the default 'x' is none of its choices"),
        (entry("a", default_value=0, minimum=1), "a: the default 0 is outside of its limits"),
        (entry("a", default_value=9.5, maximum=9), "a: the default 9.5 is outside of its limits"),
        (entry("a", default_value=1, minimum=0.1), "a: it takes whole numbers, but a limit is 0.1"),
        (entry("a", default_value=2**31), "a: the default 2147483648 is too large"),
        (entry("a_|_b", default_value=1), "a_|_b: the id contains _|_"),
        (entry("a", default_value=1, command_line_flag="--infolder"), "a: --infolder is given to each container"),
    ],
)
def test_what_will_surprise_somebody_is_named(field: Mapping[str, object], remark: str) -> None:
    assert any(one.startswith(remark) for one in remarks(field)), remarks(field)


def test_two_parameters_with_one_option_are_named() -> None:
    pair = (entry(name, default_value=1, command_line_flag="--x") for name in "ab")
    assert remarks(*pair) == ("a, b have the same option, --x.",)


@pytest.mark.parametrize(
    ("fields", "remark"),
    [
        ({"description": None}, "It has no description"),
        ({"container_image": {"image": "o/w:latest", "type": "docker"}}, "The tag of its image is latest"),
        ({"schema_version": "biomero-0.1"}, "It names nothing to cite"),
        ({"schema_version": "biomero-0.1"}, "Its command-line cannot be filled in"),
    ],
)
def test_what_is_missing_in_the_whole_is_named(fields: Mapping[str, object], remark: str) -> None:
    found = remarks(**fields)
    assert any(one.startswith(remark) for one in found), found


def test_a_parameter_for_which_nothing_is_allowed_is_told_in_the_words_a_person_would_read() -> None:
    assert remarks(entry("a", minimum=1.2, maximum=1.8))[-1].startswith("No command line can be written for it: ")


def test_the_example_is_what_one_would_type() -> None:
    needed = (
        entry("size", minimum=4),
        entry("ratio", "Float", maximum=0.5),
        entry("kind", "String", value_choices=["a b"]),
    )
    analysis = parse_descriptor(json.dumps(descriptor(*needed, entry("on", "Boolean"))), source="d.json")
    assert review.example(analysis) == (
        "--infolder /data/in --gtfolder /data/gt --outfolder /data/out --size=4 --ratio=0.5 '--kind=a b' --on=False "
        "--local -nmc"
    )
