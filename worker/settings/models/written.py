"""How a field is written in slurm-config.ini and in the environment."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict

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
    """

    reader: reading.Reader
    key: str = ""
    variables: tuple[str, ...] = ()


TEXT = Written(reading.TEXT)
SWITCH = Written(reading.BOOLEAN)


def written_fields(model: type[BaseModel]) -> dict[str, tuple[str, Written]]:
    """List the fields of a model that can be written in a file.

    Parameters
    ----------
    model : type[BaseModel]
        One of `SECTIONS`.

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
