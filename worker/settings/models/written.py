"""How a field is written in slurm-config.ini and in the environment, and what an admin must know of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

if TYPE_CHECKING:
    from worker.settings import reading


class Frozen(BaseModel):
    """A model that is never changed, and knows all of its fields."""

    model_config = ConfigDict(frozen=True, extra="forbid")


@dataclass(frozen=True, slots=True)
class Written:
    """How a field is written.

    Parameters
    ----------
    reader : reading.Reader
        How its text is read.
    key : str
        Its key in slurm-config.ini, where that is not the name of the field.
    variables : tuple[str, ...]
        The environment variables that win over the files, the first that is set and not blank counts.
    unset : str
        What holds where it is not set, as half a sentence; only for fields without a default value.
    example : str
        A value that shows how it is written; only for fields without a default value.
    group : str
        The heading of the keys that begin with this one, in the sample file and in the manual.
    """

    reader: reading.Reader
    key: str = ""
    variables: tuple[str, ...] = ()
    unset: str = ""
    example: str = ""
    group: str = ""


def written_fields(model: type[BaseModel]) -> dict[str, tuple[str, Written]]:
    """List the fields of a model that can be written in a file.

    Parameters
    ----------
    model : type[BaseModel]
        The model of a section.

    Returns
    -------
    dict[str, tuple[str, Written]]
        From the key in the file to the name of the field and how it is written.
    """
    fields: dict[str, tuple[str, Written]] = {}
    for name, field in model.model_fields.items():
        for mark in field.metadata:
            if isinstance(mark, Written):
                fields[mark.key or name] = (name, mark)
    return fields
