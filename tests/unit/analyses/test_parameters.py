"""From what a person entered to the command line of the container."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.analyses.model import Analysis, Parameter, ParameterType, Value
from worker.analyses.parameters import check_values, command_line, extensions, fixed_values
from worker.errors import RequestError


def parameter(
    identity: str = "p",
    kind: ParameterType = "string",
    default: Value | None = None,
    *,
    optional: bool = False,
    choices: tuple[str, ...] = (),
    minimum: float | None = None,
    maximum: float | None = None,
    set_by_server: bool = False,
) -> Parameter:
    return Parameter(
        id=identity, name=identity, type=kind, default=default, optional=optional, flag=f"--{identity}",
        choices=choices, minimum=minimum, maximum=maximum, set_by_server=set_by_server,
    )  # fmt: skip


def analysis(*parameters: Parameter) -> Analysis:
    return Analysis("Nuclei", "", "org/w", "cytomine-0.1", parameters)


def line(subject: Analysis, **values: object) -> list[str]:
    return command_line(subject, values, infolder="/in", outfolder="/out", gtfolder="/gt")


def test_the_command_line_has_folders_parameters_and_an_end() -> None:
    subject = analysis(parameter("diameter", "float", 30.0), parameter("model", "string", "cyto"))
    assert line(subject, diameter=12.5) == [
        "--infolder", "/in", "--gtfolder", "/gt", "--outfolder", "/out",
        "--diameter=12.5", "--model=cyto", "--local", "-nmc",
    ]  # fmt: skip


def test_switches_are_given_as_words() -> None:
    assert line(analysis(parameter("gpu", "boolean", default=True)))[6:-2] == ["--gpu=True"]
    assert line(analysis(parameter("gpu", "boolean", default=True)), gpu=False)[6:-2] == ["--gpu=False"]


def test_an_optional_text_without_value_is_left_out() -> None:
    subject = analysis(parameter("a", optional=True), parameter("b", default="", optional=True))
    assert line(subject)[6:-2] == []
    assert line(subject, a="", b=None)[6:-2] == []


def test_clearing_an_optional_text_that_has_a_default_leaves_it_out() -> None:
    assert line(analysis(parameter("a", default="x", optional=True)), a="")[6:-2] == []


def test_a_required_text_may_be_empty_if_somebody_says_so() -> None:
    assert line(analysis(parameter("a")), a="")[6:-2] == ["--a="]


def test_what_the_server_sets_is_left_out_and_cannot_be_given() -> None:
    subject = analysis(parameter("a", default="x", set_by_server=True))
    assert line(subject)[6:-2] == []
    with pytest.raises(RequestError, match="no parameter 'a'"):
        check_values(subject, {"a": "y"})


def test_what_nobody_is_asked_for_takes_its_default() -> None:
    subject = analysis(replace(parameter("a", default="x"), hidden=True), parameter("b", default="y"))
    assert line(subject)[6:-2] == ["--a=x", "--b=y"]
    assert (check_values(subject, {}), fixed_values(subject)) == ({"b": "y"}, {"a": "x"})
    with pytest.raises(RequestError, match="no parameter 'a'"):
        check_values(subject, {"a": "z"})


def test_a_choice_may_be_given_by_its_label_unless_that_is_another_choice() -> None:
    labelled = replace(parameter("channel", choices=("0", "1")), choice_labels=("GRAY", "RED"))
    assert check_values(analysis(labelled), {"channel": "RED"}) == {"channel": "1"}
    crossed = replace(labelled, choice_labels=("1", "0"))
    assert check_values(analysis(crossed), {"channel": "1"}) == {"channel": "1"}
    with pytest.raises(RequestError, match=r"one of 0 \(GRAY\), 1 \(RED\)"):
        check_values(analysis(labelled), {"channel": "GREEN"})


def test_formats_have_all_the_extensions_that_go_by_their_name() -> None:
    formats = ("tif", "ometiff", "csv", "tiff")
    found = extensions(replace(parameter("a"), file_attachment=True, formats=formats))
    assert found == ("tif", "tiff", "ome.tif", "ome.tiff", "csv")


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")))
def test_a_text_arrives_exactly_as_typed(text: str) -> None:
    assert line(analysis(parameter("a")), a=text)[6] == f"--a={text}"


@pytest.mark.parametrize(
    "text",
    ["it's", '"quoted"', "$(touch pwned)", "`id`", "two\nlines", "a  b ", "; rm -rf /", "Zoë μm 細胞", "--flag", "\\"],
)
def test_a_program_receives_a_text_exactly_as_typed(text: str) -> None:
    argv = line(analysis(parameter("a")), a=text)
    echo = "import sys; sys.stdout.buffer.write(sys.argv[7].encode('utf-8', 'surrogateescape'))"
    received = subprocess.run([sys.executable, "-c", echo, *argv], check=True, capture_output=True).stdout
    assert received.decode() == f"--a={text}"


@pytest.mark.parametrize(
    ("kind", "given_value", "expected"),
    [("integer", 3, 3), ("integer", 1.0, 1), ("integer", "7", 7), ("integer", " 7 ", 7), ("integer", "1e2", 100),
     ("float", 3, 3.0), ("float", "0.5", 0.5), ("float", 1e-7, 1e-7), ("boolean", "yes", True), ("boolean", 0, False),
     ("string", 5, "5"), ("string", " x ", " x ")],
)  # fmt: skip
def test_values_take_the_type_of_their_parameter(kind: ParameterType, given_value: object, expected: Value) -> None:
    checked = check_values(analysis(parameter("a", kind)), {"a": given_value})["a"]
    assert checked == expected
    assert type(checked) is type(expected)


@pytest.mark.parametrize(
    ("kind", "given_value", "allowed"),
    [
        ("integer", 1.5, "a whole number"), ("integer", "1.5", "a whole number"), ("integer", True, "a whole number"),
        ("integer", "1_0", "a whole number"), ("integer", float("inf"), "a whole number"), ("integer", [1], "a whole"),
        ("integer", 10**400, "a whole number"), ("float", "many", "a number"), ("float", float("nan"), "a number"),
        ("float", "1e999", "a number"), ("boolean", "maybe", "true or false"), ("boolean", 2, "true or false"),
        ("boolean", 1.0, "true or false"), ("string", ["a"], "a text"), ("string", "a\0b", "a text"),
        ("string", "\ud800", "a text"),
    ],
)  # fmt: skip
def test_a_value_that_is_not_allowed_is_named_with_what_is(
    kind: ParameterType, given_value: object, allowed: str
) -> None:
    with pytest.raises(RequestError) as caught:
        check_values(analysis(parameter("size", kind)), {"size": given_value})
    assert "is not allowed for size of Nuclei" in caught.value.message
    assert repr(given_value)[:80] in caught.value.message
    assert f"It must be {allowed}" in caught.value.remedy


def test_only_choices_are_allowed_where_there_are_any() -> None:
    subject = analysis(parameter("model", default="cyto", choices=("cyto", "nuclei")))
    assert check_values(subject, {"model": "nuclei"}) == {"model": "nuclei"}
    with pytest.raises(RequestError, match=r"'cells' is not allowed for model.*one of cyto, nuclei"):
        check_values(subject, {"model": "cells"})


def test_choices_of_a_number_are_compared_as_numbers() -> None:
    subject = analysis(parameter("scale", "float", choices=("1", "0.5")))
    assert check_values(subject, {"scale": 1.0}) == {"scale": 1.0}
    with pytest.raises(RequestError):
        check_values(subject, {"scale": 2})


def test_the_default_of_a_descriptor_is_always_allowed() -> None:
    subject = analysis(parameter("model", default="auto", choices=("cyto", "nuclei")))
    assert check_values(subject, {}) == check_values(subject, {"model": "auto"}) == {"model": "auto"}


@pytest.mark.parametrize("value", [0, 11])
def test_limits_are_inclusive_and_named(value: int) -> None:
    subject = analysis(parameter("n", "integer", minimum=1, maximum=10))
    assert check_values(subject, {"n": 1}) == {"n": 1}
    assert check_values(subject, {"n": 10}) == {"n": 10}
    with pytest.raises(RequestError, match="a whole number of at least 1 and of at most 10"):
        check_values(subject, {"n": value})


def test_a_missing_value_is_asked_for() -> None:
    with pytest.raises(RequestError, match=r"Nuclei needs a value for n\. It must be a whole number\."):
        check_values(analysis(parameter("n", "integer")), {"n": ""})


def test_an_unknown_parameter_is_refused_with_the_nearest() -> None:
    subject = analysis(parameter("diameter", "integer", 3))
    with pytest.raises(RequestError, match=r"no parameter 'diametre' .*Did you mean diameter\?"):
        check_values(subject, {"diametre": 3})


def test_checking_twice_changes_nothing() -> None:
    subject = analysis(parameter("a", "integer", 3), parameter("b", "float"), parameter("c", optional=True))
    once = check_values(subject, {"b": "2"})
    assert check_values(subject, once) == once == {"a": 3, "b": 2.0}
