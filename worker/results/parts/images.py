"""Result images as images in the dataset."""

from __future__ import annotations

from typing import TYPE_CHECKING

from worker.errors import ResultsError
from worker.results.images import ImageLabel, import_image, link_missing
from worker.results.model import ImportedImage
from worker.results.pictures import name_inside, wanted_images
from worker.results.readers.opening import open_images

if TYPE_CHECKING:
    from worker.results.attempt import Attempt
    from worker.results.outputs import Output, Outputs
    from worker.results.surroundings import Place


def bring_images(attempt: Attempt, outputs: Outputs, dataset: Place) -> None:
    """Import every result image into a dataset; one that cannot be read is a problem, and the others are imported.

    Parameters
    ----------
    attempt : Attempt
        The import, which learns what was imported.
    outputs : Outputs
        What the analysis wrote.
    dataset : Place
        The dataset.
    """
    if not outputs.pictures and not attempt.only_drawn:
        attempt.note("There is no image among the results.")
    taken: set[str] = set()
    earlier: list[int] = []
    for output in outputs.pictures:
        try:
            _bring(attempt, output, dataset, taken, earlier)
        except ResultsError as error:
            attempt.problem(str(error))
        attempt.step()
    if earlier:
        link_missing(attempt.ledger, earlier, dataset.object_id, attempt.annotation_ids)


def _bring(attempt: Attempt, output: Output, dataset: Place, taken: set[str], earlier: list[int]) -> None:
    made_from = attempt.analysed(attempt.made_from.get(output.path))
    with open_images(output.file, made_from.sizes if made_from else None, output.path) as images:
        for index, image in wanted_images(images, attempt.options):
            if (output.path, index) in attempt.only_drawn:
                continue
            source = attempt.source_of(output.path, image)
            name = attempt.image_name(output.path, source, taken, name_inside(image, images))
            label = ImageLabel(name, attempt.description(source))
            key = attempt.key(source, f"image:{output.path}#{index}", output.sha256)
            entry = attempt.ledger.find(key)
            if entry is not None and entry.complete:
                earlier.append(entry.object_id)
            image_id = import_image(
                attempt.ledger,
                key,
                image,
                label,
                source=attempt.analysed(source),
                dataset_id=dataset.object_id,
                annotation_ids=attempt.annotation_ids,
            )
            attempt.report("Image", image_id, label.name)
            attempt.imported.append(ImportedImage(output.path, index, image_id, label.name, source, image.label))
