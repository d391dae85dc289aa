"""Writing ``config/slurm-config.ini`` and ``docs/configuration.md`` from the models, so that they cannot drift.

``python -m worker.settings.sample --write`` writes both, ``--check`` says whether they are as they should be.
"""

from __future__ import annotations

import argparse
import re
import sys
import textwrap
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import jinja2

from worker.settings import environment, locations, models, reading

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pydantic import BaseModel

_TEMPLATES = Path(__file__).parent / "templates"
_WIDTH = 116
_OPTION = reading.Reader("as sbatch takes it", str)
_TITLES = {
    "SSH": "How the cluster is reached. User, port and key stand in the ssh configuration.",
    "SLURM": "Where things are on the cluster, and what jobs need. "
    "A path that does not start with / starts at the home folder of the login.",
    "ANALYTICS": "The record of runs, and the tables that dashboards read.",
    "ANALYSES": "How the descriptors of workflows are fetched.",
    "WORKER": "How the engine works.",
}


@dataclass(frozen=True, slots=True)
class Key:
    """One key, as the sample and the manual show it.

    Parameters
    ----------
    name : str
        The key, in which ``<workflow>`` and ``<option>`` may stand for a name.
    description : str
        What it is for, in whole sentences.
    allowed : str
        What may be written, as half a sentence.
    default : str | None
        The value where it is not set; None if there is none.
    unset : str
        What holds then.
    variables : tuple[str, ...]
        The variables that win over it, the most important one first.
    examples : tuple[str, ...]
        Lines of the sample.
    """

    name: str
    description: str
    allowed: str
    default: str | None
    unset: str
    variables: tuple[str, ...]
    examples: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Group:
    """Keys that belong together.

    Parameters
    ----------
    heading : str
        What they have in common; empty for those at the start of a section.
    keys : tuple[Key, ...]
        The keys.
    """

    heading: str
    keys: tuple[Key, ...]


@dataclass(frozen=True, slots=True)
class Section:
    """One section.

    Parameters
    ----------
    name : str
        Its name in the file.
    title : str
        What it is about.
    groups : tuple[Group, ...]
        Its keys.
    """

    name: str
    title: str
    groups: tuple[Group, ...]


def sample() -> str:
    """Write the sample file.

    Returns
    -------
    str
        Its text; it holds every key, and sets none.
    """
    return _render("slurm-config.ini.j2")


def manual() -> str:
    """Write the manual.

    Returns
    -------
    str
        Its text, in Markdown.
    """
    return _render("configuration.md.j2")


def sections() -> tuple[Section, ...]:
    """List every section whose keys are fields of a model.

    Returns
    -------
    tuple[Section, ...]
        They, with their keys in the order of the model.
    """
    return tuple(Section(name, _TITLES[name], _groups(model)) for name, model in models.SECTIONS.items())


def workflow_keys(name: str = "<workflow>") -> tuple[Key, ...]:
    """List every key that a workflow may have.

    Parameters
    ----------
    name : str
        What stands for its name.

    Returns
    -------
    tuple[Key, ...]
        The keys.
    """
    fields = models.WorkflowSettings.model_fields
    flag = f"{name}_job_<option>"
    return (
        Key(
            name,
            fields["image_folder"].description or "",
            reading.FOLDER.allowed,
            None,
            "there is no such workflow",
            (),
            ("",),
        ),
        *_keys(models.WorkflowSettings, f"{name}_"),
        Key(
            flag,
            fields["job_flags"].description or "",
            _OPTION.allowed,
            None,
            "as the cluster says",
            (),
            (f"{name}_job_mem=15GB", f"{name}_job_exclusive"),
        ),
        *_keys(models.RetrySettings, f"{name}_retry_"),
    )


def _groups(model: type[BaseModel]) -> tuple[Group, ...]:
    groups: list[Group] = []
    written = models.written_fields(model)
    for key in _keys(model):
        heading = written[key.name][1].group if key.name in written else ""
        if heading or not groups:
            groups.append(Group(heading, ()))
        groups[-1] = replace(groups[-1], keys=(*groups[-1].keys, key))
    return tuple(groups)


def _keys(model: type[BaseModel], prefix: str = "") -> tuple[Key, ...]:
    """List the keys of a model in its order; ``sbatch_flags`` is a key with a name of its own."""
    marks = {field: (key, mark) for key, (field, mark) in models.written_fields(model).items()}
    keys = []
    for field, info in model.model_fields.items():
        description = info.description or ""
        if field == "sbatch_flags":
            examples = ("sbatch_account=my-lab", "sbatch_exclusive")
            keys.append(Key("sbatch_<option>", description, _OPTION.allowed, None, "no option", (), examples))
        elif field in marks:
            key, mark = marks[field]
            default = reading.as_text(info.get_default(call_default_factory=True))
            allowed = "True or False" if mark.reader is reading.BOOLEAN else mark.reader.allowed
            line = f"{prefix}{key}={mark.example if default is None else default}"
            keys.append(Key(prefix + key, description, allowed, default, mark.unset, mark.variables, (line,)))
    return tuple(keys)


def _ini(key: Key) -> str:
    """Show a key as a block of comments, the last of which is the key itself."""
    allowed = f"{key.allowed[0].upper()}{key.allowed[1:]}."
    lines = [key.description, allowed if key.default is not None else f"{allowed} Not set: {key.unset}."]
    if key.variables:
        lines.append(f"Variable: {', or else '.join(key.variables)}.")
    if key.default is None:
        lines[-1] += " An example:" if len(key.examples) == 1 else " Examples:"
    comments = [f"# {part}" for line in lines for part in textwrap.wrap(line, _WIDTH, break_on_hyphens=False)]
    return "\n".join([*comments, *(f"#{example}" for example in key.examples)])


def _example_of(key: Key, name: str) -> Key:
    """Show a key of a workflow with a name in the place of ``<workflow>`` in its examples."""
    lines = (f"{name}={name}",) if key.examples == ("",) else key.examples
    return replace(key, examples=tuple(line.replace("<workflow>", name) for line in lines))


def _row(key: Key) -> str:
    blank = f"`{_cell(key.default)}`" if key.default is not None else _prose(key.unset)
    value = _prose(key.allowed)
    example = key.examples[0].partition("=")[2]
    if key.default is None and example:
        value += f", such as `{_cell(example)}`" if "such as" not in value else ""
    variables = ", ".join(f"`{name}`" for name in key.variables)
    return f"| `{key.name}` | {_prose(key.description)} | {value} | {blank} | {variables} |"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _prose(text: str) -> str:
    """Set names of keys, options and placeholders as code; Markdown would swallow what is in angle brackets."""
    code = re.compile(r"(?<![\w`/:.])(--\w[\w-]*|/?[\w-]*(?:<\w+>|_)[\w<>=_-]*|[A-Z]+_[A-Z_]+)(?![\w`/:])")
    return _cell(code.sub(r"`\1`", text))


def _render(name: str) -> str:
    loader = jinja2.FileSystemLoader(_TEMPLATES)
    # It writes no HTML, and reads nothing from outside.
    templates = jinja2.Environment(  # noqa: S701
        loader=loader,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        undefined=jinja2.StrictUndefined,
    )
    templates.filters |= {"ini": _ini, "row": _row, "prose": _prose}
    keys = workflow_keys()
    return templates.get_template(name).render(
        default_paths=[str(path) for path in locations.DEFAULT_PATHS],
        sections=sections(),
        workflow_keys=[_example_of(key, "cellpose") for key in keys],
        true_words=", ".join(f"`{word}`" for word in reading.TRUE_WORDS),
        false_words=", ".join(f"`{word}`" for word in reading.FALSE_WORDS),
        environment=[
            (", ".join(f"`{name}`" for name in names), environment.WorkerEnvironment.model_fields[field].description)
            for field, names in environment.VARIABLES.items()
        ],
        forwarded=", ".join(f"`{name}`" for name in environment.FORWARDED_NAMES),
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the two files, or compare them with what would be written.

    Parameters
    ----------
    arguments : Sequence[str] | None
        The command line; None is that of this process.

    Returns
    -------
    int
        The exit status: 1 if a file is not as it should be.
    """
    parser = argparse.ArgumentParser(prog="python -m worker.settings.sample", description=__doc__)
    task = parser.add_mutually_exclusive_group(required=True)
    task.add_argument("--write", action="store_true", help="write the files")
    task.add_argument("--check", action="store_true", help="say whether they are as they should be")
    parser.add_argument("--root", type=Path, default=Path(__file__).parents[2], help="the top of the source tree")
    options = parser.parse_args(arguments)
    status = 0
    for path, text in (
        (options.root / "config" / "slurm-config.ini", sample()),
        (options.root / "docs" / "configuration.md", manual()),
    ):
        if options.write:
            path.write_text(text, encoding="utf-8")
        elif not path.exists() or path.read_text(encoding="utf-8") != text:
            sys.stderr.write(f"{path} is not what the models say. Run: python -m worker.settings.sample --write\n")
            status = 1
    return status


if __name__ == "__main__":
    sys.exit(main())
