"""Reading BIAFLOWS descriptors, with everything that authors do to them."""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING

import hypothesis
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.analyses.conftest import descriptor, entry
from worker.analyses.descriptor import parse_descriptor
from worker.analyses.model import Analysis
from worker.analyses.parameters import command_line
from worker.errors import DescriptorError, RequestError

if TYPE_CHECKING:
    from worker.analyses.model import Parameter


def read(document: object) -> Analysis:
    return parse_descriptor(json.dumps(document), source="descriptor.json")


def read_one(identity: str = "diameter", kind: str = "Number", **fields: object) -> Parameter:
    (parameter,) = read(descriptor(entry(identity, kind, **fields))).parameters
    return parameter


def test_name_description_image_and_schema_are_read() -> None:
    analysis = read(descriptor())
    assert (analysis.name, analysis.description) == ("NucleiSegmentation", "Segments nuclei")
    assert (analysis.image, analysis.schema_version) == ("org/w_nuclei", "cytomine-0.1")


def test_a_missing_description_is_the_name() -> None:
    analysis = read(descriptor(entry("diameter", name="Diameter"), description=None))
    assert analysis.description == "NucleiSegmentation"
    assert analysis.parameters[0].description == "Diameter"


def test_inputs_for_cytomine_are_left_out() -> None:
    analysis = read(descriptor(entry("cytomine_host", "String"), entry("Cytomine_id_project"), entry("diameter")))
    assert [parameter.id for parameter in analysis.parameters] == ["diameter"]


def test_abbreviations_are_filled_in() -> None:
    parameter = read_one("nuc_Diam", value_key="@ID", command_line_flag="--@id")
    assert (parameter.flag, parameter.value_key) == ("--nuc_Diam", "NUC_DIAM")
    parameter = read_one("nuc_Diam", value_key="[@id]", command_line_flag="--@ID")
    assert (parameter.flag, parameter.value_key) == ("--NUC_DIAM", "[nuc_Diam]")


@pytest.mark.parametrize("flag", [None, "", " "])
def test_without_a_flag_it_is_the_id(flag: str | None) -> None:
    assert read_one("diameter", command_line_flag=flag).flag == "--diameter"


def test_an_equal_sign_at_the_end_of_a_flag_is_not_part_of_it() -> None:
    assert read_one(command_line_flag="--d=").flag == "--d"


@pytest.mark.parametrize("flag", ["diameter", "--a b", "--a=b", "-", "--a\nb"])
def test_what_is_no_option_is_refused(flag: str) -> None:
    with pytest.raises(DescriptorError, match=r"inputs\[0\]\.command-line-flag: .* is not an option"):
        read_one(command_line_flag=flag)


@pytest.mark.parametrize(
    ("written", "kind", "default"),
    [(5, "integer", 5), (5.0, "float", 5.0), (0.4, "float", 0.4), ("5", "integer", 5), ("0.5", "float", 0.5),
     (None, "integer", None), ("", "integer", None), (-3, "integer", -3)],
)  # fmt: skip
def test_a_number_is_a_float_only_if_its_default_is_written_as_one(
    written: object, kind: str, default: float | None
) -> None:
    parameter = read_one(default_value=written)
    assert (parameter.type, parameter.default) == (kind, default)
    assert type(parameter.default) is type(default)


@pytest.mark.parametrize("kind", ["String", "Domain", "ListDomain", "string"])
def test_domains_are_texts(kind: str) -> None:
    assert read_one("model", kind, default_value="nuclei").type == "string"


def test_the_default_of_a_text_may_be_written_as_a_number() -> None:
    assert read_one("channel", "String", default_value=1.5).default == "1.5"


@pytest.mark.parametrize(("written", "expected"), [(True, True), ("false", False), (1, True), ("", None), (None, None)])
def test_switches_are_read(written: object, *, expected: bool | None) -> None:
    assert read_one("use_gpu", "Boolean", default_value=written).default is expected


@pytest.mark.parametrize(
    ("kind", "default"), [("Number", "many"), ("Number", True), ("Number", [1]), ("Boolean", "maybe"), ("String", {})]
)
def test_a_default_of_another_type_is_refused(kind: str, default: object) -> None:
    with pytest.raises(DescriptorError, match=r"^descriptor\.json, line 1: inputs\[0\]\.default-value: must be "):
        read_one("x", kind, default_value=default)


def test_choices_limits_and_switches_of_an_input_are_read() -> None:
    parameter = read_one(
        "d", default_value=2, value_choices=[1, 2, "3"], minimum=1, max=3, optional=True, set_by_server=True
    )
    assert parameter.choices == ("1", "2", "3")
    assert (parameter.minimum, parameter.maximum) == (1, 3)
    assert parameter.optional
    assert parameter.set_by_server


def test_an_id_twice_is_refused() -> None:
    with pytest.raises(DescriptorError, match=r"inputs: the id 'd' is there twice"):
        read(descriptor(entry("d"), entry("d")))


def test_an_unknown_type_is_refused_with_what_is_allowed() -> None:
    with pytest.raises(DescriptorError, match=r"inputs\[0\]\.type: 'Image' is not one of Number, String, Boolean"):
        read_one("x", "Image")


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        (descriptor(name=None), r"name: is missing"),
        (descriptor(container_image=None), r"container-image: is missing"),
        (descriptor(container_image={"type": "singularity"}), r"container-image\.image: is missing"),
        (descriptor(container_image={"image": "a b"}), r"not the name of an image"),
        (descriptor(inputs=None), r"inputs: is missing"),
        (descriptor(inputs={"a": 1}), r"inputs: must be a list of objects"),
        (descriptor({"type": "Number"}), r"inputs\[0\]\.id: is missing"),
        (descriptor(entry("a b")), r"inputs\[0\]\.id: 'a b' holds white space"),
        (descriptor(entry("a", value_choices="x")), r"value-choices: must be a list"),
        (descriptor(entry("a", minimum=2, maximum=1)), r"minimum: 2 is more than the maximum"),
        ({"cwlVersion": "v1.0"}, r"a CWL or OpenAPI document"),
        ({"docker_image": {}}, r"docker_image\.name: is missing"),
        ({"schema-version": "biomero-1.0"}, r"inputs: is missing"),
        ({"name": "x"}, r"neither a schema-version nor container-image and inputs"),
        ([], r"holds no fields"),
    ],
)  # fmt: skip
def test_what_is_missing_or_wrong_is_named(document: object, reason: str) -> None:
    with pytest.raises(DescriptorError, match=rf"^descriptor\.json.*{reason}"):
        read(document)


def test_without_a_schema_version_image_and_inputs_tell_the_schema() -> None:
    assert read(descriptor(schema_version=None)).schema_version == "cytomine-0.1"


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        ('{"name": ', r"line 1, column 10: this is not JSON"),
        (b"\xff\xfe{}", r"cannot be read"),
        ('{"name": NaN}', r"NaN is no number"),
        ("[" * 100_000, r"cannot be read"),
    ],
)
def test_what_is_not_json_is_refused(data: str | bytes, reason: str) -> None:
    with pytest.raises(DescriptorError, match=reason):
        parse_descriptor(data, source="d")


@pytest.mark.parametrize("tag", ["1.10", "010", "1:30", "1_000", "2025-01-02", "1e3", "0x1F"])
def test_a_version_in_yaml_is_read_as_it_is_written(tag: str) -> None:
    text = f"docker_image: {{org: org, name: name, tag: {tag}}}"
    assert parse_descriptor(text, source="config.yaml").image == f"org/name:{tag}"


def test_a_byte_order_mark_is_fine() -> None:
    assert (
        parse_descriptor(b"\xef\xbb\xbf" + json.dumps(descriptor()).encode(), source="d").name == "NucleiSegmentation"
    )


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
_TYPES = ["Number", "Boolean", "String", "Domain", "integer", "float", "checkbox", "radio", "textbox", "image", "file"]
_KEYS = [
    "id", "name", "type", "default-value", "default", "optional", "value-choices", "value-choices-labels", "options",
    "command-line-flag", "cli_tag", "cli_order", "append_value", "minimum", "value-key", "mode", "format", "file_count",
    "output_dir_set", "set-by-server", "subtype", "sub-type",
]  # fmt: skip
_words = st.sampled_from([*_TYPES, "--a", "-x", "a=", "", "None", "1.0", "[A]", "beginner", "single"])
_record = st.dictionaries(st.sampled_from(_KEYS), _json | _words, max_size=9)
_records = st.lists(_record | st.fixed_dictionaries({"id": _words, "name": _words, "type": st.sampled_from(_TYPES)}))
_documents = st.fixed_dictionaries(
    {"name": st.just("x") | _json},
    optional={
        "schema-version": st.sampled_from(["cytomine-0.1", "biomero-0.1", "1.0.0"]) | _json,
        "container-image": st.just({"image": "org/name"}) | _json,
        "docker_image": st.just({"org": "org", "name": "name"}) | _json,
        "inputs": _records | _json,
        "outputs": _records | _json,
        "parameters": _records | _json,
        "exec_function": st.fixed_dictionaries({"hidden_args": _records}) | _json,
        "configuration": st.fixed_dictionaries({"resources": _json, "input_folder": _words}) | _json,
        "citations": _records | _json,
        "command-line": _words | st.sampled_from(["python x [A] --a [B] [INFOLDER] [OUTFOLDER]", "a 'b", "x [A]"]),
    },
)


@hypothesis.settings(max_examples=200)
@given(_documents)
def test_whatever_an_author_writes_is_read_or_refused_but_never_crashes(document: dict[str, object]) -> None:
    for text in (json.dumps(document), yaml.safe_dump(document)):
        try:
            analysis = parse_descriptor(text, source="d")
        except DescriptorError:
            continue
        assert Analysis.from_json(json.loads(json.dumps(analysis.to_json()))) == analysis
        with contextlib.suppress(RequestError):
            words = command_line(analysis, {}, infolder="/in", outfolder="/out", gtfolder="/gt")
            assert all(isinstance(word, str) for word in words)


@given(st.binary() | st.text())
def test_whatever_a_file_holds_is_refused_but_never_crashes(data: bytes | str) -> None:
    with pytest.raises(DescriptorError):
        parse_descriptor(data, source="d")


_YAML = st.text(st.sampled_from("a:-&*<[]{}!|>#'\"\n ,?%@\t~0.1"), max_size=60)


@given(_YAML)
def test_whatever_looks_like_yaml_is_refused_but_never_crashes(text: str) -> None:
    with pytest.raises(DescriptorError):
        parse_descriptor(f"docker_image: {{org: o}}\n{text}", source="d.yaml")
