"""What the importer and the web plugin have configured, as far as results in place need it: folders and a database.

Three files of other services say where the results of a group go, and none of them is ours: the importer's
``settings.yml`` (``base_dir``), and the web plugin's ``biomero-config.json`` and ``group-mappings.json``, of which the
latter wins for a group that both name. They are read whenever they are asked for: admins change them while runs go on.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Final

import yaml
from pydantic import SecretStr

from worker.errors import SettingsError
from worker.settings.file_replacement import read_settled

if TYPE_CHECKING:
    from collections.abc import Mapping

    from worker.settings.environment import WorkerEnvironment

SETTINGS_FILE: Final = Path("/opt/omero/server/config-importer/settings.yml")
"""Where the importer's settings are if `IMPORTER_CONFIG_PATH` does not say."""

CONFIG_FILE: Final = Path("/opt/omero/server/biomero-config.json")
"""Where the web plugin's settings are if `OMERO_BIOMERO_CONFIG_FILE` does not say."""

MAPPINGS_FILE: Final = Path("/opt/omero/server/group-mappings.json")
"""Where its mapping of groups is if `OMERO_BIOMERO_GROUP_MAPPINGS_FILE` does not say."""

NAME_BYTES: Final = 255
"""Longest name of a folder that file systems take."""

_TRUE: Final = (True, 1, "true", "yes", "on", "1")


@dataclass(frozen=True, slots=True)
class GroupMapping:
    """The folder that an admin has given to a group.

    Parameters
    ----------
    key : str
        Key of the entry, which is the group's id.
    group_name : str
        Name of the group; empty where the entry has none.
    folder : str
        The folder, as written.
    file : Path
        The file that says so.
    problem : str
        What is wrong with the entry; empty if nothing is.
    """

    key: str
    group_name: str
    folder: str
    file: Path
    problem: str = ""

    @property
    def place(self) -> str:
        """Where the entry stands, for messages."""
        return f"{self.file}, group mapping {self.key!r}"


@dataclass(frozen=True, slots=True)
class ImporterSettings:
    """Where results in place go, and whom to tell.

    Parameters
    ----------
    file : Path
        The importer's settings.
    base_dir : Path
        Where the storage is mounted: here, in the importer and in OMERO's server.
    database_url : SecretStr
        The importer's database.
    registers_zarr : bool
        Whether the importer registers OME-Zarr (otherwise it hands it to Bio-Formats).
    mappings : tuple of GroupMapping
        Folders of groups that are not named after them.
    """

    file: Path
    base_dir: Path
    database_url: SecretStr
    registers_zarr: bool = True
    mappings: tuple[GroupMapping, ...] = ()

    def group_folder(self, group_name: str, group_id: int | None = None) -> Path:
        """Locate the folder of a group, which need not be there yet.

        Parameters
        ----------
        group_name : str
            Name of the group in OMERO.
        group_id : int, optional
            Its id, which decides where several entries have its name.

        Returns
        -------
        Path
            An absolute path below `base_dir`; no link on the way leads out of it.

        Raises
        ------
        SettingsError
            If the group has no folder that is safe to write to; the message names file and key.
        """
        mapping = self._mapping(group_name, group_id)
        if mapping is None:
            relative = _own_folder(group_name)
            where = f"group {group_name!r}, which has no entry in the group mappings"
        else:
            relative = _mapped_folder(mapping, self.base_dir)
            where = mapping.place
        folder = self.base_dir / relative
        try:
            inside = folder.resolve().is_relative_to(self.base_dir.resolve())
        except (OSError, RuntimeError) as error:
            raise SettingsError(f"The folder {folder} ({where}) cannot be looked at: {error}.") from error
        if not inside:
            raise SettingsError(
                f"The folder {folder} ({where}) is a link that leads out of base_dir ({self.base_dir}).",
                remedy="Results are written below base_dir only: mend the link, or map the group to another folder.",
            )
        if ".zarr" in str(folder).lower():
            raise SettingsError(
                f"The folder {folder} ({where}) has '.zarr' in its path: the importer would take every file in it for "
                "OME-Zarr.",
                remedy="Map the group to a folder without it.",
            )
        return folder

    def problems(self) -> tuple[str, ...]:
        """Say what is wrong with the mapping of any group."""
        found = []
        for mapping in self.mappings:
            try:
                _mapped_folder(mapping, self.base_dir)
            except SettingsError as error:
                found.append(str(error))
        return tuple(found)

    def _mapping(self, group_name: str, group_id: int | None) -> GroupMapping | None:
        """Find the entry of a group: by its name, and among several by its id."""
        named = [each for each in self.mappings if each.group_name == group_name]
        if not named:
            # Newer versions of the plugin need not write the name.
            return next((each for each in self.mappings if not each.group_name and each.key == str(group_id)), None)
        own = [each for each in named if each.key == str(group_id)]
        if own or len({each.folder for each in named}) == 1:
            return (own or named)[0]
        places = " and ".join(each.place for each in named)
        raise SettingsError(
            f"Group {group_name!r} is mapped to different folders: {places}.", remedy="Leave the one that is meant."
        )


def read_importer_settings(environment: WorkerEnvironment) -> ImporterSettings:
    """Read what other services have configured, as it is now.

    Parameters
    ----------
    environment : WorkerEnvironment
        Names the files.

    Returns
    -------
    ImporterSettings
        What they say.

    Raises
    ------
    SettingsError
        Naming file and key of what is wrong or missing.
    """
    file = environment.importer_config_path or SETTINGS_FILE
    data = _read_yaml(file)
    base_dir = data.get("base_dir")
    if not isinstance(base_dir, str) or not PurePosixPath(base_dir).is_absolute():
        raise SettingsError(
            f"{file}: base_dir is {base_dir!r}, but must be the absolute path of the storage.",
            remedy="Set it to where the storage is mounted, such as /data.",
        )
    url = environment.ingest_tracking_db_url
    if url is None:
        written = data.get("ingest_tracking_db")
        if not isinstance(written, str) or not written.strip():
            raise SettingsError(
                f"INGEST_TRACKING_DB_URL is not set, and {file} has no ingest_tracking_db either.",
                remedy="Name the importer's database in a file, and that file with INGEST_TRACKING_DB_URL_FILE.",
            )
        url = SecretStr(written.strip())
    config = environment.omero_biomero_config_file or CONFIG_FILE
    overlay = environment.omero_biomero_group_mappings_file or MAPPINGS_FILE
    shared = _read_json(config).get("group_mappings") or {}
    if not isinstance(shared, dict):
        raise SettingsError(f"{config}: group_mappings must be an object whose keys are ids of groups.")
    mappings = {key: _entry(key, value, config) for key, value in shared.items()}
    mappings |= {key: _entry(key, value, overlay) for key, value in _read_json(overlay).items()}
    registers = data.get("use_register_zarr", True)
    return ImporterSettings(
        file,
        Path(base_dir),
        url,
        registers_zarr=(registers.lower() if isinstance(registers, str) else registers) in _TRUE,
        mappings=tuple(mappings.values()),
    )


def _read_yaml(file: Path) -> Mapping[str, Any]:
    if not file.exists():
        raise SettingsError(
            f"The importer's settings {file} are not there, and IMPORTER_ENABLED is true.",
            remedy="Mount them as the importer has them, or say with IMPORTER_CONFIG_PATH where they are.",
        )
    try:
        data = yaml.safe_load(read_settled(file))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise SettingsError(f"The importer's settings {file} are not YAML: {' '.join(str(error).split())}.") from error
    if not isinstance(data, dict):
        raise SettingsError(f"The importer's settings {file} hold no keys.", remedy="base_dir must be there.")
    return data


def _read_json(file: Path) -> Mapping[str, Any]:
    """Read an object; a file that is not there, or empty, says nothing."""
    text = read_settled(file)
    if not text.strip():
        return {}
    try:
        data = json.loads(text)
    except ValueError as error:
        raise SettingsError(f"{file} is not JSON: {error}.", remedy="Save the settings in OMERO.web again.") from error
    if not isinstance(data, dict):
        raise SettingsError(f"{file} must hold an object.")
    return data


def _entry(key: str, value: object, file: Path) -> GroupMapping:
    if not isinstance(value, dict):
        return GroupMapping(key, "", "", file, "it must be an object with folder and groupName")
    folder, name = value.get("folder"), value.get("groupName", "")
    if not isinstance(name, str):
        return GroupMapping(key, "", "", file, f"groupName is {name!r}, but must be the name of a group")
    if not isinstance(folder, str) or not folder.strip():
        return GroupMapping(key, name, "", file, f"folder is {folder!r}, but must be a folder below base_dir")
    return GroupMapping(key, name, folder, file)


def _own_folder(group_name: str) -> PurePosixPath:
    """Take a group's name for a folder, if it is fit for one."""
    why = ""
    if not group_name or group_name.strip(".") == "" or group_name.isspace():
        why = "is no name of a folder"
    elif "/" in group_name or not group_name.isprintable():
        why = "holds a character that no name of a folder can hold"
    elif group_name.startswith("."):
        why = "begins with a dot, so that its folder would be hidden"
    elif len(group_name.encode("utf-8", "surrogatepass")) > NAME_BYTES:
        why = "is too long for the name of a folder"
    if why:
        raise SettingsError(
            f"The name of group {group_name!r} {why}.",
            remedy="Map the group to a folder in OMERO.web (importer, admin settings), or rename the group.",
        )
    return PurePosixPath(group_name)


def _mapped_folder(mapping: GroupMapping, base_dir: Path) -> PurePosixPath:
    """Take the folder of an entry, if it lies below `base_dir`: relative, or absolute and below it all the same."""
    problem = mapping.problem
    path = PurePosixPath(mapping.folder)
    if not problem and (".." in path.parts or not mapping.folder.isprintable()):
        problem = f"folder is {mapping.folder!r}, which must neither climb with '..' nor hold control characters"
    if not problem and path.is_absolute():
        if path.is_relative_to(base_dir):
            path = path.relative_to(base_dir)
        else:
            problem = f"folder is {mapping.folder!r}, which lies outside base_dir ({base_dir})"
    if not problem and path == PurePosixPath():
        problem = f"folder is {mapping.folder!r}, which is base_dir itself, and no group's own"
    if problem:
        raise SettingsError(
            f"{mapping.place}: {problem}.", remedy="Name a folder below base_dir, relative to it, such as 'lab/cells'."
        )
    return path
