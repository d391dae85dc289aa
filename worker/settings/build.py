"""From merged keys and the environment to `Settings`: every value is read, every stray key is named."""

from __future__ import annotations

import difflib
import re
from typing import TYPE_CHECKING

from worker.errors import SettingsError
from worker.settings import locations, models, reading
from worker.settings.layers import WORKFLOWS
from worker.settings.secret_files import read_secret
from worker.settings.workflows import read_flags, read_workflows

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pydantic import BaseModel

    from worker.settings.ini import Entry, IniFile
    from worker.settings.layers import Layers

_SBATCH = "sbatch_"
_CONVERTERS = "CONVERTERS"
_KNOWN_SECTIONS = (*models.SECTIONS, _CONVERTERS, "MODELS", WORKFLOWS, "changelog")
_CONVERTER = re.compile(r".+_to_.+")
_COMMENT_INSIDE = re.compile(r"\s#")


def build(layers: Layers, environ: Mapping[str, str]) -> models.Settings:
    """Read every value.

    Parameters
    ----------
    layers : Layers
        The keys of all files, merged.
    environ : Mapping[str, str]
        The environment, which wins over the files.

    Returns
    -------
    Settings
        The settings, with a warning for each key that is not known and each variable that cannot be read.

    Raises
    ------
    SettingsError
        A value in a file is not allowed, or two values contradict each other.
    """
    warnings = list(layers.warnings)
    sections: dict[str, BaseModel] = {}
    for name, model in models.SECTIONS.items():
        entries = layers.sections.get(name, {})
        values = _read_section(name, model, entries, environ, warnings)
        if model is models.SlurmSettings:
            flags = {key.removeprefix(_SBATCH): entry for key, entry in entries.items() if key.startswith(_SBATCH)}
            values["sbatch_flags"] = read_flags(flags, warnings)
        if model is models.AnalyticsSettings:
            secret = read_secret("SQLALCHEMY_URL", environ, warnings)
            values |= {} if secret is None else {"sqlalchemy_url": secret}
        sections[name.lower()] = model.model_validate(values)
    workflows, notes = read_workflows(
        layers.sections.get(WORKFLOWS, {}), lambda entry, reader: _read_entry(entry, reader, {}, [])
    )
    settings = models.Settings.model_validate(
        sections
        | {
            "converters": _read_converters(layers.sections.get(_CONVERTERS, {}), warnings),
            "workflows": workflows,
            "warnings": tuple(dict.fromkeys([*warnings, *notes])),
        }
    )
    _refuse_contradictions(settings, layers)
    return settings


def unknown_sections(files: Iterable[IniFile]) -> list[str]:
    """Name the sections that nothing reads.

    Parameters
    ----------
    files : Iterable[IniFile]
        The files.

    Returns
    -------
    list[str]
        A warning for each.
    """
    warnings = []
    for file in files:
        for name, line in file.sections:
            if name not in _KNOWN_SECTIONS:
                near = difflib.get_close_matches(name.lower(), [known.lower() for known in _KNOWN_SECTIONS], n=1)
                spelled = next((known for known in _KNOWN_SECTIONS if near and known.lower() == near[0]), None)
                hint = f"did you mean [{spelled}]?" if spelled else f"known are {', '.join(_KNOWN_SECTIONS)}."
                warnings.append(f"{file.path}:{line}: section [{name}] is not known and ignored; {hint}")
    return warnings


def _read_section(
    section: str,
    model: type[BaseModel],
    entries: Mapping[str, Entry],
    environ: Mapping[str, str],
    warnings: list[str],
) -> dict[str, object]:
    fields = models.written_fields(model)
    values: dict[str, object] = {}
    for key, (field, written) in fields.items():
        entry = entries.get(key)
        if entry is not None and not entry.blank:
            values[field] = _read_entry(entry, written.reader, environ, warnings)
        values |= _read_variable(field, written, environ, entry, warnings)
    for key, entry in entries.items():
        if key not in fields and not (model is models.SlurmSettings and key.startswith(_SBATCH) and key != _SBATCH):
            near = difflib.get_close_matches(key, fields, n=1)
            hint = f"did you mean {near[0]}?" if near else "it is none of the keys of this section."
            warnings.append(f"{entry.where}: [{section}] {entry.spelling} is not known and ignored; {hint}")
    return values


def _read_entry(entry: Entry, reader: reading.Reader, environ: Mapping[str, str], warnings: list[str]) -> object:
    text = entry.value or ""
    try:
        value = reader(text)
    except ValueError as error:
        raise SettingsError(
            f"{entry.where}: [{entry.section}] {entry.spelling} = {text!r} is not allowed.",
            remedy=f"It must be {reader.allowed}.",
        ) from error
    if not reader.one_word and _COMMENT_INSIDE.search(text):
        warnings.append(
            f"{entry.where}: [{entry.section}] {entry.spelling}: what follows # is part of the value. "
            "Put comments on lines of their own."
        )
    return locations.expand(text, environ) if reader is reading.LOCAL_PATH else value


def _read_variable(
    field: str,
    written: models.Written,
    environ: Mapping[str, str],
    entry: Entry | None,
    warnings: list[str],
) -> dict[str, object]:
    """Read the first variable that is set; one that cannot be read leaves the value of the files alone."""
    for name in written.variables:
        text = environ.get(name, "").strip()
        if text:
            try:
                return {field: written.reader(text)}
            except ValueError:
                instead = "the default" if entry is None or entry.blank else f"the value of {entry.where}"
                warnings.append(
                    f"The variable {name} is {text!r}, but must be {written.reader.allowed}; {instead} counts."
                )
                return {}
    return {}


def _read_converters(entries: Mapping[str, Entry], warnings: list[str]) -> dict[str, str]:
    converters = {}
    for key, entry in sorted(entries.items()):
        if not _CONVERTER.fullmatch(key):
            warnings.append(
                f"{entry.where}: [{_CONVERTERS}] {entry.spelling} is ignored; a key reads <source>_to_<target>."
            )
        elif not entry.blank:
            converters[key] = entry.value or ""
    return converters


def _refuse_contradictions(settings: models.Settings, layers: Layers) -> None:
    slurm, worker = settings.slurm, settings.worker
    if slurm.gpu_gres and slurm.gpu_gpus:
        raise SettingsError(
            f"{_places('SLURM', ('gpu_gres', 'gpu_gpus'), layers)}: gpu_gres is {slurm.gpu_gres!r} and gpu_gpus is "
            f"{slurm.gpu_gpus!r}, and sbatch takes only one of them.",
            remedy="Keep the one that your cluster uses, and leave the other blank.",
        )
    if worker.poll_interval_min_s > worker.poll_interval_max_s:
        raise SettingsError(
            f"{_places('WORKER', ('poll_interval_min_s', 'poll_interval_max_s'), layers)}: poll_interval_min_s "
            f"({worker.poll_interval_min_s:g}) is more than poll_interval_max_s ({worker.poll_interval_max_s:g}).",
            remedy="Swap or change them.",
        )


def _places(section: str, keys: Iterable[str], layers: Layers) -> str:
    """Say where keys are set: in files, or else by variables."""
    entries = [layers.sections.get(section, {}).get(key) for key in keys]
    places = [entry.where for entry in entries if entry is not None and not entry.blank]
    if len(places) < len(entries):
        places.append("the environment")
    return f"[{section}] in {' and '.join(places)}"
