"""Where every value comes from: the default, a line of a file, or a variable; and what it wins over."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from worker.settings import models, reading
from worker.settings.build import CONVERTERS, given_variables, is_converter, is_sbatch
from worker.settings.clusters import KINDS, cluster_names, section_of
from worker.settings.layers import WORKFLOWS
from worker.settings.secrecy import MASK, mask_credentials
from worker.settings.workflows import readers

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic import BaseModel

    from worker.settings.ini import Entry
    from worker.settings.layers import Layers

DEFAULT = "default"
"""Where a value comes from that nobody has set."""
_SECRET_VARIABLES = {("ANALYTICS", "sqlalchemy_url"): "SQLALCHEMY_URL"} | {
    ("ANALYSES", key): variable for key, variable in models.TOKEN_VARIABLES.items()
}


@dataclass(frozen=True, slots=True)
class Origin:
    """A value, and where it comes from.

    Parameters
    ----------
    value : str | None
        The value as it would stand in the file; None where nothing is set, and empty for an option of sbatch that
        has no value. Of a secret, stars.
    where : str
        `DEFAULT`, ``<file>:<line>``, or ``variable <NAME>``.
    overridden : tuple[Origin, ...]
        What was said elsewhere and does not count, the one that would count next last; never the default.
    """

    value: str | None
    where: str = DEFAULT
    overridden: tuple[Origin, ...] = ()


def origins(layers: Layers, environ: Mapping[str, str]) -> dict[tuple[str, str], Origin]:
    """Say of every value where it comes from.

    Parameters
    ----------
    layers : Layers
        The keys of all files; `worker.settings.build.build` must have accepted them.
    environ : Mapping[str, str]
        The environment.

    Returns
    -------
    dict[tuple[str, str], Origin]
        By section and lower-case key: every key that is known, every workflow, converter and option of sbatch that
        is written somewhere. ``[MODELS]`` and ``[WORKFLOWS]`` are one, under the name of the latter. A section of a
        named cluster has all keys of a cluster, also those that come from ``[SSH]`` and ``[SLURM]``.
    """
    found: dict[tuple[str, str], Origin] = {}
    for section, model in models.SECTIONS.items():
        for key, (field, written) in models.written_fields(model).items():
            default = Origin(reading.as_text(_default(model, field)))
            said = [_of_entry(entry, default.value, written.reader) for entry in _entries(layers, section, key)]
            said += reversed(_of_variables(written, environ))
            found[section, key] = _counting(default, said)
        if section == "SLURM":
            options = filter(is_sbatch, layers.sections.get(section, {}))
            found |= _free(layers, section, dict.fromkeys(options, reading.TEXT))
    for (section, key), variable in _SECRET_VARIABLES.items():
        found[section, key] = _of_secret(found.get((section, key), Origin(None)), variable, environ)
    for name in cluster_names(layers.headers):
        found |= _of_cluster(name, found, layers)
    converters = filter(is_converter, layers.sections.get(CONVERTERS, {}))
    found |= _free(layers, CONVERTERS, dict.fromkeys(converters, reading.IMAGE))
    return found | _free(layers, WORKFLOWS, readers(layers.sections.get(WORKFLOWS, {})))


def _counting(default: Origin, said: list[Origin]) -> Origin:
    return replace(said[-1], overridden=(*said[-1].overridden, *said[:-1])) if said else default


def _entries(layers: Layers, section: str, key: str) -> tuple[Entry, ...]:
    return layers.history.get((section, key), ())


def _default(model: type[BaseModel], field: str) -> object:
    return model.model_fields[field].get_default(call_default_factory=True)


def _of_entry(entry: Entry, default: str | None, reader: reading.Reader = reading.TEXT) -> Origin:
    """Show an entry; a blank one stands for the default, or for an option without a value."""
    if entry.value is None and (is_sbatch(entry.key) or "_job_" in entry.key):
        return Origin("", entry.where)
    if entry.blank:
        return Origin(default, entry.where)
    text = entry.value or ""
    return Origin(mask_credentials(reading.without_comment(text) if reader.may_be_followed else text), entry.where)


def _of_variables(written: models.Written, environ: Mapping[str, str]) -> list[Origin]:
    """Show the variables that count or would; if the first cannot be read, none does."""
    given = given_variables(written, environ)
    try:
        for _, text in given[:1]:
            written.reader(text)
    except ValueError:
        return []
    return [Origin(mask_credentials(text), f"variable {name}") for name, text in given]


def _of_secret(origin: Origin, variable: str, environ: Mapping[str, str]) -> Origin:
    hidden = replace(
        origin,
        value=origin.value and MASK,
        overridden=tuple(replace(lower, value=lower.value and MASK) for lower in origin.overridden),
    )
    for name in (variable, f"{variable}_FILE"):
        if environ.get(name, "").strip():
            lower = () if hidden.where == DEFAULT else (*hidden.overridden, replace(hidden, overridden=()))
            return Origin(MASK, f"variable {name}", lower)
    return hidden


def _of_cluster(name: str, found: Mapping[tuple[str, str], Origin], layers: Layers) -> dict[tuple[str, str], Origin]:
    own: dict[tuple[str, str], Origin] = {}
    for kind in KINDS:
        section = section_of(kind, name)
        fields = models.written_fields(models.SECTIONS[kind])
        flags = {key for key in (*layers.sections.get(kind, {}), *layers.sections.get(section, {})) if is_sbatch(key)}
        for key in (*fields, *sorted(flags if kind == "SLURM" else ())):
            entries = _entries(layers, section, key)
            if key == "host":
                own[section, key] = _counting(Origin(name), [_of_entry(entry, name) for entry in entries])
                continue
            reader, default = reading.TEXT, None
            if key in fields:
                field, written = fields[key]
                reader, default = written.reader, reading.as_text(_default(models.SECTIONS[kind], field))
            base = found.get((kind, key), Origin(default))
            said = [] if base.where == DEFAULT else [*base.overridden, replace(base, overridden=())]
            own[section, key] = _counting(base, said + [_of_entry(entry, default, reader) for entry in entries])
    return own


def _free(layers: Layers, section: str, keys: Mapping[str, reading.Reader]) -> dict[tuple[str, str], Origin]:
    """Show keys that are no fields of the model of a section."""
    return {
        (section, key): _counting(
            Origin(None), [_of_entry(entry, None, reader) for entry in _entries(layers, section, key)]
        )
        for key, reader in keys.items()
    }
