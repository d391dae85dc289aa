"""From merged keys and the environment to `Settings`: every value is read, every stray key is named."""

from __future__ import annotations

import difflib
import re
from typing import TYPE_CHECKING

from worker.errors import SettingsError
from worker.settings import locations, models, reading
from worker.settings.clusters import KINDS, cluster_names, is_of_a_cluster, meant, section_of
from worker.settings.layers import WORKFLOWS
from worker.settings.secrecy import mask_credentials
from worker.settings.secret_files import read_secret
from worker.settings.workflows import read_flags, read_workflows, warn_of_comment

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pydantic import BaseModel, SecretStr

    from worker.settings.ini import Entry, IniFile
    from worker.settings.layers import Layers

_SBATCH = "sbatch_"
CONVERTERS = "CONVERTERS"
"""The section of the images that convert."""
_SSH, _SLURM = KINDS
FOREIGN = ("changelog", "UI")
"""Sections of the web plugin, which are none of our business."""
_KNOWN_SECTIONS = (*models.SECTIONS, CONVERTERS, "MODELS", WORKFLOWS, *FOREIGN)
_CONVERTER = re.compile(r".+_to_.+")


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
            values["sbatch_flags"] = _read_sbatch(entries, warnings)
        elif model is models.AnalyticsSettings:
            values |= _read_secrets({"sqlalchemy_url": "SQLALCHEMY_URL"}, environ, warnings)
        elif model is models.AnalysesSettings:
            values |= _read_secrets(models.TOKEN_VARIABLES, environ, warnings)
        sections[name.lower()] = model.model_validate(values)
    settings = models.Settings.model_validate(
        sections | {"converters": _read_converters(layers.sections.get(CONVERTERS, {}), warnings)}
    )
    further = {name: _read_cluster(name, settings, layers, warnings) for name in cluster_names(layers.headers)}
    settings = settings.model_copy(update={"further_clusters": further})
    _refuse_contradictions(settings, layers)
    workflows, notes = read_workflows(
        layers.sections.get(WORKFLOWS, {}),
        settings.clusters,
        lambda entry, reader: _read_entry(entry, reader, {}, warnings),
    )
    return settings.model_copy(update={"workflows": workflows, "warnings": tuple(dict.fromkeys([*warnings, *notes]))})


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
            if name not in _KNOWN_SECTIONS and not is_of_a_cluster(name):
                warnings.append(f"{file.path}:{line}: section [{name}] is not known and ignored; {_section_hint(name)}")
    return warnings


def _section_hint(name: str) -> str:
    known = {section.lower(): section for section in _KNOWN_SECTIONS}
    near = difflib.get_close_matches(name.lower(), known, n=1, cutoff=0.8)
    parts = meant(name)
    if not near and parts is not None:
        kind, cluster = parts
        near_kind = difflib.get_close_matches(kind.lower(), known, n=1)
        if near_kind and known[near_kind[0]] in KINDS:
            return f"did you mean [{known[near_kind[0]]}:{cluster.lower()}]?"
        if near_kind:
            return f"[{known[near_kind[0]]}] is the same for all clusters, only [SSH:name] and [SLURM:name] are of one."
    near = near or difflib.get_close_matches(name.lower(), known, n=1)
    return f"did you mean [{known[near[0]]}]?" if near else f"known are {', '.join(_KNOWN_SECTIONS)}."


def _read_cluster(name: str, settings: models.Settings, layers: Layers, warnings: list[str]) -> models.ClusterSettings:
    """Read a named cluster: what its sections do not say is as ``[SSH]`` and ``[SLURM]`` say."""
    read: dict[str, dict[str, object]] = {}
    for kind, base in ((_SSH, settings.ssh), (_SLURM, settings.slurm)):
        section = section_of(kind, name)
        entries = layers.sections.get(section, {})
        # The variables are in the base already, and a key that is written here wins over them.
        own = _read_section(section, type(base), entries, {}, warnings)
        taken_back = {
            field
            for key, (field, _) in models.written_fields(type(base)).items()
            if key in entries and entries[key].blank
        }
        read[kind] = {field: value for field, value in base if field not in taken_back} | own
        if kind == _SLURM:
            flags = {
                flag: value for flag, value in settings.slurm.sbatch_flags.items() if _SBATCH + flag not in entries
            }
            read[kind]["sbatch_flags"] = dict(sorted((flags | _read_sbatch(entries, warnings)).items()))
        else:
            read[kind]["host"] = own.get("host", name)
    return models.ClusterSettings(
        name, models.SshSettings.model_validate(read[_SSH]), models.SlurmSettings.model_validate(read[_SLURM])
    )


def _read_sbatch(entries: Mapping[str, Entry], warnings: list[str]) -> dict[str, str | None]:
    prefixed = {key.removeprefix(_SBATCH): entry for key, entry in entries.items() if is_sbatch(key)}
    return read_flags(prefixed, warnings)


def is_sbatch(key: str) -> bool:
    """Say whether a key of ``[SLURM]`` is an option of sbatch.

    Parameters
    ----------
    key : str
        The key, in lower case.

    Returns
    -------
    bool
        Whether it reads ``sbatch_<option>``.
    """
    return key.startswith(_SBATCH) and key != _SBATCH


def _read_secrets(
    variables: Mapping[str, str], environ: Mapping[str, str], warnings: list[str]
) -> dict[str, SecretStr]:
    """Read what only variables, or the files that they name, may hold, or what they hold before all others."""
    secrets = {field: read_secret(name, environ, warnings) for field, name in variables.items()}
    return {field: secret for field, secret in secrets.items() if secret is not None}


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
        if model is models.AnalysesSettings and key in models.TOKEN_VARIABLES:
            _refuse_token(entry)
        elif key not in fields and not (model is models.SlurmSettings and is_sbatch(key)):
            near = difflib.get_close_matches(key, fields, n=1)
            hint = f"did you mean {near[0]}?" if near else "it is none of the keys of this section."
            warnings.append(f"{entry.where}: [{section}] {entry.spelling} is not known and ignored; {hint}")
    return values


def _refuse_token(entry: Entry) -> None:
    """Refuse a token: this file is shown in the web interface, and copied about."""
    if not entry.blank:
        variable = models.TOKEN_VARIABLES[entry.key]
        raise SettingsError(
            f"{entry.where}: [{entry.section}] {entry.spelling}: a token must not stand in this file, "
            "which others can read.",
            remedy=f"Write it to a file of its own, and name that file with the variable {variable}_FILE. "
            "If others may have seen this one, revoke the token.",
        )


def _read_entry(entry: Entry, reader: reading.Reader, environ: Mapping[str, str], warnings: list[str]) -> object:
    text = entry.value or ""
    try:
        value = reader(text)
    except ValueError as error:
        raise SettingsError(
            f"{entry.where}: [{entry.section}] {entry.spelling} = {mask_credentials(text)!r} is not allowed.",
            remedy=f"It must be {reader.allowed}.",
        ) from error
    if not reader.may_be_followed:
        warn_of_comment(entry, warnings)
    return entry.path.parent / locations.expand(text, environ) if reader is reading.LOCAL_PATH else value


def _read_variable(
    field: str,
    written: models.Written,
    environ: Mapping[str, str],
    entry: Entry | None,
    warnings: list[str],
) -> dict[str, object]:
    """Read the first variable that is set; one that cannot be read leaves the value of the files alone."""
    for name, text in given_variables(written, environ)[:1]:
        try:
            return {field: written.reader(text)}
        except ValueError:
            instead = "the default" if entry is None or entry.blank else f"the value of {entry.where}"
            warnings.append(f"The variable {name} is {text!r}, but must be {written.reader.allowed}; {instead} counts.")
    return {}


def given_variables(written: models.Written, environ: Mapping[str, str]) -> list[tuple[str, str]]:
    """List the variables of a key that are set and not blank, with their text.

    Parameters
    ----------
    written : Written
        How the key is written.
    environ : Mapping[str, str]
        The environment.

    Returns
    -------
    list[tuple[str, str]]
        Name and text; only the first one counts, if it can be read.
    """
    given = [(name, environ.get(name, "").strip()) for name in written.variables]
    return [(name, text) for name, text in given if text]


def is_converter(key: str) -> bool:
    """Say whether a key of ``[CONVERTERS]`` names a conversion.

    Parameters
    ----------
    key : str
        The key, in lower case.

    Returns
    -------
    bool
        Whether it reads ``<source>_to_<target>``.
    """
    return bool(_CONVERTER.fullmatch(key))


def _read_converters(entries: Mapping[str, Entry], warnings: list[str]) -> dict[str, str]:
    converters = {}
    for key, entry in sorted(entries.items()):
        if not is_converter(key):
            warnings.append(
                f"{entry.where}: [{CONVERTERS}] {entry.spelling} is ignored; a key reads <source>_to_<target>."
            )
        elif not entry.blank:
            converters[key] = str(_read_entry(entry, reading.IMAGE, {}, warnings))
    return converters


def _refuse_contradictions(settings: models.Settings, layers: Layers) -> None:
    for name, cluster in settings.clusters.items():
        slurm, section = cluster.slurm, section_of(_SLURM, name)
        if slurm.gpu_gres and slurm.gpu_gpus:
            where = _places(section, ("gpu_gres", "gpu_gpus"), layers)
            blank = (
                "" if section == _SLURM else f" If it stands in [SLURM], take it back with a blank one in [{section}]."
            )
            raise SettingsError(
                f"{where}: gpu_gres is {slurm.gpu_gres!r} and gpu_gpus is {slurm.gpu_gpus!r}, "
                "and sbatch takes only one of them.",
                remedy=f"Keep the one that your cluster uses, and leave the other blank.{blank}",
            )
    worker = settings.worker
    if worker.poll_interval_min_s > worker.poll_interval_max_s:
        raise SettingsError(
            f"{_places('WORKER', ('poll_interval_min_s', 'poll_interval_max_s'), layers)}: poll_interval_min_s "
            f"({worker.poll_interval_min_s:g}) is more than poll_interval_max_s ({worker.poll_interval_max_s:g}).",
            remedy="Swap or change them.",
        )


def _places(section: str, keys: Iterable[str], layers: Layers) -> str:
    """Say where keys are set: in files, or else by variables."""
    own, base = (layers.sections.get(name, {}) for name in (section, section.partition(":")[0]))
    entries = [own.get(key) or base.get(key) for key in keys]
    places = [entry.where for entry in entries if entry is not None and not entry.blank]
    if len(places) < len(entries):
        places.append("the environment")
    return f"[{section}] in {' and '.join(places)}"
