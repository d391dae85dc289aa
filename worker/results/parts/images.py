"""Result images as images in the dataset."""

from __future__ import annotations

from collections import deque
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from worker.errors import ResultsError
from worker.results.flow import Shipment, import_images
from worker.results.images import ImageLabel, link_missing
from worker.results.model import ImportedImage
from worker.results.pictures import name_inside, wanted_images
from worker.results.readers.opening import open_images

if TYPE_CHECKING:
    from collections.abc import Iterator

    from worker.results.attempt import Attempt
    from worker.results.outputs import Output, Outputs
    from worker.results.readers.model import FileImage
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
    with ExitStack() as stack:
        opened = _Opened(attempt)
        stack.callback(opened.close)
        arrivals = stack.enter_context(
            closing(
                import_images(
                    attempt.ledger,
                    opened.shipments(outputs),
                    dataset_id=dataset.object_id,
                    annotation_ids=attempt.annotation_ids,
                )
            )
        )
        for shipment, outcome in arrivals:
            opened.take(shipment, outcome)
        opened.close_read()
    if opened.earlier:
        link_missing(attempt.ledger, opened.earlier, dataset.object_id, attempt.annotation_ids)


@dataclass(slots=True)
class _Result:
    """A result whose images are on their way: open until the last of them has arrived."""

    output: Output
    file: ExitStack = field(default_factory=ExitStack)
    under_way: deque[tuple[int, FileImage]] = field(default_factory=deque)


class _Opened:
    """The results that are being imported, in their order."""

    def __init__(self, attempt: Attempt) -> None:
        self.earlier: list[int] = []
        self._attempt = attempt
        self._results: deque[_Result] = deque()
        self._taken: set[str] = set()

    def shipments(self, outputs: Outputs) -> Iterator[Shipment]:
        """Open one result after the other, and give the images in it."""
        attempt = self._attempt
        for output in outputs.pictures:
            result = _Result(output)
            self._results.append(result)
            analysed = attempt.analysed(attempt.made_from.get(output.path))
            try:
                images = result.file.enter_context(
                    open_images(output.file, analysed.sizes if analysed else None, output.path, attempt.problem)
                )
            except ResultsError as error:
                attempt.problem(str(error))
                continue
            chosen = [
                (index, image)
                for index, image in wanted_images(images, attempt.options)
                if (output.path, index) not in attempt.only_drawn
            ]
            result.under_way.extend(chosen)
            for index, image in chosen:
                source = attempt.source_of(output.path, image)
                name = attempt.image_name(output.path, source, self._taken, name_inside(image, images))
                key = attempt.key(source, f"image:{output.path}#{index}", output.sha256)
                entry = attempt.ledger.find(key)
                if entry is not None and entry.complete:
                    self.earlier.append(entry.object_id)
                label = ImageLabel(name, attempt.description(source))
                yield Shipment(key, image, label, attempt.analysed(source))

    def take(self, shipment: Shipment, outcome: int | ResultsError) -> None:
        """Report the next image that has arrived."""
        self.close_read()
        attempt, result = self._attempt, self._results[0]
        index, image = result.under_way.popleft()
        if isinstance(outcome, ResultsError):
            attempt.problem(str(outcome))
        else:
            path, name = result.output.path, shipment.label.name
            attempt.report("Image", outcome, name)
            source = attempt.source_of(path, image)
            attempt.imported.append(ImportedImage(path, index, outcome, name, source, image.label))
        self.close_read()

    def close_read(self) -> None:
        """Close the results of which nothing is on its way any more."""
        while self._results and not self._results[0].under_way:
            self._results.popleft().file.close()
            self._attempt.step()

    def close(self) -> None:
        """Close all results."""
        while self._results:
            self._results.popleft().file.close()
