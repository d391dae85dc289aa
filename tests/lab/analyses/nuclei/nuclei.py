"""Find nuclei in fluorescence images: a small, real analysis with the command line of a BIAFLOWS workflow.

Every TIFF and every OME-Zarr (0.4 or 0.5; an image or a plate) in the input folder is segmented by smoothing, a
threshold, and a watershed on the distance to the background. Written are ``<image>_labels.tif`` for each image (each
field of a plate) and one ``measurements.csv`` for all. A suffix that ends with ``.zarr`` makes them OME-Zarrs (0.4) of
what was looked at, with the labels in them.
"""

from __future__ import annotations

import argparse
import csv
import sys
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import tifffile
import zarr
from scipy import ndimage
from skimage import feature, filters, measure, segmentation

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

TIFF_ENDINGS = (".ome.tiff", ".ome.tif", ".tiff", ".tif")
ZARR_ENDINGS = (".ome.zarr", ".zarr")
COLUMNS = (
    "image",
    "t",
    "label",
    "area_px",
    "centroid_y",
    "centroid_x",
    "mean_intensity",
    "max_intensity",
    "eccentricity",
)


@dataclass(frozen=True)
class Source:
    """An image to be read: its name, and a function that gives its pixels with the names of their axes."""

    name: str
    read: Callable[[], tuple[np.ndarray, str]]


def find_sources(folder: Path) -> list[Source]:
    """Return every image in a folder."""
    sources: list[Source] = []
    for path in sorted(folder.iterdir()):
        name = path.name.lower()
        if path.is_file() and name.endswith(TIFF_ENDINGS):
            sources.append(Source(stem(path, TIFF_ENDINGS), partial(read_tiff, path)))
        elif path.is_dir() and name.endswith(ZARR_ENDINGS):
            sources.extend(zarr_sources(zarr.open_group(path, mode="r"), stem(path, ZARR_ENDINGS)))
    return sources


def stem(path: Path, endings: Sequence[str]) -> str:
    """Return a name without its ending."""
    ending = next(ending for ending in endings if path.name.lower().endswith(ending))
    return path.name[: -len(ending)]


def read_tiff(path: Path) -> tuple[np.ndarray, str]:
    """Read the first image of a TIFF."""
    with tifffile.TiffFile(path) as tiff:
        series = tiff.series[0]
        return series.asarray(), series.axes


def ome_attributes(group: zarr.Group) -> dict[str, Any]:
    """Return OME's metadata of a group: under ``ome`` since version 0.5, at the top before."""
    attributes: dict[str, Any] = dict(group.attrs)
    return dict(attributes.get("ome", attributes))


def member(group: zarr.Group, path: str) -> zarr.Group:
    """Return a group below another one."""
    found = group[path]
    if not isinstance(found, zarr.Group):
        sys.exit(f"{found.path} should be a group, and is an array.")
    return found


def zarr_sources(group: zarr.Group, name: str) -> Iterator[Source]:
    """Return the image that a group is, or those of its wells or series."""
    attributes = ome_attributes(group)
    if "plate" in attributes:
        for well in attributes["plate"]["wells"]:
            yield from zarr_sources(member(group, well["path"]), f"{name}_{well['path'].replace('/', '')}")
    elif "well" in attributes:
        for image in attributes["well"]["images"]:
            yield from zarr_sources(member(group, image["path"]), f"{name}_{image['path']}")
    elif "multiscales" in attributes:
        yield Source(name, partial(read_zarr, group, attributes["multiscales"][0]))
    else:
        # bioformats2raw puts several images of a file side by side, as 0, 1, ...
        series = sorted((key for key in group.group_keys() if key.isdigit()), key=int)
        for key in series:
            yield from zarr_sources(member(group, key), f"{name}_{key}" if len(series) > 1 else name)


def read_zarr(group: zarr.Group, multiscale: dict[str, Any]) -> tuple[np.ndarray, str]:
    """Read the full resolution of an image."""
    full_resolution = group[multiscale["datasets"][0]["path"]]
    if not isinstance(full_resolution, zarr.Array):
        sys.exit(f"{full_resolution.path} should be an array, and is a group.")
    array = np.asarray(full_resolution[...])
    axes = multiscale.get("axes", "tczyx")
    names = [axis["name"] if isinstance(axis, dict) else axis for axis in axes]
    return array, "".join(names).upper()


def planes(pixels: np.ndarray, axes: str, channel: int) -> np.ndarray:
    """Return one channel, the brightest of all z, as (T, Y, X)."""
    if "S" in axes:  # the samples of a colour image
        pixels, axes = pixels.mean(axis=axes.index("S")), axes.replace("S", "")
    if "C" in axes:
        available = pixels.shape[axes.index("C")]
        if not 0 <= channel < available:
            sys.exit(f"There is no channel {channel}: the image has {available}, counted from 0.")
        pixels, axes = pixels.take(channel, axis=axes.index("C")), axes.replace("C", "")
    while extra := [axis for axis in axes if axis not in "TYX"]:
        pixels, axes = pixels.max(axis=axes.index(extra[0])), axes.replace(extra[0], "", 1)
    if "T" not in axes:
        pixels, axes = pixels[np.newaxis], "T" + axes
    return pixels.transpose([axes.index(axis) for axis in "TYX"])


def segment(plane: np.ndarray, options: argparse.Namespace) -> np.ndarray:
    """Label the nuclei of a plane (Y, X)."""
    diameter = options.diameter
    smooth = filters.gaussian(plane.astype(np.float32), sigma=diameter / 14, preserve_range=True)
    if smooth.max() == smooth.min():
        return np.zeros(plane.shape, dtype=np.uint16)
    threshold = filters.threshold_otsu(smooth)
    if options.threshold_method == "local":
        # Brighter than their surroundings; half of the global threshold keeps noise out of empty places.
        surroundings = filters.gaussian(smooth, sigma=diameter, preserve_range=True)
        threshold = np.maximum(1.2 * surroundings, 0.5 * threshold)
    mask = smooth > threshold * options.threshold_scale
    if options.fill_holes:
        mask = ndimage.binary_fill_holes(mask)
    distance = filters.gaussian(ndimage.distance_transform_edt(mask), sigma=diameter / 10, preserve_range=True)
    peaks = feature.peak_local_max(distance, min_distance=max(1, round(diameter / 4)), labels=measure.label(mask))
    markers = np.zeros(plane.shape, dtype=np.int32)
    markers[tuple(peaks.T)] = np.arange(1, len(peaks) + 1)
    labels = segmentation.watershed(-distance, markers, mask=mask)
    labels = np.where(np.isin(labels, small_objects(labels, options.min_size)), 0, labels)
    labels, _, _ = segmentation.relabel_sequential(labels)
    if labels.max() > np.iinfo(np.uint16).max:
        sys.exit(f"{labels.max()} nuclei are more than a label image can number; is the diameter right?")
    return np.asarray(labels, dtype=np.uint16)


def small_objects(labels: np.ndarray, min_size: int) -> np.ndarray:
    """Return the labels of objects with fewer pixels than *min_size*."""
    areas = np.bincount(labels.ravel())
    return np.flatnonzero(areas < min_size)


def write_tiff(path: Path, labels: np.ndarray) -> None:
    """Write labels (T, Y, X) as a TIFF."""
    squeezed, axes = (labels[0], "YX") if len(labels) == 1 else (labels, "TYX")
    tifffile.imwrite(path, squeezed, photometric="minisblack", metadata={"axes": axes}, compression="zlib")


def write_zarr(path: Path, stack: np.ndarray, labels: np.ndarray) -> None:
    """Write an image (T, Y, X) with its labels as an OME-Zarr."""
    axes = [{"name": "t", "type": "time"}, {"name": "y", "type": "space"}, {"name": "x", "type": "space"}]
    dataset = {"path": "0", "coordinateTransformations": [{"type": "scale", "scale": [1.0, 1.0, 1.0]}]}
    attributes: dict[str, Any] = {"multiscales": [{"version": "0.4", "axes": axes, "datasets": [dataset]}]}
    label: dict[str, Any] = {"image-label": {"version": "0.4"}}
    for place, pixels, more in (("", stack, {}), ("labels/nuclei", labels, label)):
        group = zarr.open_group(path / place, mode="a", zarr_format=2)
        array = group.create_array("0", shape=pixels.shape, dtype=pixels.dtype, chunks=(1, *pixels.shape[1:]))
        array[...] = pixels
        group.attrs.update(attributes | more)
    zarr.open_group(path / "labels", mode="a", zarr_format=2).attrs["labels"] = ["nuclei"]


def measurements(name: str, t: int, labels: np.ndarray, plane: np.ndarray) -> Iterator[tuple[Any, ...]]:
    """Return a row for each nucleus."""
    for nucleus in measure.regionprops(labels, intensity_image=plane):
        y, x = nucleus.centroid
        yield (
            name,
            t,
            nucleus.label,
            int(nucleus.area),
            f"{y:.2f}",
            f"{x:.2f}",
            f"{nucleus.intensity_mean:.3f}",
            f"{nucleus.intensity_max:.3f}",
            f"{nucleus.eccentricity:.4f}",
        )


def boolean(text: str) -> bool:
    """Read a truth value as BIAFLOWS writes it."""
    values = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
    if text.lower() not in values:
        raise argparse.ArgumentTypeError(f"{text!r} is neither true nor false")
    return values[text.lower()]


def read_command_line(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line; the defaults are those of descriptor.json."""
    parser = argparse.ArgumentParser(prog="nuclei.py", description="Find nuclei in fluorescence images.")
    parser.add_argument("--infolder", type=Path, required=True)
    parser.add_argument("--outfolder", type=Path, required=True)
    parser.add_argument("--gtfolder", type=Path, help="ground truth, which this analysis does not look at")
    parser.add_argument("--local", action="store_true", help="work on folders; there is no other way here")
    parser.add_argument("-nmc", action="store_true", help="compute no metric of the benchmark; none is computed here")
    parser.add_argument("--diameter", type=float, default=20.0)
    parser.add_argument("--threshold_scale", type=float, default=1.0)
    parser.add_argument("--threshold_method", choices=("local", "otsu"), default="local")
    parser.add_argument("--min_size", type=int, default=30)
    parser.add_argument("--channel", type=int, default=0)
    parser.add_argument("--fill_holes", type=boolean, default=True)
    parser.add_argument("--label_suffix", default="_labels")
    parser.add_argument("--note", default="", help="anything; it is written to the log as it arrived")
    parser.add_argument("--debug_write", type=boolean, default=True, help="whether to write any results")
    parser.add_argument("--debug_sleep", type=float, default=0.0, help="seconds to wait before the first image")
    parser.add_argument("--debug_memory", type=int, default=0, help="fill so many MiB before the first image")
    parser.add_argument("--debug_exit", type=int, default=0, help="end with this status after the last image")
    options = parser.parse_args(argv)
    if options.diameter <= 0:
        parser.error(f"--diameter must be more than 0, and is {options.diameter}")
    if Path(options.label_suffix).name != options.label_suffix:
        parser.error(f"--label_suffix must be part of a file name, and is {options.label_suffix!r}")
    return options


def main(argv: Sequence[str] | None = None) -> int:
    """Run the analysis and return its exit status."""
    options = read_command_line(argv)
    print(f"note: {options.note}", flush=True)
    filled = np.ones(options.debug_memory * 2**20, dtype=np.uint8)
    time.sleep(options.debug_sleep)
    del filled
    if not options.debug_write:
        return int(options.debug_exit)
    sources = find_sources(options.infolder)
    if not sources:
        print(f"There is no TIFF and no OME-Zarr in {options.infolder}.", file=sys.stderr)
        return 3
    options.outfolder.mkdir(parents=True, exist_ok=True)
    with (options.outfolder / "measurements.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(COLUMNS)
        for done, source in enumerate(sources, start=1):
            stack = planes(*source.read(), channel=options.channel)
            labels = np.stack([segment(plane, options) for plane in stack])
            for t, plane in enumerate(stack):
                table.writerows(measurements(source.name, t, labels[t], plane))
            if options.label_suffix.endswith(".zarr"):
                write_zarr(options.outfolder / f"{source.name}{options.label_suffix}", stack, labels)
            else:
                write_tiff(options.outfolder / f"{source.name}{options.label_suffix}.tif", labels)
            print(f"{source.name}: {int(labels.max())} nuclei", flush=True)
            print(f"{100 * done // len(sources)}%", flush=True)
    return int(options.debug_exit)


if __name__ == "__main__":
    sys.exit(main())
