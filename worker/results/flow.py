"""Several images on their way to OMERO at a time.

Images are created and finished by the thread that asks for it, in the order in which they are given: their ids are in
that order, and the ledger is nobody else's. What takes long, reading and sending pixels, is done by a few threads, each
with a raw pixels store of its own that takes one image after the other. So OMERO works on one image while the next is
on its way, and no more than a plane for each thread is in memory, however many images there are.
"""

from __future__ import annotations

import threading
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import ExitStack
from dataclasses import dataclass, replace
from queue import SimpleQueue
from typing import TYPE_CHECKING, Final

from worker.errors import ResultsError
from worker.results.images import begin_image, discard, discarded_on_failure, finish_image
from worker.results.planes import PlaneStore

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Sequence

    from worker.results.images import BegunImage, ImageLabel
    from worker.results.ledger import Key, Ledger
    from worker.results.readers.model import FileImage, Plane
    from worker.results.surroundings import AnalysedImage

IN_FLIGHT: Final = 3
"""Images at a time. More bring no more: OMERO's side, and the encryption of ours, are busy then."""


@dataclass(frozen=True, slots=True)
class Shipment:
    """An image that shall be imported.

    Parameters
    ----------
    key : Key
        Its idempotency key.
    image : FileImage
        The image in its file, which stays open until the outcome is there.
    label : ImageLabel
        Its name and description.
    source : AnalysedImage or None
        What it was made from, if known.
    """

    key: Key
    image: FileImage
    label: ImageLabel
    source: AnalysedImage | None


def import_images(
    ledger: Ledger, shipments: Iterable[Shipment], *, dataset_id: int, annotation_ids: Sequence[int]
) -> Generator[tuple[Shipment, int | ResultsError]]:
    """Import images into a dataset; finish those that an earlier attempt began.

    Parameters
    ----------
    ledger : Ledger
        The run's ledger.
    shipments : Iterable of Shipment
        The images. The next one is asked for while earlier ones are still on their way.
    dataset_id : int
        Dataset to link them to.
    annotation_ids : Sequence of int
        Annotations to link to them.

    Yields
    ------
    tuple of Shipment and (int or ResultsError)
        Each image, in the order in which they were given, with its id in OMERO, or the reason why it cannot be there.
        An image that failed is deleted again; so are those on their way, if something else fails.
    """
    with ExitStack() as stack:
        flow = _Flow(ledger, stack)
        try:
            for shipment in shipments:
                flow.start(shipment)
                if len(flow.under_way) >= IN_FLIGHT:
                    yield flow.arrival(dataset_id, annotation_ids)
            while flow.under_way:
                yield flow.arrival(dataset_id, annotation_ids)
        except (Exception, GeneratorExit) as error:
            flow.abandon(error)
            raise


@dataclass(frozen=True, slots=True)
class _UnderWay:
    """An image that was begun, and the sending of its pixels; or why it could not be begun."""

    shipment: Shipment
    begun: BegunImage | None = None
    sent: Future[None] | None = None
    refused: ResultsError | None = None


class _Flow:
    """The images on their way, and the threads and stores that they travel by."""

    def __init__(self, ledger: Ledger, stack: ExitStack) -> None:
        self.under_way: deque[_UnderWay] = deque()
        self._ledger = ledger
        self._stack = stack
        self._stores: SimpleQueue[PlaneStore] = SimpleQueue()
        self._stores_opened = 0
        self._stopped = threading.Event()
        self._pool: ThreadPoolExecutor | None = None

    def start(self, shipment: Shipment) -> None:
        """Create an image, and have its pixels sent."""
        try:
            begun = begin_image(self._ledger, shipment.key, shipment.image, shipment.label, source=shipment.source)
        except ResultsError as error:
            self.under_way.append(_UnderWay(shipment, refused=error))
            return
        sent = None
        if begun.pixels_id is not None:
            if self._stores_opened < IN_FLIGHT:
                self._stores.put(self._stack.enter_context(PlaneStore(self._ledger.gateway)))
                self._stores_opened += 1
            if self._pool is None:
                # Entered after the first store, so that it has ended before any of them is closed.
                self._pool = self._stack.enter_context(ThreadPoolExecutor(IN_FLIGHT, "images"))
            sent = self._pool.submit(self._send, shipment.image, begun.pixels_id, begun.pixel_type)
        self.under_way.append(_UnderWay(shipment, begun, sent))

    def arrival(self, dataset_id: int, annotation_ids: Sequence[int]) -> tuple[Shipment, int | ResultsError]:
        """Wait for the first image on its way, and make it visible."""
        first = self.under_way[0]
        shipment, begun = first.shipment, first.begun
        outcome: int | ResultsError
        if begun is None:
            outcome = first.refused or ResultsError(f"{shipment.label.name} could not be begun.")
        else:
            outcome = begun.image_id
            if first.sent is not None:
                try:
                    with discarded_on_failure(self._ledger, shipment.key):
                        first.sent.result()
                        finish_image(self._ledger, shipment.key, begun.image_id, dataset_id, annotation_ids)
                except ResultsError as error:
                    outcome = error
        self.under_way.popleft()
        return shipment, outcome

    def abandon(self, reason: BaseException) -> None:
        """Stop what is on its way, and delete it again: it would be found in no dataset."""
        self._stopped.set()
        for each in self.under_way:
            if each.sent is not None:
                each.sent.cancel()
        for each in self.under_way:
            if each.sent is not None and self._ledger.find(each.shipment.key) is not None:
                wait([each.sent])
                discard(self._ledger, each.shipment.key, reason)

    def _send(self, image: FileImage, pixels_id: int, pixel_type: str) -> None:
        def read(t: int, c: int, z: int, rows: slice, columns: slice) -> Plane:
            if self._stopped.is_set():
                raise ResultsError("The import was stopped.")
            return image.read(t, c, z, rows, columns)

        store = self._stores.get()
        try:
            store.write(pixels_id, replace(image, read=read), pixel_type)
        finally:
            self._stores.put(store)
