"""What tests of results share: analysed images with a folder of results, and questions to another client."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import omero.model
import omero.sys
import pytest
from omero.rtypes import unwrap, wrap

from tests.lab.omero.images import import_image, make_dataset, make_project
from tests.lab.person import logged_in
from worker.errors import ResultsError
from worker.results.importer import import_results
from worker.results.ledger import NS_KEY
from worker.results.model import ImportOptions, ImportReport, Provenance, SourceFile

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from omero.gateway import BlitzGateway

    from tests.lab.description import Lab

NOTHING: Final = ImportOptions(zip_to_parent=False, csv_tables=False)
"""Options by which nothing is imported; a test adds what it is about."""

PIXEL_SIZE_UM: Final = (0.25, 0.5, 1.5)
"""Size of the pixels of the analysed images, in x, y and z."""

_CHILDREN: Final = {
    "Project": ("Dataset", "select l.child.id from ProjectDatasetLink l where l.parent.id = :id order by l.child.id"),
    "Dataset": ("Image", "select l.child.id from DatasetImageLink l where l.parent.id = :id order by l.child.id"),
}


@dataclass(frozen=True, slots=True)
class Bench:
    """A project with a dataset of two analysed images, and a folder for results."""

    gateway: BlitzGateway
    project_id: int
    dataset_id: int
    sources: tuple[SourceFile, ...]
    folder: Path
    log: Path
    provenance: Provenance

    def bring(self, options: ImportOptions, **named: Any) -> ImportReport:
        """Import whatever lies in the folder, all of it."""
        report = self.try_to_bring(options, **named)
        if report.problems:
            raise ResultsError(" ".join(report.problems))
        return report

    def try_to_bring(self, options: ImportOptions, *, gateway: Any = None, **named: Any) -> ImportReport:
        """Import whatever lies in the folder, or as much of it as can be."""
        files = [str(path.relative_to(self.folder)) for path in self.folder.rglob("*") if path.is_file()]
        return import_results(
            *(gateway or self.gateway, self.folder, files, self.sources, options, self.provenance, self.log),
            **named,
        )

    def again(self) -> Bench:
        """The same images, analysed by another run."""
        return replace(self, provenance=replace(self.provenance, run_id=str(uuid.uuid4())))


def make_bench(gateway: BlitzGateway, tmp_path: Path) -> Bench:
    """Make a bench of one's own, where the fixture's owner or group is not the right one."""
    project_id = make_project(gateway, f"project {uuid.uuid4()}")
    dataset_id = make_dataset(gateway, "analysed", project_id=project_id)
    pixels = np.zeros((2, 3, 3, 4, 5), "uint8")
    sources = []
    for name in ("cells.tif", "nuclei.tif"):
        image_id = import_image(gateway, pixels, name, dataset_id, pixel_size_um=PIXEL_SIZE_UM)
        sources.append(SourceFile(f"{name}.zarr", "Image", image_id, image_id, name))
    folder, log = tmp_path / "out", tmp_path / "job.log"
    folder.mkdir()
    log.write_text("Running nuclei Job\n")
    provenance = Provenance(
        str(uuid.uuid4()), str(uuid.uuid4()), 42, "nuclei", "v1", {"diameter": 30}, started="2026-01-02T03:04:05Z"
    )
    return Bench(gateway, project_id, dataset_id, tuple(sources), folder, log, provenance)


@pytest.fixture
def alice(lab: Lab) -> Iterator[BlitzGateway]:
    with logged_in(lab, "alice") as gateway:
        yield gateway


@pytest.fixture
def fresh(lab: Lab) -> Iterator[BlitzGateway]:
    """Another client of alice's, which has seen nothing of what was written."""
    with logged_in(lab, "alice") as gateway:
        yield gateway


@pytest.fixture
def bench(alice: BlitzGateway, tmp_path: Path) -> Bench:
    return make_bench(alice, tmp_path)


def only(report: ImportReport, kind: str) -> int:
    """The id of the one object of a kind that a report names."""
    (object_id,) = [each.object_id for each in report.objects if each.kind == kind]
    return object_id


def ask(gateway: BlitzGateway, hql: str, **values: str | int) -> list[list[Any]]:
    """Plain values from a query, a list for each row."""
    parameters = omero.sys.ParametersI()
    for name, value in values.items():
        parameters.add(name, wrap(value))
    rows = gateway.getQueryService().projection(hql, parameters, gateway.SERVICE_OPTS)
    return [unwrap(row) for row in rows]


def children(gateway: BlitzGateway, kind: str, object_id: int) -> list[Any]:
    """The datasets of a project or the images of a dataset, each as often as it is linked.

    Not ``listChildren()``: it joins the annotations, and so gives a child once for each of them.
    """
    child_kind, hql = _CHILDREN[kind]
    return [gateway.getObject(child_kind, child_id) for (child_id,) in ask(gateway, hql, id=object_id)]


def results_dataset(gateway: BlitzGateway, bench: Bench, name: str = "labels") -> int:
    """The id of the one dataset of results in the bench's project."""
    (dataset,) = [each for each in children(gateway, "Project", bench.project_id) if each.getName() == name]
    return int(dataset.getId())


def files_on(gateway: BlitzGateway, kind: str, object_id: int) -> dict[str, Any]:
    """File annotations of an object by file name; no two may have the same."""
    files: dict[str, Any] = {}
    for each in gateway.getObject(kind, object_id).listAnnotations():
        if isinstance(each._obj, omero.model.FileAnnotation):
            name = each.getFile().getName()
            assert name not in files, f"{kind} {object_id} has two files {name}"
            files[name] = each
    return files


def content(annotation: Any) -> bytes:
    """The bytes of a file annotation's file."""
    return b"".join(annotation.getFileInChunks())


def maps_on(gateway: BlitzGateway, kind: str, object_id: int) -> dict[str, list[dict[str, str]]]:
    """Key-value pairs of an object by namespace."""
    maps: dict[str, list[dict[str, str]]] = {}
    for each in gateway.getObject(kind, object_id).listAnnotations():
        if isinstance(each._obj, omero.model.MapAnnotation):
            maps.setdefault(each.getNs(), []).append(dict(each.getValue()))
    return maps


def images_of_run(gateway: BlitzGateway, bench: Bench) -> list[str]:
    """Names of all images that say that they come from this run, in a dataset or not."""
    hql = "select i.name from Image i where i.description like :said"
    return sorted(row[0] for row in ask(gateway, hql, said=f"%{bench.provenance.run_id}%"))


def keys_of_run(gateway: BlitzGateway, bench: Bench) -> list[tuple[str, ...]]:
    """Role and state of every idempotency key of the bench's run."""
    return keys_of(gateway, bench.provenance.run_id)


def keys_of(gateway: BlitzGateway, run_id: object) -> list[tuple[str, ...]]:
    """Role and state of every idempotency key of a run."""
    hql = (
        "select a.id, nv.name, nv.value from MapAnnotation a join a.mapValue run join a.mapValue nv"
        " where a.ns = :ns and run.name = 'Run' and run.value = :run"
    )
    pairs: dict[int, dict[str, str]] = {}
    for key_id, name, value in ask(gateway, hql, ns=NS_KEY, run=str(run_id)):
        pairs.setdefault(key_id, {})[name] = value
    return sorted((said["Role"], said["State"]) for said in pairs.values())
