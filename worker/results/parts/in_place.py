"""Images that the importer has made of results: named, described and annotated like those that we write ourselves."""

from __future__ import annotations

from dataclasses import replace
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, Final

import omero.model
import omero.sys
from omero.rtypes import rstring, unwrap

from worker.pixels.session import call_context
from worker.results.images import annotation_links
from worker.results.inplace.arrivals import plates_of
from worker.results.inplace.division import zarr_of
from worker.results.model import ImportedImage

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from worker.results.attempt import Attempt
    from worker.results.outputs import Output, Outputs
    from worker.results.parts.containers import Containers
    from worker.results.surroundings import Place

_AT_ONCE: Final = 500

_IMAGES: Final = "select i from Image i where i.id in (:ids)"

_IN_DATASET: Final = "select l.child.id from DatasetImageLink l where l.parent.id = :parent and l.child.id in (:ids)"

_IN_SCREEN: Final = "select l.child.id from ScreenPlateLink l where l.parent.id = :parent and l.child.id in (:ids)"


def adopt_images(attempt: Attempt, outputs: Outputs, containers: Containers) -> Outputs:
    """Make the images that the importer has made ours; whichever it has not made is a problem.

    Parameters
    ----------
    attempt : Attempt
        The import, which learns what was imported.
    outputs : Outputs
        What the analysis wrote.
    containers : Containers
        Where result images go.

    Returns
    -------
    Outputs
        The same without what the importer was given; the rest comes through OMERO's API.
    """
    if attempt.in_place is None:
        return outputs
    paths = sorted(attempt.in_place)
    results = {each.path: each for each in (*outputs.pictures, *outputs.others)}
    adoption = _Adoption(attempt, containers, [i for ids in attempt.in_place.values() for i in ids])
    for path in paths:
        ids = attempt.in_place[path]
        if ids:
            adoption.adopt(path, ids, results[_result(path)])
        elif not any(drawn in (path, _result(path)) for drawn, _ in attempt.only_drawn):
            attempt.problem(f"{path} is not in OMERO: the importer has made no image of it.")
        attempt.step()
    given = {_result(path) for path in paths}
    images, others, zarrs = (
        tuple(each for each in those if each.path not in given)
        for those in (outputs.images, outputs.others, outputs.zarrs)
    )
    return replace(outputs, images=images, others=others, zarrs=zarrs)


def _result(path: str) -> str:
    """Name the result in which something lies that was ordered: the OME-Zarr folder of a label image."""
    return zarr_of(f"{path}/") or path


class _Adoption:
    """Images that become ours.

    Parameters
    ----------
    attempt : Attempt
        The import.
    containers : Containers
        Where they must be.
    image_ids : Sequence of int
        All of them.
    """

    def __init__(self, attempt: Attempt, containers: Containers, image_ids: Sequence[int]) -> None:
        self._attempt = attempt
        self._gateway = attempt.ledger.gateway
        self._dataset, self._screen = containers.dataset, containers.screen
        self._images = {image.getId().val: image for image in self._objects(_IMAGES, image_ids)}
        self._plates = plates_of(self._gateway, image_ids) if self._screen else {}
        self._placed = self._linked(_IN_DATASET, self._dataset, image_ids)
        self._screened = self._linked(_IN_SCREEN, self._screen, sorted(set(self._plates.values())))
        self._taken: set[str] = set()

    def adopt(self, path: str, ids: Sequence[int], result: Output) -> None:
        """Name, describe and annotate all images of one result."""
        plates = sorted({self._plates[image_id] for image_id in ids if image_id in self._plates})
        if plates:
            for plate_id in plates:
                self._adopt_plate(path, plate_id, result.sha256)
            return
        for index, image_id in enumerate(ids):
            if (path, index) in self._attempt.only_drawn or image_id not in self._images:
                continue
            self._adopt_image(path, index, image_id, result)

    def _adopt_image(self, path: str, index: int, image_id: int, result: Output) -> None:
        attempt, image = self._attempt, self._images[image_id]
        source = attempt.made_from.get(result.path)
        # A label image has its own name behind that of what it is in.
        label = PurePosixPath(path).name if path != result.path else ""
        name = attempt.image_name(result.path, source, self._taken, label)
        key = attempt.key(source, f"image:{path}#{index}", result.sha256)
        entry = attempt.ledger.find(key)
        if entry is not None and entry.object_id != image_id:
            # The same results were imported before, through the API or from another folder: these are images too.
            key = replace(key, role=f"image:{path}#{index}:{image_id}")
            entry = attempt.ledger.find(key)
        links = [] if image_id in self._placed else list(_links(self._dataset, "Image", image_id))
        if entry is None:
            _describe(image, name, attempt.description(source))
            annotations = annotation_links(image_id, attempt.annotation_ids)
            attempt.ledger.adopt("Image", image_id, key, [image, *links, *annotations])
        elif links:
            attempt.ledger.save_all(links)
        attempt.report("Image", image_id, name)
        attempt.imported.append(ImportedImage(path, index, image_id, name, source, bool(label)))

    def _adopt_plate(self, path: str, plate_id: int, sha256: str) -> None:
        attempt = self._attempt
        name = attempt.image_name(path, attempt.made_from.get(path), self._taken)
        key = attempt.key(None, f"plate:{path}#{plate_id}", sha256)
        links = [] if plate_id in self._screened else list(_links(self._screen, "Plate", plate_id))
        if attempt.ledger.find(key) is None:
            plate = self._gateway.c.sf.getQueryService().get("Plate", plate_id, call_context(self._gateway))
            _describe(plate, name, attempt.description(None))
            annotations = list(_annotated("Plate", plate_id, attempt.annotation_ids))
            attempt.ledger.adopt("Plate", plate_id, key, [plate, *links, *annotations])
        elif links:
            attempt.ledger.save_all(links)
        attempt.report("Plate", plate_id, name)

    def _linked(self, hql: str, parent: Place | None, ids: Sequence[int]) -> set[int]:
        if parent is None:
            return set()
        service, context = self._gateway.c.sf.getQueryService(), call_context(self._gateway)
        found: set[int] = set()
        for parameters in _batches(ids):
            parameters.addLong("parent", parent.object_id)
            found.update(unwrap(row)[0] for row in service.projection(hql, parameters, context))
        return found

    def _objects(self, hql: str, ids: Sequence[int]) -> Iterator[Any]:
        service, context = self._gateway.c.sf.getQueryService(), call_context(self._gateway)
        for parameters in _batches(ids):
            yield from service.findAllByQuery(hql, parameters, context)


def _batches(ids: Sequence[int]) -> Iterator[Any]:
    for start in range(0, len(ids), _AT_ONCE):
        parameters = omero.sys.ParametersI()
        parameters.addIds(list(ids[start : start + _AT_ONCE]))
        yield parameters


def _describe(item: Any, name: str, description: str) -> None:
    item.setName(rstring(name))
    item.setDescription(rstring(description))


def _links(parent: Place | None, kind: str, object_id: int) -> Iterator[Any]:
    """Make the link to dataset or screen that an importer did not come to make."""
    if parent is not None:
        link = getattr(omero.model, f"{parent.kind}{kind}LinkI")()
        link.setParent(getattr(omero.model, f"{parent.kind}I")(parent.object_id, False))
        link.setChild(getattr(omero.model, f"{kind}I")(object_id, False))
        yield link


def _annotated(kind: str, object_id: int, annotation_ids: Iterable[int]) -> Iterator[Any]:
    for annotation_id in annotation_ids:
        link = getattr(omero.model, f"{kind}AnnotationLinkI")()
        link.setParent(getattr(omero.model, f"{kind}I")(object_id, False))
        link.setChild(omero.model.MapAnnotationI(annotation_id, False))
        yield link
