"""The objects of label images as ROIs on the images that they were made from."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import omero.sys
from omero.rtypes import unwrap

from worker.errors import OmeroRefused, RequestError, ResultsError
from worker.pixels.session import call_context
from worker.results.clearing import clear
from worker.results.colours import colour_of_run, read_colour
from worker.results.deletion import delete
from worker.results.labels import candidate, choose_labels
from worker.results.ledger import Key
from worker.results.readers.opening import open_images
from worker.results.rois import SHAPES, Style, draw, fit, rois_by_label, trace
from worker.results.spool import open_spool

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from worker.results.attempt import Attempt
    from worker.results.labels import Candidate
    from worker.results.model import ImportOptions, SourceFile
    from worker.results.outputs import Output, Outputs

_PREFIX_LENGTH: Final = 160
"""OMERO keeps 255 characters of a name; the name of the labels and the number of the object have to go behind."""

_PART_LENGTH: Final = 60

_THERE: Final = "select i.id from Image i where i.id in (:ids)"

_TOLD: Final = 5
"""Of so many images everything is told; of further ones their ids."""


@dataclass(frozen=True, slots=True)
class _Image:
    """An image among the results: the file that it is in, and what it was made from."""

    candidate: Candidate
    output: Output
    source: SourceFile
    siblings: int

    @property
    def places(self) -> tuple[tuple[str, int], ...]:
        """Under which path and number it may be known, the importer's path of a label image inside an OME-Zarr too."""
        own = (self.candidate.path, self.candidate.index)
        inside = (f"{self.candidate.path}/labels/{self.candidate.name}", 0)
        return (own, inside) if self.output.members and self.candidate.declared else (own,)


@dataclass(slots=True)
class _Account:
    """What there is to tell of all images together."""

    drawn: list[_Image] = field(default_factory=list)
    problems: list[tuple[int, str]] = field(default_factory=list)
    without: list[int] = field(default_factory=list)
    empty: list[str] = field(default_factory=list)
    on_every: dict[str, list[int]] = field(default_factory=lambda: {"section": [], "time point": []})
    removed: int = 0
    kept: int = 0


def check_rois(options: ImportOptions) -> None:
    """Check what a person chose about ROIs.

    Parameters
    ----------
    options : ImportOptions
        What was chosen.

    Raises
    ------
    RequestError
        If shape, colour or name cannot be.
    """
    if not options.create_rois:
        return
    if options.roi_shape not in SHAPES:
        raise RequestError(f"ROIs cannot be drawn as {options.roi_shape!r}.", remedy=f"Choose {' or '.join(SHAPES)}.")
    if options.roi_color.strip():
        read_colour(options.roi_color)
    if len(options.roi_name_prefix) > _PREFIX_LENGTH:
        raise RequestError(
            f"The names of ROIs would begin with {len(options.roi_name_prefix)} characters.",
            remedy=f"Give at most {_PREFIX_LENGTH}.",
        )


def draw_rois(attempt: Attempt, outputs: Outputs) -> None:
    """Draw the objects of label images; what cannot be drawn is a problem, and all else is drawn.

    The pixels are read from the results themselves, so that it does not matter whether they are imported as images.

    Parameters
    ----------
    attempt : Attempt
        The import, which learns which label images need not become images, as their ROIs are there.
    outputs : Outputs
        What the analysis wrote.
    """
    account = _Account()
    images = _result_images(attempt, outputs)
    for image_id in attempt.options.roi_targets or attempt.surroundings.images:
        _draw_on(attempt, image_id, images.get(image_id, []), account)
        if attempt.options.csv_tables and outputs.tables:
            drawn = rois_by_label(attempt.ledger, image_id)
            attempt.rois |= {(image_id, number): ids for number, ids in drawn.items()}
        attempt.step()
    _tell(attempt, account)
    if attempt.options.roi_delete_label_images:
        attempt.only_drawn.update(place for each in account.drawn for place in each.places)
        _delete_images(attempt, account.drawn)


def _result_images(attempt: Attempt, outputs: Outputs) -> dict[int, list[_Image]]:
    """Look into each result, and sort the images in it by what they were made from."""
    found: dict[int, list[_Image]] = {}
    for output in outputs.pictures:
        analysed = attempt.analysed(attempt.made_from.get(output.path))
        try:
            with open_images(output.file, analysed.sizes if analysed else None, output.path, attempt.problem) as images:
                several = len(images) > 1
                seen = [
                    (attempt.source_of(output.path, each), candidate(output.path, index, each, named=several))
                    for index, each in enumerate(images)
                ]
        except ResultsError as error:
            attempt.problem(str(error))
            continue
        for source, each in seen:
            if source is not None:
                found.setdefault(source.image_id, []).append(_Image(each, output, source, len(seen)))
    return found


def _draw_on(attempt: Attempt, image_id: int, images: Sequence[_Image], account: _Account) -> None:
    """Draw all objects that belong on one image."""
    if not images:
        account.without.append(image_id)
        return
    target = f"Image {image_id} ({images[0].source.name})"
    try:
        chosen = choose_labels([each.candidate for each in images], attempt.options.roi_label_pattern)
    except ResultsError as error:
        account.problems.append((image_id, f"There are no ROIs on {target}: {error}"))
        return
    labels = [each for each in images if each.candidate in chosen]
    cleared = False
    for each in labels:
        part = each.candidate.name[:_PART_LENGTH] if len(labels) > 1 else ""
        try:
            _draw(attempt, each, target, part, account, clears=not cleared)
        except (ResultsError, OmeroRefused) as error:
            account.problems.append((image_id, f"The objects of {each.candidate} are not on {target}: {error}"))
        else:
            cleared = True
            account.drawn.append(each)


def _draw(attempt: Attempt, image: _Image, target: str, part: str, account: _Account, *, clears: bool) -> None:
    each, source, shape = image.candidate, image.source, attempt.options.roi_shape
    analysed = attempt.analysed(source)
    if analysed is None:
        raise ResultsError("That image is not there any more.")
    with open_images(image.output.file, analysed.sizes, each.path, attempt.problem) as images, open_spool() as spool:
        label = images[each.index]
        fitted = fit(label, analysed.sizes)
        trace(label, fitted, shape, spool)
        # Only now: nobody's ROIs are removed for labels that cannot be drawn.
        if attempt.options.roi_clear_existing and clears:
            _clear(attempt, source, account)
        key = attempt.key(source, f"rois:{shape}:{each.path}#{each.index}:", image.output.sha256)
        last_id = draw(attempt.ledger, key, spool, source.image_id, _style(attempt, source, part))
        count = len(spool)
    if not count:
        account.empty.append(str(each))
        return
    attempt.report("Roi", last_id, f"{count:,} objects of {each} on {target}")
    for on_every, what in ((fitted.every_z, "section"), (fitted.every_t, "time point")):
        if on_every:
            account.on_every[what].append(source.image_id)


def _clear(attempt: Attempt, source: SourceFile, account: _Account) -> None:
    options = attempt.options
    key = Key("-", f"Image:{source.image_id}", f"rois-cleared:{options.roi_shape}", "")
    own = f"rois:{options.roi_shape}:"
    cleared = clear(attempt.ledger, key, source.image_id, options.roi_clear_filter, own)
    account.removed += cleared.removed
    account.kept += cleared.kept


def _style(attempt: Attempt, source: SourceFile, part: str) -> Style:
    options, provenance = attempt.options, attempt.provenance
    prefix = options.roi_name_prefix or f"{provenance.workflow}__{provenance.run_id}"
    colour = options.roi_color.strip() or colour_of_run(provenance.run_id)
    return Style(f"{prefix}_{part}" if part else prefix, attempt.description(source), read_colour(colour))


def _tell(attempt: Attempt, account: _Account) -> None:
    """Tell everything that a person should know, once for all images."""
    for _, problem in account.problems[:_TOLD]:
        attempt.problem(problem)
    if len(account.problems) > _TOLD:
        ids = _listed(image_id for image_id, _ in account.problems[_TOLD:])
        attempt.problem(f"ROIs are missing in the same or a like way on the images {ids}.")
    if account.without:
        told = (
            f"No image among the results belongs to the images {_listed(account.without)}: there are no ROIs on them."
        )
        # Who names an image expects ROIs on it; of all the others the analysis need not have made labels.
        nothing = len(account.without) == len(attempt.surroundings.images)
        (attempt.problem if attempt.options.roi_targets or nothing else attempt.note)(told)
    if account.empty:
        attempt.note(f"There are no objects, and so no ROIs, in {', '.join(account.empty)}.")
    for what, image_ids in account.on_every.items():
        if image_ids:
            attempt.note(
                f"There is one label plane for every {what} of the images {_listed(image_ids)}: so are the ROIs."
            )
    if account.removed:
        attempt.note(f"{account.removed:,} ROIs that were on the images before were removed.")
    if account.kept:
        attempt.note(f"{account.kept:,} ROIs that were on the images before stay there: you may not delete them.")


def _delete_images(attempt: Attempt, drawn: Sequence[_Image]) -> None:
    """Delete the images that drawn labels have in OMERO already: of an earlier import, or the importer's."""
    for each in drawn:
        try:
            for path, index in each.places:
                key = attempt.key(each.source, f"image:{path}#{index}", each.output.sha256)
                if attempt.ledger.find(key) is not None:
                    attempt.ledger.discard(key)
                elif ids := _in_place(attempt, path, each.siblings if path == each.candidate.path else 1):
                    delete(attempt.ledger.gateway, "Image", ids)
        except OmeroRefused as error:
            attempt.note(f"The label image {each.candidate} stays in OMERO: {error}")


def _in_place(attempt: Attempt, path: str, count: int) -> list[int]:
    """List the images that the importer has made of a result, if all of them are labels that are drawn.

    OMERO deletes the images of a file together or not at all.
    """
    ids = (attempt.in_place or {}).get(path, ())
    if len(ids) > count or any((path, index) not in attempt.only_drawn for index in range(count)):
        return []
    analysed = {source.image_id for source in attempt.sources}
    parameters = omero.sys.ParametersI()
    parameters.addIds([image_id for image_id in ids if image_id not in analysed] or [-1])
    service = attempt.ledger.gateway.c.sf.getQueryService()
    return [row[0] for row in unwrap(service.projection(_THERE, parameters, call_context(attempt.ledger.gateway)))]


def _listed(ids: Iterable[int]) -> str:
    return ", ".join(str(each) for each in ids)
