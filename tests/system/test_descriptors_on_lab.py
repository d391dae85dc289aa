"""From the dialog to the container: what a person types arrives exactly as typed, by the rules of each schema.

The analysis ``echo`` of the lab writes down what it was given; it is configured once for each of its descriptors.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from tests.lab import samples
from tests.lab.analyses.part import ECHOES
from tests.lab.fixtures import empty_database
from tests.lab.omero.images import import_image
from tests.lab.person import logged_in
from tests.system.deployment import Deployment
from tests.system.direct import DirectScript
from worker.cluster.layout import RunLayout

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tests.lab.cluster import Cluster
    from tests.lab.description import Lab
    from tests.system.direct import Ended

pytestmark = [pytest.mark.lab, pytest.mark.timeout(150)]

USER = "alice"
NASTY = 'it\'s "quoted"  $(touch /tmp/pwned) `id` ${HOME} ; & | > * ? ~ \\n \\\ntwo\nlines\n\tZoë µm 細胞 🔬 a=b # --c '
FILES = ("table 1.csv", "weights.npy")
FILLED: Mapping[str, Mapping[str, object]] = {
    "biaflows": {"note": NASTY, "other": "--leading dashes", "method": "$(that)"},
    "numbers": {"whole": 3, "fraction": 0.1, "switch": False},
    "bilayers": {"note": NASTY, "use_gpu": True, "normalise": False, "channel": "1", "FILE_measurements": FILES[0]},
    "generated": {"note": "-x 'y'", "threshold": -0.5},
    "biomero": {"note": "--" + NASTY, "radius": 2.0, "FILE_weights": FILES[1]},
    "plain": {"note": " a  b ", "method": "good"},
}
SLOTS = {"bilayers": "p1", "biomero": "p2"}
"""The folders of the files of these descriptors, below that of the images."""


@dataclass(frozen=True, slots=True)
class Heard:
    """What the containers of a run say that they were given, by the name of the descriptor."""

    layout: RunLayout
    records: Mapping[str, Mapping[str, Any]]

    def arguments(self, name: str) -> list[str]:
        """The arguments of a container, with the run's own folders as ``IN``, ``OUT`` and ``GT``."""
        output = f"{self.layout.output}/{list(self.records).index(name)}"
        places = {output: "OUT", str(self.layout.input): "IN", str(self.layout.ground_truth): "GT"}
        words: list[str] = self.records[name]["arguments"]
        for path, place in places.items():
            words = [word.replace(path, place) for word in words]
        return words


@dataclass(frozen=True, slots=True)
class Stage:
    """A deployment, an image, and the ids of the files that are attached to it."""

    deployment: Deployment
    image_id: int
    files: Mapping[str, int]

    def start(self, title: str, filled: Mapping[str, Mapping[str, object]]) -> DirectScript:
        """Fill in the dialog: the fields of some descriptors; a file is given by its name. Then press Run."""
        directory = self.deployment.directory / title
        directory.mkdir()
        inputs: dict[str, object] = {
            "Data_Type": "Image",
            "IDs": [self.image_id],
            "E-mail": False,
            "Select how to import your results (one or more)": True,
            "1) Zip attachment to parent": False,
            "3a) Import into NEW Dataset": f"echoes {title}",
            "4) Upload result CSVs as OMERO tables": False,
            "Cleanup?": False,
        }
        for name, fields in filled.items():
            inputs |= {f"echo_{name}": True, f"echo_{name}_Version": self.deployment.lab.nuclei_version}
            for field, value in fields.items():
                given = [self.files[str(value)]] if field.startswith("FILE_") else value
                inputs[f"echo_{name}_|_{field}"] = given
        return DirectScript(self.deployment.lab, USER, inputs, self.deployment.environ, directory)


@pytest.fixture(scope="module")
def stage(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    directory = tmp_path_factory.mktemp("descriptors")
    files: dict[str, int] = {}
    with logged_in(lab, USER) as gateway:
        image_id = import_image(gateway, samples.nuclei_image()[:32, :32], "echo.tif")
        for name in FILES:
            (directory / name).write_text(name, encoding="utf-8")
            files[name] = gateway.createFileAnnfromLocalFile(str(directory / name), ns="test").getId()
    with empty_database(lab) as database_url:
        yield Stage(Deployment.create(lab, directory, database_url), image_id, files)


@pytest.fixture(scope="module")
def ended(stage: Stage) -> Mapping[str, Ended]:
    """Press Run at the same time with what a person typed, with nothing typed, and with a file of a wrong format."""
    untouched: dict[str, Mapping[str, object]] = {name: {} for name in UNTOUCHED}
    dialogs = {"typed": FILLED, "untouched": untouched, "refused": {"biomero": {"FILE_weights": FILES[0]}}}
    scripts = {title: stage.start(title, filled) for title, filled in dialogs.items()}
    return {title: script.wait() for title, script in scripts.items()}


@pytest.fixture(scope="module")
def runs(stage: Stage, ended: Mapping[str, Ended], cluster: Cluster) -> Mapping[str, Heard]:
    titles = ("typed", "untouched")
    assert [ended[title].exit_status for title in titles] == [0, 0], ended
    return {title: heard(stage.deployment, cluster, title) for title in titles}


def heard(deployment: Deployment, cluster: Cluster, name: str) -> Heard:
    """Read what the containers of a run have written; the run is told by the dataset of its results."""
    with deployment.record() as record:
        for row in record.reader.list_runs():
            request = record.tracker.run(row.run_id).request or {}
            if name in str(request["output"]):
                layout = RunLayout(str(deployment.lab.data_path), str(row.run_id))
                names = [choice["name"].removeprefix("echo_") for choice in request["workflows"]]
                files = [layout.output / str(index) / "echo.json" for index in range(len(names))]
                return Heard(
                    layout, {name: json.loads(cluster.read(file)) for name, file in zip(names, files, strict=True)}
                )
    raise AssertionError(f"no run was {name}")


FOLDERS = ["--infolder", "IN", "--gtfolder", "GT", "--outfolder", "OUT"]
END = ["--local", "-nmc"]
ARRIVES: Mapping[str, list[str]] = {
    "biaflows": [*FOLDERS, f"--note={NASTY}", "--other=--leading dashes", "--method=$(that)", *END],
    "numbers": [*FOLDERS, "--whole=3", "--fraction=0.1", "--switch=False", "--threads=2", *END],
    "bilayers": [
        "--dir=IN", "--chan=1", "--save_png", "--measurements=IN/p1", f"--note={NASTY}", "--use_gpu", "--savedir=OUT",
        "--style=it's $(hidden)",
    ],
    "generated": ["-o", "OUT", "-t-0.5", "-m-x 'y'", "IN"],
    "biomero": ["--images=IN", f"--note=--{NASTY}", "--radius=2.0", "--weights", "IN/p2", "--output", "OUT"],
    "plain": [*FOLDERS, "--note= a  b ", "--method=good", *END],
}  # fmt: skip
UNTOUCHED: Mapping[str, list[str]] = {
    "biaflows": [*FOLDERS, "--note=", '--method=it\'s "this"', *END],
    "bilayers": ["--dir=IN", "--chan=0", "--save_png", "--normalise", "--savedir=OUT", "--style=it's $(hidden)"],
    "biomero": ["--images=IN", "--note", "", "--radius=5.0", "--output", "OUT"],
}


@pytest.mark.parametrize("name", ECHOES)
def test_what_a_person_types_reaches_the_container_exactly_as_typed(runs: Mapping[str, Heard], name: str) -> None:
    assert runs["typed"].arguments(name) == ARRIVES[name]


@pytest.mark.parametrize("name", UNTOUCHED)
def test_what_nobody_touches_is_as_the_descriptor_says(runs: Mapping[str, Heard], name: str) -> None:
    assert runs["untouched"].arguments(name) == UNTOUCHED[name]


def test_every_container_sees_the_images(runs: Mapping[str, Heard]) -> None:
    heard = runs["typed"]
    seen = {name: record["files"][str(heard.layout.input)] for name, record in heard.records.items()}
    assert all(any(file.endswith(".tif") for file in files) for files in seen.values()), seen


def test_a_container_sees_its_files_and_nothing_else_beside_them(runs: Mapping[str, Heard]) -> None:
    heard = runs["typed"]
    seen = [heard.records[name]["files"][str(heard.layout.input / slot)] for name, slot in SLOTS.items()]
    assert seen == [[name] for name in FILES]


def test_a_container_finds_its_folders_where_its_descriptor_wants_them(runs: Mapping[str, Heard]) -> None:
    heard = runs["typed"]
    seen = heard.records["biomero"]["files"]
    assert seen["/inputs"] == seen[str(heard.layout.input)]
    assert seen["/outputs"] == seen[f"{heard.layout.output}/{ECHOES.index('biomero')}"]
    assert "/inputs" not in heard.records["plain"]["files"]


def test_a_file_of_another_format_than_the_descriptor_allows_is_refused(ended: Mapping[str, Ended]) -> None:
    refused = ended["refused"]
    assert refused.exit_status != 0
    assert "'table 1.csv' is not allowed here" in refused.message
    assert "Choose a file that ends with .npy" in refused.message
