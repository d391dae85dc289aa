"""Asking OMERO itself, through a fresh client, whether the results are there, and how good they are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image
from skimage.segmentation import find_boundaries

from tests.lab import samples
from tests.lab.person import logged_in

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from tests.lab.description import Lab

OUTLINE_RGB = (255, 200, 0)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What OMERO holds of a run's results."""

    images: list[dict[str, Any]]
    annotations: list[dict[str, Any]]
    problems: list[str]
    f1: float | None
    labels: NDArray[np.integer[Any]] | None
    """Labels of the first image, (Y, X)."""


def ask(lab: Lab, user: str, objects: Sequence[dict[str, Any]], sources: Sequence[int]) -> Verdict:
    """Ask OMERO for everything that a run says it has created.

    Parameters
    ----------
    lab : Lab
        The lab.
    user : str
        The person whose run it was; a new session is opened as that person.
    objects : sequence of dict
        ``kind``, ``object_id`` and ``name``, as recorded.
    sources : sequence of int
        The images that were analysed, the one with a known truth first.

    Returns
    -------
    Verdict
        What is there, and what is not.
    """
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    problems: list[str] = []
    labels = None
    with logged_in(lab, user) as gateway:
        first_name = gateway.getObject("Image", sources[0]).getName()
        stem = first_name.rsplit(".", 1)[0]
        for item in objects:
            kind = "Annotation" if item["kind"].endswith("Annotation") else item["kind"]
            found = gateway.getObject(kind, item["object_id"])
            if found is None:
                problems.append(f"OMERO has no {item['kind']} {item['object_id']} ({item['name']})")
            elif item["kind"] == "Image":
                plane = found.getPrimaryPixels().getPlane(0, 0, 0)
                notes = [each.getNs() for each in found.listAnnotations()]
                images.append(
                    {
                        "id": item["object_id"],
                        "name": found.getName(),
                        "dataset": found.getParent().getName() if found.getParent() else None,
                        "objects": int(plane.max()),
                        "annotations": sorted(filter(None, notes)),
                    }
                )
                if not any(note and note.startswith("biomero/workflow") for note in notes):
                    problems.append(f"image {item['object_id']} does not tell which run it comes from")
                if found.getName().rsplit("_labels", 1)[0] in (first_name, stem):
                    labels = plane
            elif kind == "Annotation":
                annotations.append({"id": item["object_id"], "kind": item["kind"], "name": item["name"]})
    if len(images) < len(sources):
        problems.append(f"OMERO holds {len(images)} label images for {len(sources)} source images")
    if not any(item["kind"] == "FileAnnotation" for item in annotations):
        problems.append("OMERO holds no table or file of the run")
    if labels is None:
        problems.append("there is no label image of the first source image")
        return Verdict(images, annotations, problems, None, None)
    return Verdict(images, annotations, problems, samples.f1_score(labels, samples.nuclei_truth()), labels)


def draw_overlay(path: Path, labels: NDArray[np.integer[Any]]) -> None:
    """Draw the outlines of labels over the raw image.

    Parameters
    ----------
    path : Path
        The PNG file to write.
    labels : ndarray
        Labels of the sample image, (Y, X).
    """
    raw = samples.nuclei_image().astype(np.float64)
    low, high = np.percentile(raw, (1, 99.8))
    grey = (np.clip((raw - low) / (high - low), 0, 1) * 255).astype(np.uint8)
    picture = np.repeat(grey[:, :, np.newaxis], 3, axis=2)
    picture[find_boundaries(labels, mode="inner")] = OUTLINE_RGB
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture).save(path)
