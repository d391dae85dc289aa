"""What was done, as an RO-Crate: a folder, or zip, that says in JSON-LD how its content was made.

RO-Crate 1.1 with the profile Process Run Crate 0.5, and with Workflow Run Crate 0.5 where one analysis was run whose
descriptor is in the crate: that is its main workflow then. Images and other objects stay in OMERO and are named by
their ids. Plain JSON, written by hand: the same facts give the same bytes.

https://www.researchobject.org/ro-crate/specification/1.1/ and https://www.researchobject.org/workflow-run-crate/
"""

from __future__ import annotations

import json
import mimetypes
import os
import re
from datetime import datetime
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from worker.results.actions import CrateFile

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from worker.results.actions import Action, Crate, Tool
    from worker.results.model import Cited, CreatedObject, SourceFile

METADATA: Final = "ro-crate-metadata.json"
"""Name of the file, in the root of the crate."""

README: Final = "README.md"
"""Name of the file that says for persons what a crate says for programs, if it has one."""

_CRATE: Final = "https://w3id.org/ro/crate/1.1"
_WORKFLOW_CRATE: Final = "https://w3id.org/workflowhub/workflow-ro-crate/1.0"
_PROCESS_RUN: Final = "https://w3id.org/ro/wfrun/process/0.5"
_WORKFLOW_RUN: Final = "https://w3id.org/ro/wfrun/workflow/0.5"
_CONTEXT: Final = [f"{_CRATE}/context", "https://w3id.org/ro/terms/workflow-run/context"]
_SIF: Final = "https://w3id.org/ro/terms/workflow-run#SIFImage"
_PROFILES: Final = {
    _PROCESS_RUN: ("Process Run Crate", "0.5"),
    _WORKFLOW_RUN: ("Workflow Run Crate", "0.5"),
    _WORKFLOW_CRATE: ("Workflow RO-Crate", "1.0"),
}
_LICENCE: Final = "#licence"
_HOMES: Final = {"slurm": "https://slurm.schedmd.com/", "apptainer": "https://apptainer.org/"}
"""Of programs that everybody knows."""

_TYPES: Final[Mapping[type, str]] = {bool: "Boolean", int: "Integer", float: "Float"}

Entity = dict[str, Any]


def render_crate(crate: Crate) -> bytes:
    """Write ``ro-crate-metadata.json``.

    Parameters
    ----------
    crate : Crate
        What to say.

    Returns
    -------
    bytes
        JSON-LD in UTF-8; the same facts give the same bytes.
    """
    return (json.dumps(crate_graph(crate), indent=1, ensure_ascii=False) + "\n").encode("utf-8", "replace")


def crate_graph(crate: Crate) -> Entity:
    """Express a crate in JSON-LD.

    Parameters
    ----------
    crate : Crate
        What to say.

    Returns
    -------
    dict
        ``@context`` and ``@graph``; each entity once, and each that is referred to is there.
    """
    graph = _Graph(crate)
    parts = [graph.file(each) for each in crate.files]
    # A crate has one main workflow, or none.
    tools = list(dict.fromkeys(action.tool for action in crate.actions))
    main = tools[0].descriptor if len(tools) == 1 else None
    profiles = [_PROCESS_RUN, *([_WORKFLOW_RUN, _WORKFLOW_CRATE] if main else [])]
    actions = [graph.action(action) for action in crate.actions]
    parts += [_uri(tool.descriptor.path) for tool in tools if tool.descriptor]
    if crate.holds_outputs:
        parts += [output for action in crate.actions for output in graph.outputs_of(action)]
    for profile in profiles:
        name, version = _PROFILES[profile]
        graph.add({"@id": profile, "@type": "CreativeWork", "name": name, "version": version})
    mentions = actions + [graph.software(name, version) for name, version in crate.software.items() if version]
    root: Entity = {
        "@id": "./",
        "@type": "Dataset",
        "name": crate.name,
        "description": crate.description,
        "datePublished": _time(crate.published),
        "license": _ref(_LICENCE),
        "conformsTo": [_ref(profile) for profile in profiles],
        "hasPart": [_ref(part) for part in dict.fromkeys(parts)],
        "mentions": [_ref(each) for each in dict.fromkeys(mentions)],
    }
    if main:
        root["mainEntity"] = _ref(_uri(main.path))
    people = dict.fromkeys(action.person for action in crate.actions if action.person)
    root["author"] = [_ref(_person(person)) for person in people]
    graph.add(
        {
            "@id": _LICENCE,
            "@type": "CreativeWork",
            "name": "Not stated",
            "description": "Nobody has said under which licence this may be used. Whoever publishes it has to.",
        }
    )
    about: Entity = {
        "@id": METADATA,
        "@type": "CreativeWork",
        "about": _ref("./"),
        "conformsTo": [_ref(_CRATE), _ref(_WORKFLOW_CRATE)] if main else _ref(_CRATE),
    }
    return {"@context": _CONTEXT, "@graph": [about, _known(root), *graph.entities.values()]}


class _Graph:
    """The entities of a crate, each once."""

    def __init__(self, crate: Crate) -> None:
        self._crate = crate
        self.entities: dict[str, Entity] = {}

    def add(self, entity: Entity) -> str:
        identity: str = entity["@id"]
        # What nobody knows is left out; only a value can be an empty text.
        self.entities.setdefault(identity, _known(entity))
        return identity

    def file(self, file: CrateFile) -> str:
        about = {"about": _ref("./")} if file.path == README else {}
        return self.add({**_file(_uri(file.path), "File", file), **about})

    def action(self, action: Action) -> str:
        tool = self._tool(action)
        values = [self._value(action, name, value) for name, value in action.values.items()]
        error = {"error": action.error} if action.status == "failed" else {}
        environment = [self._variable(action, name, value) for name, value in action.environment.items()]
        return self.add(
            {
                "@id": f"#run-{_word(action.key)}",
                "@type": "CreateAction",
                "name": action.name,
                "description": action.description,
                "instrument": _ref(tool),
                "agent": _ref(self._person(action)) if action.person else None,
                "startTime": _time(action.started),
                "endTime": _time(action.ended),
                "actionStatus": {
                    "completed": "http://schema.org/CompletedActionStatus",
                    "failed": "http://schema.org/FailedActionStatus",
                    "running": "http://schema.org/ActiveActionStatus",
                }[action.status],
                "object": [_ref(each) for each in (*self._sources(action.sources), *values)],
                "result": [_ref(each) for each in (*self.outputs_of(action), *self._objects(action.objects))],
                "containerImage": _ref(self._image(action)) if action.image_sha256 or action.image_source else None,
                "environment": [_ref(each) for each in environment],
                **error,
            }
        )

    def _tool(self, action: Action) -> str:
        tool = action.tool
        citations = [self._citation(cited) for cited in tool.citations]
        licences = dict.fromkeys(cited.license for cited in tool.citations if cited.license)
        said: Entity = {
            "name": tool.name,
            "description": tool.description,
            "citation": [_ref(each) for each in citations],
            "license": ", ".join(licences),
            "isBasedOn": _ref(self._source(tool)) if tool.source else None,
        }
        if tool.descriptor is None:
            identity = f"#tool-{_word(f'{tool.name}-{tool.version}')}"
            return self.add({"@id": identity, "@type": "SoftwareApplication", "softwareVersion": tool.version, **said})
        file = _file(_uri(tool.descriptor.path), "", tool.descriptor)
        types = ["File", "SoftwareSourceCode", "ComputationalWorkflow"]
        language = self.add(
            {
                "@id": "#descriptor-language",
                "@type": "ComputerLanguage",
                "name": f"Descriptor of an analysis, schema {tool.schema or 'not stated'}",
                "version": tool.schema,
            }
        )
        inputs = [_ref(_parameter(tool, name)) for name in action.values]
        return self.add(
            {**file, "@type": types, "version": tool.version, "programmingLanguage": _ref(language), "input": inputs}
            | {key: value for key, value in said.items() if value}
        )

    def _source(self, tool: Tool) -> str:
        return self.add({"@id": f"#source-{_word(tool.source)}", "@type": "CreativeWork", "name": tool.source})

    def _citation(self, cited: Cited) -> str:
        identity = f"https://doi.org/{quote(cited.doi)}" if cited.doi else f"#citation-{_word(cited.name)}"
        return self.add({"@id": identity, "@type": "ScholarlyArticle", "name": cited.name, "license": cited.license})

    def _value(self, action: Action, name: str, value: object) -> str:
        identity = f"#run-{_word(action.key)}-value-{_word(name)}"
        formal = _parameter(action.tool, name) if action.tool.descriptor else ""
        if formal:
            self.add(
                {
                    "@id": formal,
                    "@type": "FormalParameter",
                    "name": name,
                    "additionalType": _TYPES.get(type(value), "Text"),
                    "workExample": _ref(identity),
                }
            )
        description = "The default of the descriptor." if name in action.defaults else ""
        return self.add(
            {
                "@id": identity,
                "@type": "PropertyValue",
                "name": name,
                "value": value if isinstance(value, (bool, int, float)) else str(value),
                "description": description,
                "exampleOfWork": _ref(formal) if formal else None,
            }
        )

    def _variable(self, action: Action, name: str, value: str) -> str:
        identity = f"#run-{_word(action.key)}-variable-{_word(name)}"
        return self.add({"@id": identity, "@type": "PropertyValue", "name": name, "value": value})

    def _person(self, action: Action) -> str:
        group = ""
        if action.group:
            group = self.add({"@id": f"#group-{_word(action.group)}", "@type": "Organization", "name": action.group})
        return self.add(
            {
                "@id": _person(action.person),
                "@type": "Person",
                "name": action.person,
                "affiliation": _ref(group) if group else None,
            }
        )

    def _sources(self, sources: Iterable[SourceFile]) -> list[str]:
        paths: dict[int, list[str]] = {}
        names: dict[int, str] = {}
        for source in sources:
            names[source.image_id] = source.name
            paths.setdefault(source.image_id, []).append(source.path)
        return [self._omero("Image", each, names[each], alternate=paths[each]) for each in paths]

    def _objects(self, objects: Iterable[CreatedObject]) -> list[str]:
        return [self._omero(each.kind, each.object_id, each.name) for each in objects]

    def _omero(self, kind: str, object_id: int, name: str, *, alternate: Sequence[str] = ()) -> str:
        return self.add(
            {
                "@id": self._crate.link(kind, object_id) or f"#omero-{kind.lower()}-{object_id}",
                "@type": "CreativeWork",
                "name": name,
                "identifier": f"OMERO {kind}:{object_id}",
                "alternateName": list(alternate),
            }
        )

    def outputs_of(self, action: Action) -> list[str]:
        """What an action has made; of an OME-Zarr the folder, as nobody looks at single chunks."""
        folders: dict[str, list[CrateFile]] = {}
        found: list[str] = []
        inside = self._crate.holds_outputs
        for output in action.outputs:
            if folder := _zarr_folder(output.path):
                folders.setdefault(folder, []).append(output)
            elif inside:
                found.append(self.add(_file(_uri(output.path), "File", output)))
            else:
                identity = f"#run-{_word(action.key)}-output-{_uri(output.path)}"
                found.append(self.add(_file(identity, "CreativeWork", output)))
        for folder, files in folders.items():
            size_bytes = sum(each.size_bytes or 0 for each in files)
            whole = CrateFile(folder, size_bytes, description=f"OME-Zarr of {len(files)} files.")
            identity = f"{_uri(folder)}/" if inside else f"#run-{_word(action.key)}-output-{_uri(folder)}"
            found.append(self.add(_file(identity, "Dataset" if inside else "CreativeWork", whole)))
        return found

    def _image(self, action: Action) -> str:
        self.add({"@id": _SIF, "@type": "DefinedTerm", "name": "Image of Apptainer or Singularity (SIF)"})
        address = action.image_source.partition("://")[2] or action.image_source
        name, _, digest = address.partition("@")
        path, _, tag = name.rpartition(":") if ":" in name.rpartition("/")[2] else (name, "", "")
        host, slash, rest = path.partition("/")
        registry = host if slash and re.search(r"[.:]|^localhost$", host) else ""
        return self.add(
            {
                "@id": f"#image-{action.image_sha256 or _word(action.image_source)}",
                "@type": "ContainerImage",
                "additionalType": _ref(_SIF),
                "registry": registry or ("docker.io" if address else ""),
                "name": (rest if registry else path) or "not known",
                "tag": tag or digest,
                "sha256": action.image_sha256,
            }
        )

    def software(self, name: str, version: str) -> str:
        identity = f"#software-{_word(name)}"
        said = {"name": name, "softwareVersion": version, "url": _HOMES.get(name.lower(), "")}
        return self.add({"@id": identity, "@type": "SoftwareApplication", **said})


def _file(identity: str, kind: str, file: CrateFile) -> Entity:
    return {
        "@id": identity,
        "@type": kind,
        "name": PurePosixPath(file.path).name,
        "description": file.description,
        "contentSize": None if file.size_bytes is None else str(file.size_bytes),
        "sha256": file.sha256,
        "encodingFormat": mimetypes.guess_type(file.path)[0] if kind != "Dataset" else None,
    }


def _known(entity: Entity) -> Entity:
    """Leave out what nobody knows, but for values, which may be empty; write a list of one as that one."""
    known = {key: value for key, value in entity.items() if key == "value" or value not in ("", [], None)}
    return {key: value[0] if isinstance(value, list) and len(value) == 1 else value for key, value in known.items()}


def _time(text: str) -> str:
    """Write a time as the profiles want it: with an offset, and no fraction of a second."""
    try:
        return datetime.fromisoformat(text).isoformat(timespec="seconds")
    except ValueError:
        return ""


def _person(name: str) -> str:
    return f"#person-{_word(name)}"


def _parameter(tool: Tool, name: str) -> str:
    return f"#parameter-{_word(tool.name)}-{_word(name)}"


def _ref(identity: str) -> Entity:
    return {"@id": identity}


def _uri(path: str) -> str:
    return quote(os.fsencode(path))


def _word(text: str) -> str:
    """Write a text so that it can be a part of an id."""
    return quote(text.encode("utf-8", "replace"), safe="").replace("%", "_")


def _zarr_folder(path: str) -> str:
    parts = PurePosixPath(path).parts
    return next(("/".join(parts[:end]) for end, part in enumerate(parts, 1) if part.lower().endswith(".zarr")), "")
