"""What an analysis is: its container image and its parameters, whatever schema described them.

Only the standard library, as script dialogs read these on every opening of the menu.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, cast, get_args

from worker.analyses.record import (
    fields_of,
    read_count,
    read_list,
    read_number,
    read_record,
    read_switch,
    read_text,
    read_texts,
    read_word,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

ParameterType = Literal["integer", "float", "boolean", "string"]
FileCount = Literal["single", "multiple"]
Folder = Literal["", "input", "output"]
Mode = Literal["beginner", "advanced"]
Style = Literal["biaflows", "bilayers", "biomero"]
Value = int | float | bool | str

PARAMETER_TYPES: tuple[ParameterType, ...] = get_args(ParameterType)
FILE_COUNTS: tuple[FileCount, ...] = get_args(FileCount)
FOLDERS: tuple[Folder, ...] = get_args(Folder)
MODES: tuple[Mode, ...] = get_args(Mode)
STYLES: tuple[Style, ...] = get_args(Style)
_PYTHON_TYPES: Mapping[str, tuple[type, ...]] = {
    "integer": (int,),
    "float": (float, int),
    "boolean": (bool,),
    "string": (str,),
}


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter of an analysis.

    Parameters
    ----------
    id : str
        Its name in the descriptor, unique within the analysis.
    name : str
        Its name for persons.
    type : {"integer", "float", "boolean", "string"}
        The type of its values.
    default : int | float | bool | str | None
        The value that counts where none is given; None where there is none.
    optional : bool
        Whether it may be left out of the command line.
    flag : str
        Its option on the command line, such as ``--diameter``; empty if its value stands alone.
    value_key : str
        Where its value stands in the descriptor's own command line; kept for the record.
    description : str
        What it does, for persons.
    choices : tuple[str, ...]
        The only values allowed, as text; empty if any value is.
    set_by_server : bool
        Whether it is ours to set, and nobody may give it: a folder, or something that only another server knows.
    minimum : float | None
        The smallest number allowed, inclusive; None if there is no limit.
    maximum : float | None
        The largest number allowed, inclusive; None if there is no limit.
    choice_labels : tuple[str, ...]
        What persons call the choices, in the same order; empty if they are shown as they are.
    file_attachment : bool
        Whether its value is a file of OMERO, which is brought to the cluster and takes the place of the value.
    formats : tuple[str, ...]
        The extensions that files may have, in lower case and without dot; empty if any.
    file_count : {"single", "multiple"}
        Whether one file may be given or several.
    folder : {"", "input", "output"}
        The folder of the run whose path is its value; empty if it is something else.
    append_value : bool
        Whether the value follows the option. Without, the option stands alone if the value is true, and is left out
        if it is false.
    cli_order : int | None
        Its place on the command line among those that have one; they come before those without.
    mode : {"beginner", "advanced"}
        For whom it is.
    hidden : bool
        Whether persons are not asked for it; it takes its default.
    """

    id: str
    name: str
    type: ParameterType
    default: Value | None
    optional: bool
    flag: str
    value_key: str = ""
    description: str = ""
    choices: tuple[str, ...] = ()
    set_by_server: bool = False
    minimum: float | None = None
    maximum: float | None = None
    choice_labels: tuple[str, ...] = ()
    file_attachment: bool = False
    formats: tuple[str, ...] = ()
    file_count: FileCount = "single"
    folder: Folder = ""
    append_value: bool = True
    cli_order: int | None = None
    mode: Mode = "beginner"
    hidden: bool = False

    @property
    def asked(self) -> bool:
        """Whether a person may give a value for it; a file is given in another way than a value."""
        return not (self.set_by_server or self.hidden or self.file_attachment)

    def to_json(self) -> dict[str, object]:
        """Express it in JSON types.

        Returns
        -------
        dict[str, object]
            One item per field.
        """
        return fields_of(self)

    @classmethod
    def from_json(cls, data: object) -> Parameter:
        """Read what `to_json` gave.

        Parameters
        ----------
        data : object
            The JSON value.

        Returns
        -------
        Parameter
            The parameter.

        Raises
        ------
        ValueError
            It is not what `to_json` gives.
        """
        record = read_record(data)
        kind = read_word(record, "type", PARAMETER_TYPES)
        default = record.get("default")
        if default is not None and not is_value(default, kind):
            raise ValueError(f"default is {default!r}, and the type is {kind}")
        return cls(
            id=read_text(record, "id"),
            name=read_text(record, "name"),
            type=kind,
            default=cast("Value | None", default),
            optional=read_switch(record, "optional"),
            flag=read_text(record, "flag"),
            value_key=read_text(record, "value_key"),
            description=read_text(record, "description"),
            choices=read_texts(record, "choices"),
            set_by_server=read_switch(record, "set_by_server"),
            minimum=read_number(record, "minimum"),
            maximum=read_number(record, "maximum"),
            choice_labels=read_texts(record, "choice_labels"),
            file_attachment=read_switch(record, "file_attachment"),
            formats=read_texts(record, "formats"),
            file_count=read_word(record, "file_count", FILE_COUNTS),
            folder=read_word(record, "folder", FOLDERS),
            append_value=read_switch(record, "append_value"),
            cli_order=read_count(record, "cli_order"),
            mode=read_word(record, "mode", MODES),
            hidden=read_switch(record, "hidden"),
        )


@dataclass(frozen=True, slots=True)
class HiddenArgument:
    """An argument that the container always gets, and that persons neither see nor change.

    Parameters
    ----------
    flag : str
        Its option; empty if its value stands alone.
    value : str
        Its value.
    append_value : bool
        Whether the value follows the option; without, the option stands alone, unless the value says false.
    cli_order : int | None
        Its place on the command line among those that have one; they come before those without.
    """

    flag: str
    value: str
    append_value: bool = True
    cli_order: int | None = None

    @classmethod
    def from_json(cls, data: object) -> HiddenArgument:
        """Read it from JSON types; what does not fit is a `ValueError`."""
        record = read_record(data)
        return cls(
            flag=read_text(record, "flag"),
            value=read_text(record, "value"),
            append_value=read_switch(record, "append_value"),
            cli_order=read_count(record, "cli_order"),
        )


@dataclass(frozen=True, slots=True)
class Resources:
    """What an analysis says that it needs at least.

    Parameters
    ----------
    gpu : bool
        Whether it needs a GPU.
    cores : int | None
        How many cores of a CPU; None if it does not say.
    memory_mib : int | None
        How much memory; None if it does not say.
    """

    gpu: bool = False
    cores: int | None = None
    memory_mib: int | None = None

    @classmethod
    def from_json(cls, data: object) -> Resources:
        """Read it from JSON types; what does not fit is a `ValueError`."""
        record = read_record(data)
        return cls(
            gpu=read_switch(record, "gpu"),
            cores=read_count(record, "cores"),
            memory_mib=read_count(record, "memory_mib"),
        )


@dataclass(frozen=True, slots=True)
class Citation:
    """What to cite when results of the analysis are published.

    Parameters
    ----------
    name : str
        What is cited.
    doi : str
        Its DOI, without resolver; empty if it has none.
    license : str
        Its licence.
    description : str
        What it is, for persons.
    """

    name: str
    doi: str = ""
    license: str = ""
    description: str = ""

    @classmethod
    def from_json(cls, data: object) -> Citation:
        """Read it from JSON types; what does not fit is a `ValueError`."""
        record = read_record(data)
        return cls(*(read_text(record, key) for key in ("name", "doi", "license", "description")))


@dataclass(frozen=True, slots=True)
class Analysis:
    """One analysis, as its descriptor describes it.

    Parameters
    ----------
    name : str
        Its name.
    description : str
        What it does, for persons.
    image : str
        Its container image, such as ``org/w_nuclei``, with a tag if the descriptor gives one.
    schema_version : str
        The schema of the descriptor, such as ``cytomine-0.1``.
    parameters : tuple[Parameter, ...]
        Its parameters, in the order of the descriptor.
    style : {"biaflows", "bilayers", "biomero"}
        By which rules its command line is written (`worker.analyses.parameters`).
    command : str
        The command line that its descriptor gives: for ``biomero`` the template of the arguments, for the others kept
        for the record, as the container runs its own command.
    hidden_arguments : tuple[HiddenArgument, ...]
        What the container always gets.
    input_folder : str
        Where the container wants to see its input; empty if it is told on the command line.
    output_folder : str
        Where the container writes its results; empty if it is told on the command line.
    resources : Resources
        What it needs.
    citations : tuple[Citation, ...]
        What to cite.
    requires_zarr : bool
        Whether its descriptor asks for OME-Zarr, be it among other formats.
    requires_plate : bool
        Whether its descriptor asks for whole plates, be it among other images.
    """

    name: str
    description: str
    image: str
    schema_version: str
    parameters: tuple[Parameter, ...]
    style: Style = "biaflows"
    command: str = ""
    hidden_arguments: tuple[HiddenArgument, ...] = ()
    input_folder: str = ""
    output_folder: str = ""
    resources: Resources = Resources()
    citations: tuple[Citation, ...] = ()
    requires_zarr: bool = False
    requires_plate: bool = False

    @property
    def files(self) -> tuple[Parameter, ...]:
        """The parameters whose values are files of OMERO."""
        return tuple(parameter for parameter in self.parameters if parameter.file_attachment)

    def to_json(self) -> dict[str, object]:
        """Express it in JSON types.

        Returns
        -------
        dict[str, object]
            One item per field.
        """
        return fields_of(self)

    @classmethod
    def from_json(cls, data: object) -> Analysis:
        """Read what `to_json` gave.

        Parameters
        ----------
        data : object
            The JSON value.

        Returns
        -------
        Analysis
            The analysis.

        Raises
        ------
        ValueError
            It is not what `to_json` gives.
        """
        record = read_record(data)
        return cls(
            name=read_text(record, "name"),
            description=read_text(record, "description"),
            image=read_text(record, "image"),
            schema_version=read_text(record, "schema_version"),
            parameters=tuple(Parameter.from_json(item) for item in read_list(record, "parameters")),
            style=read_word(record, "style", STYLES),
            command=read_text(record, "command"),
            hidden_arguments=tuple(HiddenArgument.from_json(item) for item in read_list(record, "hidden_arguments")),
            input_folder=read_text(record, "input_folder"),
            output_folder=read_text(record, "output_folder"),
            resources=Resources.from_json(record.get("resources")),
            citations=tuple(Citation.from_json(item) for item in read_list(record, "citations")),
            requires_zarr=read_switch(record, "requires_zarr"),
            requires_plate=read_switch(record, "requires_plate"),
        )


def is_value(value: object, kind: ParameterType) -> bool:
    """Say whether a value has the type of a parameter; true and false are no numbers, and numbers are finite.

    Parameters
    ----------
    value : object
        The value.
    kind : {"integer", "float", "boolean", "string"}
        The type of the parameter.

    Returns
    -------
    bool
        Whether it may be used as it is.
    """
    if isinstance(value, bool) != (kind == "boolean") or not isinstance(value, _PYTHON_TYPES[kind]):
        return False
    return not isinstance(value, float) or math.isfinite(value)
