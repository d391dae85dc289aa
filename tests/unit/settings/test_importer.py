"""Where the results of a group go, from files that three other services have written."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worker.errors import SettingsError
from worker.settings.environment import read_environment
from worker.settings.importer import ImporterSettings, read_importer_settings

if TYPE_CHECKING:
    from collections.abc import Callable

Read = "Callable[..., ImporterSettings]"


@pytest.fixture
def read(tmp_path: Path) -> Callable[..., ImporterSettings]:
    """Read settings from files with this content; ``None`` leaves a file away."""
    data = tmp_path / "data"
    data.mkdir()

    def read(
        *,
        importer: str | None = f"base_dir: {data}\ningest_tracking_db: sqlite:////orders.sqlite\n",
        config: Any = None,
        overlay: Any = None,
        **variables: str,
    ) -> ImporterSettings:
        environ = {
            "IMPORTER_CONFIG_PATH": str(tmp_path / "settings.yml"),
            "OMERO_BIOMERO_CONFIG_FILE": str(tmp_path / "biomero-config.json"),
            "OMERO_BIOMERO_GROUP_MAPPINGS_FILE": str(tmp_path / "group-mappings.json"),
            "OMERO_WORKER_STATE_DIR": str(tmp_path),
            **variables,
        }
        if importer is not None:
            _write(tmp_path / "settings.yml", importer)
        for name, content in (("biomero-config.json", config), ("group-mappings.json", overlay)):
            if content is not None:
                _write(tmp_path / name, content if isinstance(content, str) else json.dumps(content))
        return read_importer_settings(read_environment(environ))

    return read


def _write(file: Path, text: str) -> None:
    file.write_text(text)
    # As if nobody had touched it for a while: a file that was just written is watched until it keeps still.
    os.utime(file, (1_700_000_000, 1_700_000_000))


def mapped(folder: object, name: object = "Cells", key: str = "3") -> dict[str, Any]:
    return {"group_mappings": {key: {"folder": folder, "groupName": name}}}


def test_a_group_without_mapping_has_the_folder_of_its_name(read: Callable[..., ImporterSettings]) -> None:
    found = read()

    assert found.group_folder("team-a") == found.base_dir / "team-a"
    assert found.database_url.get_secret_value() == "sqlite:////orders.sqlite"


def test_a_mapping_is_found_by_the_name_of_the_group(read: Callable[..., ImporterSettings]) -> None:
    found = read(config=mapped("core facility/cells"))

    assert found.group_folder("Cells") == found.base_dir / "core facility" / "cells"
    assert found.group_folder("cells") == found.base_dir / "cells", "names of groups are case-sensitive in OMERO"


def test_the_file_of_mappings_wins_over_the_shared_one_group_by_group(read: Callable[..., ImporterSettings]) -> None:
    found = read(
        config={
            "group_mappings": {"3": {"folder": "old", "groupName": "Cells"}, "4": {"folder": "b", "groupName": "B"}}
        },
        overlay={"3": {"folder": "new", "groupName": "Cells"}},
    )

    assert found.group_folder("Cells") == found.base_dir / "new"
    assert found.group_folder("B") == found.base_dir / "b"


def test_an_entry_without_a_name_counts_by_the_id_of_the_group(read: Callable[..., ImporterSettings]) -> None:
    found = read(overlay={"13": {"folder": "Project A"}})

    assert found.group_folder("Whatever", 13) == found.base_dir / "Project A"
    assert found.group_folder("Whatever", 12) == found.base_dir / "Whatever"


def test_of_two_entries_with_one_name_the_id_decides(read: Callable[..., ImporterSettings]) -> None:
    two = {"3": {"folder": "a", "groupName": "Cells"}, "7": {"folder": "b", "groupName": "Cells"}}
    found = read(overlay=two)

    assert found.group_folder("Cells", 7) == found.base_dir / "b"
    with pytest.raises(SettingsError, match=r"mapped to different folders: .*'3' and .*'7'"):
        found.group_folder("Cells", 9)


def test_an_absolute_folder_is_taken_if_it_lies_below_the_storage(
    read: Callable[..., ImporterSettings], tmp_path: Path
) -> None:
    found = read(config=mapped(str(tmp_path / "data" / "lab" / "x")))

    assert found.group_folder("Cells") == tmp_path / "data" / "lab" / "x"


@pytest.mark.parametrize(
    ("folder", "message"),
    [
        ("../other", "climb"),
        ("a/../../other", "climb"),
        ("/etc", "outside base_dir"),
        ("a\nb", "control characters"),
        ("a\x00b", "control characters"),
        (".", "base_dir itself"),
        ("./", "base_dir itself"),
        ("", "must be a folder"),
        ("  ", "must be a folder"),
        (7, "must be a folder"),
        (None, "must be a folder"),
        (["a"], "must be a folder"),
    ],
)
def test_a_mapping_that_leads_elsewhere_is_refused_by_file_and_key(
    read: Callable[..., ImporterSettings], tmp_path: Path, folder: object, message: str
) -> None:
    found = read(config=mapped(folder))

    with pytest.raises(SettingsError, match=message) as caught:
        found.group_folder("Cells")
    assert str(tmp_path / "biomero-config.json") in str(caught.value)
    assert "'3'" in str(caught.value)
    assert found.problems() == (str(caught.value),)


def test_a_broken_entry_of_one_group_is_no_concern_of_another(read: Callable[..., ImporterSettings]) -> None:
    found = read(config={"group_mappings": {"3": "cells", "4": {"folder": "../x", "groupName": "Bad"}}})

    assert found.group_folder("Good") == found.base_dir / "Good"
    assert len(found.problems()) == 2


@pytest.mark.parametrize(
    "name", ["", "..", ".", "...", "a/b", "/etc", "../x", "a\x00b", "a\nb", ".hidden", "x" * 256, " ", "\ud800"]
)
def test_an_odd_name_of_a_group_is_no_folder(read: Callable[..., ImporterSettings], name: str) -> None:
    with pytest.raises(SettingsError, match="The name of group") as caught:
        read().group_folder(name)
    assert "Map the group" in caught.value.remedy


def test_an_odd_name_may_be_mapped(read: Callable[..., ImporterSettings]) -> None:
    found = read(config=mapped("imaging", name="Imaging / FACS"))

    assert found.group_folder("Imaging / FACS") == found.base_dir / "imaging"


def test_a_link_out_of_the_storage_is_not_followed(read: Callable[..., ImporterSettings], tmp_path: Path) -> None:
    (tmp_path / "data" / "Cells").symlink_to("/tmp")

    with pytest.raises(SettingsError, match="link that leads out of base_dir"):
        read().group_folder("Cells")


def test_a_link_within_the_storage_is_followed(read: Callable[..., ImporterSettings], tmp_path: Path) -> None:
    (tmp_path / "data" / "real").mkdir()
    (tmp_path / "data" / "Cells").symlink_to(tmp_path / "data" / "real")

    assert read().group_folder("Cells") == tmp_path / "data" / "Cells"


def test_a_folder_that_the_importer_would_take_for_zarr_is_refused(read: Callable[..., ImporterSettings]) -> None:
    with pytest.raises(SettingsError, match="OME-Zarr"):
        read(config=mapped("plates.zarr/cells")).group_folder("Cells")


@given(folder=st.text(), name=st.text())
@settings(max_examples=300)
def test_no_folder_lies_outside_the_storage(tmp_path_factory: pytest.TempPathFactory, folder: str, name: str) -> None:
    base = Path("/nowhere/at/all")
    for mappings in ((), _mappings(folder, name)):
        found = ImporterSettings(Path("s"), base, _url(), mappings=mappings)
        try:
            place = found.group_folder(name, 3)
        except SettingsError:
            continue
        assert place != base
        assert Path(os.path.normpath(place)).is_relative_to(base)


def _url() -> Any:
    from pydantic import SecretStr

    return SecretStr("sqlite://")


def _mappings(folder: str, name: str) -> Any:
    from worker.settings.importer import GroupMapping

    return (GroupMapping("3", name, folder, Path("f")),)


@pytest.mark.parametrize(
    ("importer", "message"),
    [
        (None, r"settings\.yml are not there"),
        ("base_dir: data", "base_dir is 'data'"),
        ("log_level: INFO", "base_dir is None"),
        ("base_dir: 7", "base_dir is 7"),
        ("- a", "hold no keys"),
        ("", "hold no keys"),
        ("a: [", "not YAML"),
        ("base_dir: /data", "no ingest_tracking_db either"),
    ],
)
def test_what_is_wrong_with_the_importers_settings_is_said(
    read: Callable[..., ImporterSettings], tmp_path: Path, importer: str | None, message: str
) -> None:
    with pytest.raises(SettingsError, match=message) as caught:
        read(importer=importer)
    assert str(tmp_path / "settings.yml") in str(caught.value)


@pytest.mark.parametrize("text", ["{", "[1]", '{"group_mappings": 3}'])
def test_what_is_wrong_with_the_plugins_settings_is_said(read: Callable[..., ImporterSettings], text: str) -> None:
    with pytest.raises(SettingsError, match=r"biomero-config\.json"):
        read(config=text)


def test_the_variable_wins_over_the_importers_settings(read: Callable[..., ImporterSettings]) -> None:
    found = read(INGEST_TRACKING_DB_URL="postgresql://u:secret@h/d")

    assert found.database_url.get_secret_value() == "postgresql://u:secret@h/d"
    assert "secret" not in repr(found)


def test_what_was_changed_counts_at_once(read: Callable[..., ImporterSettings]) -> None:
    assert read(config=mapped("one")).group_folder("Cells").name == "one"
    assert read(config=mapped("two")).group_folder("Cells").name == "two"


@pytest.mark.parametrize(("text", "registers"), [("true", True), ("false", False), ('"false"', False), ("yes", True)])
def test_whether_the_importer_registers_zarr_is_read(
    read: Callable[..., ImporterSettings], tmp_path: Path, text: str, *, registers: bool
) -> None:
    base = f"base_dir: {tmp_path / 'data'}\ningest_tracking_db: sqlite://\nuse_register_zarr: {text}\n"

    assert read(importer=base).registers_zarr is registers
