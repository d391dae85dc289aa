"""OME-Zarr results: every plane at its place, whatever the order of axes, and nothing read outside of the folder."""

from __future__ import annotations

import json
import os
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import zarr

from tests.unit.results.readers.ngff import axes_of, write_group, write_image
from worker.errors import ResultsError
from worker.results.readers.model import FileChannel, PixelSize
from worker.results.readers.opening import open_images
from worker.results.readers.zarrfolder import ZarrArray

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

VERSIONS = pytest.mark.parametrize("version", ["0.4", "0.5"])


def constant_planes(size_t: int, size_c: int, size_z: int, dtype: str = "uint16") -> NDArray[Any]:
    """Planes, shape (T, C, Z, 4, 5), whose every pixel says where it is: 1000 z + 100 c + 50 t + 5 y + x."""
    t, c, z, y, x = np.ogrid[:size_t, :size_c, :size_z, :4, :5]
    planes: NDArray[Any] = (1000 * z + 100 * c + 50 * t + 5 * y + x).astype(dtype)
    return planes


def refused(path: Path, match: str) -> None:
    """Expect that a folder is refused, or its first plane is, with its name and the reason."""
    with pytest.raises(ResultsError, match=f"{path.name} .*{match}"), open_images(path) as images:
        images[0].plane(0, 0, 0)


@VERSIONS
@pytest.mark.parametrize("letters", ["tczyx", "czyx", "zyx", "yx", "tyx", "cyx", "xyzct", "yxc", "zctyx"])
def test_every_plane_is_at_its_place_whatever_the_order_of_axes(tmp_path: Path, version: str, letters: str) -> None:
    sizes = {"t": 2, "c": 3, "z": 3}
    size_t, size_c, size_z = (sizes[letter] if letter in letters else 1 for letter in "tcz")
    planes = constant_planes(size_t, size_c, size_z)
    present = planes[tuple(slice(None) if letter in letters else 0 for letter in "tczyx")]
    kept = [letter for letter in "tczyx" if letter in letters]
    pixels = present.transpose([kept.index(letter) for letter in letters])
    write_image(tmp_path / "a.zarr", "", pixels, letters, version)
    with open_images(tmp_path / "a.zarr") as (image,):
        assert (image.size_t, image.size_c, image.size_z, image.size_y, image.size_x) == planes.shape
        for t, c, z in image.coordinates():
            assert np.array_equal(image.plane(t, c, z), planes[t, c, z])
        assert np.array_equal(image.read(0, 0, 0, slice(1, 3), slice(2, 5)), planes[0, 0, 0, 1:3, 2:5])


@pytest.mark.parametrize("dtype", ["bool", "uint8", ">u2", "int16", "uint32", "int64", "float32", ">f8"])
def test_pixels_keep_their_type(tmp_path: Path, dtype: str) -> None:
    planes = constant_planes(1, 1, 2)[0, 0] % 2
    write_image(tmp_path / "a.zarr", "", planes.astype(dtype), "zyx")
    with open_images(tmp_path / "a.zarr") as (image,):
        assert image.dtype == np.dtype(dtype)
        assert np.array_equal(image.plane(0, 0, 1), planes[1])


@pytest.mark.parametrize(
    ("chunks", "times"),
    [((2, 3, 3, 4, 5), 1), ((1, 1, 3, 2, 2), 6), ((1, 3, 3, 4, 2), 2), ((1, 1, 1, 4, 5), 18)],
)
def test_chunks_that_reach_over_planes_are_decoded_once(
    tmp_path: Path, chunks: tuple[int, ...], times: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    planes = constant_planes(2, 3, 3)
    write_image(tmp_path / "a.zarr", "", planes, "tczyx", chunks=chunks)
    asked: list[Any] = []
    original = ZarrArray.__getitem__

    def counted(array: ZarrArray, index: Any) -> Any:
        asked.append(index)
        return original(array, index)

    monkeypatch.setattr(ZarrArray, "__getitem__", counted)
    with open_images(tmp_path / "a.zarr") as (image,):
        for t, c, z in image.coordinates():
            assert np.array_equal(image.plane(t, c, z), planes[t, c, z])
    assert len(asked) == times


def test_shards_are_read_chunk_by_chunk(tmp_path: Path) -> None:
    planes = constant_planes(1, 2, 3)
    write_image(tmp_path / "a.zarr", "", planes, "tczyx", "0.5", chunks=(1, 1, 1, 2, 2), shards=(1, 2, 3, 4, 6))
    with open_images(tmp_path / "a.zarr") as (image,):
        assert all(np.array_equal(image.plane(t, c, z), planes[t, c, z]) for t, c, z in image.coordinates())


def test_the_axes_of_space_may_have_any_name(tmp_path: Path) -> None:
    axes = [
        {"name": "wavelength", "type": "channel"},
        *({"name": each, "type": "space"} for each in ("depth", "v", "u")),
    ]
    planes = constant_planes(1, 2, 3)[0]
    write_image(tmp_path / "a.zarr", "", planes, "czyx", axes=axes)
    with open_images(tmp_path / "a.zarr") as (image,):
        assert np.array_equal(image.plane(0, 1, 2), planes[1, 2])


@VERSIONS
def test_the_size_of_pixels_is_the_product_of_the_scales_in_micrometres(tmp_path: Path, version: str) -> None:
    planes = constant_planes(1, 1, 2)[0, 0]
    write_image(tmp_path / "a.zarr", "", planes, "zyx", version, scale=(0.002, 250.0, 250.0), axes=[
        {"name": "z", "type": "space", "unit": "millimeter"},
        {"name": "y", "type": "space", "unit": "nanometer"},
        {"name": "x", "type": "space"},
    ])  # fmt: skip
    with open_images(tmp_path / "a.zarr") as (image,):
        # Without a unit, 250 may be anything.
        assert image.pixel_size == PixelSize(x_um=None, y_um=0.25, z_um=2.0)


@VERSIONS
def test_channels_have_their_names_and_colours(tmp_path: Path, version: str) -> None:
    omero = {"channels": [{"label": "DAPI", "color": "0000FF"}, {"label": "GFP", "color": "#00ff00"}, {"color": "no"}]}
    write_image(tmp_path / "a.zarr", "", constant_planes(1, 3, 1)[0], "czyx", version, attributes={"omero": omero})
    with open_images(tmp_path / "a.zarr") as (image,):
        assert image.channels == (
            FileChannel("DAPI", (0, 0, 255)),
            FileChannel("GFP", (0, 255, 0)),
            FileChannel("", None),
        )


@VERSIONS
def test_labels_follow_their_image(tmp_path: Path, version: str) -> None:
    root = tmp_path / "a.zarr"
    labels = constant_planes(1, 1, 1, "int32")[0, 0]
    write_image(root, "", constant_planes(1, 3, 1)[0], "czyx", version)
    write_group(root, "labels", version, {"labels": ["nuclei", "cells"]})
    for number, name in enumerate(("nuclei", "cells")):
        write_image(root, f"labels/{name}", labels + number, "zyx", version, attributes={"image-label": {}})
    with open_images(root) as images:
        assert [(image.name, image.label, image.size_c) for image in images] == [
            ("an image", False, 3),
            ("nuclei", True, 1),
            ("cells", True, 1),
        ]
        assert np.array_equal(images[2].plane(0, 0, 0), labels[0] + 1)


def test_what_another_library_writes_is_read(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        writer = pytest.importorskip("ome_zarr.writer")
        group = zarr.open_group(tmp_path / "a.zarr", mode="w", zarr_format=2)
        planes = constant_planes(1, 2, 3)[0]
        writer.write_image(planes, group, axes="czyx", fmt=writer.FormatV04())
        writer.write_labels(planes[0], group, name="cells", axes="zyx", fmt=writer.FormatV04())
    with open_images(tmp_path / "a.zarr") as (image, label):
        assert np.array_equal(image.plane(0, 1, 2), planes[1, 2])
        assert (label.name, label.label) == ("cells", True)
        assert np.array_equal(label.plane(0, 0, 1), planes[0, 1])


@VERSIONS
def test_every_series_is_an_image_with_what_its_ome_xml_says(tmp_path: Path, version: str) -> None:
    root = tmp_path / "a.zarr"
    write_group(root, "", version, {"bioformats2raw.layout": 3})
    xml = ""
    for series in range(2):
        planes = constant_planes(1, 1, 1)[0, 0] + series
        write_image(root, str(series), planes, "zyx", version, axes=axes_of("zyx", None))
        channel = f'<Channel Name="c{series}" Color="-16776961"/>'
        xml += f'<Image Name="series {series}"><Pixels PhysicalSizeX="0.5">{channel}</Pixels></Image>'
    (root / "OME").mkdir()
    (root / "OME" / "METADATA.ome.xml").write_text(
        '<?xml version="1.0" encoding="UTF-8"?>'
        f'<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06">{xml}</OME>'
    )
    with open_images(root) as images:
        assert [image.name for image in images] == ["series 0", "series 1"]
        assert images[1].channels == (FileChannel("c1", (255, 0, 0)),)
        assert images[0].pixel_size == PixelSize(x_um=0.5)
        assert images[1].plane(0, 0, 0)[0, 0] == 1


def test_series_are_where_the_file_says(tmp_path: Path) -> None:
    root = tmp_path / "a.zarr"
    write_group(root, "", "0.4", {"bioformats2raw.layout": 3})
    write_group(root, "OME", "0.4", {"series": ["b", "a"]})
    for number, name in enumerate("ab"):
        write_image(root, name, constant_planes(1, 1, 1)[0, 0] + number, "zyx")
    with open_images(root) as images:
        assert [int(image.plane(0, 0, 0)[0, 0]) for image in images] == [1, 0]


@VERSIONS
def test_fields_of_a_plate_say_where_they_are(tmp_path: Path, version: str) -> None:
    root = tmp_path / "plate.zarr"
    wells = [{"path": "A/1", "rowIndex": 0, "columnIndex": 0}, {"path": "C/12", "rowIndex": 2, "columnIndex": 11}]
    write_group(root, "", version, {"plate": {"rows": [], "columns": [], "wells": wells}})
    for number, well in enumerate(wells):
        path = str(well["path"])
        write_group(root, path, version, {"well": {"images": [{"path": "0"}, {"path": "3"}]}})
        for field in (0, 3):
            planes = constant_planes(1, 1, 1)[0, 0] + 10 * number + field
            write_image(root, f"{path}/{field}", planes, "zyx", version)
    write_group(root, "A/1/0/labels", version, {"labels": ["nuclei"]})
    write_image(root, "A/1/0/labels/nuclei", constant_planes(1, 1, 1)[0, 0], "zyx", version)
    with open_images(root) as images:
        assert [(image.well, image.field, image.label) for image in images] == [
            ((0, 0), 0, False),
            ((0, 0), 0, True),
            ((0, 0), 3, False),
            ((2, 11), 0, False),
            ((2, 11), 3, False),
        ]
        assert images[4].plane(0, 0, 0)[0, 0] == 13


def test_a_chunk_that_is_not_there_holds_the_fill_value(tmp_path: Path) -> None:
    root = tmp_path / "a.zarr"
    write_image(root, "", constant_planes(1, 1, 2)[0, 0], "zyx", fill_value=7)
    for chunk in (root / "0").glob("1.*"):
        chunk.unlink()
    with open_images(root) as (image,):
        assert np.unique(image.plane(0, 0, 1)).tolist() == [7]


def rewrite(file: Path, **changes: Any) -> None:
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def one_image(root: Path, version: str = "0.4") -> Path:
    write_image(root, "", constant_planes(1, 1, 2)[0, 0], "zyx", version)
    return root


@pytest.mark.parametrize("version", ["0.4", "0.5"])
@pytest.mark.parametrize(
    "path", ["../secret.zarr/0", "/etc", "..", "a/../../secret.zarr/0", "a\\..\\0", ".", "a//0", "a\0"]
)
def test_metadata_cannot_lead_out_of_the_folder(tmp_path: Path, path: str, version: str) -> None:
    one_image(tmp_path / "secret.zarr", version)
    root = tmp_path / "a.zarr"
    write_group(root, "", version, {"multiscales": [{"axes": axes_of("zyx"), "datasets": [{"path": path}]}]})
    refused(root, "which is none inside of it")


@pytest.mark.parametrize("where", ["labels", "well", "series", "field"])
def test_no_list_of_paths_leads_out_of_the_folder(tmp_path: Path, where: str) -> None:
    one_image(tmp_path / "secret.zarr")
    root, out = tmp_path / "a.zarr", "../secret.zarr"
    well = [{"path": out if where == "well" else "A/1", "rowIndex": 0, "columnIndex": 0}]
    attributes: dict[str, Any] = {
        "labels": {"labels": [out]},
        "series": {"bioformats2raw.layout": 3},
        "well": {"plate": {"wells": well}},
        "field": {"plate": {"wells": well}},
    }
    write_group(root, "", "0.4", attributes[where])
    write_group(root, "OME", "0.4", {"series": [out]})
    write_group(root, "A/1", "0.4", {"well": {"images": [{"path": f"../../{out}"}]}})
    refused(root, "which is none inside of it")


def test_a_link_in_the_folder_is_not_followed(tmp_path: Path) -> None:
    one_image(tmp_path / "secret.zarr")
    root = one_image(tmp_path / "a.zarr")
    (root / "2").symlink_to(tmp_path / "secret.zarr" / "0")
    refused(root, r"its member 2 is a symbolic link, and is not followed")
    (tmp_path / "b.zarr").symlink_to(tmp_path / "secret.zarr")
    refused(tmp_path / "b.zarr", "it is no folder")


def test_a_pipe_in_the_folder_does_not_hold_us_up(tmp_path: Path) -> None:
    root = one_image(tmp_path / "a.zarr")
    os.mkfifo(root / "0" / "pipe")
    refused(root, "its member 0/pipe is no file")


@pytest.mark.parametrize(
    ("file", "changes", "reason"),
    [
        ("0/.zarray", {"compressor": {"id": "pickle"}}, "the codec 'pickle' of its array 0"),
        ("0/.zarray", {"filters": [{"id": "json2"}]}, "the codec 'json2' of its array 0"),
        ("0/.zarray", {"compressor": {"id": "never_heard_of"}}, "the codec 'never_heard_of' of its array 0"),
        ("0/.zarray", {"dtype": "|O"}, ""),
        ("0/.zarray", {"dtype": "|S4", "fill_value": ""}, "which is no type of pixels"),
        ("0/.zarray", {"shape": [2, 0, 5]}, "it has no pixels"),
        ("0/.zarray", {"shape": [2, -4, 5]}, ""),
        ("0/.zarray", {"shape": [2, 10**9, 10**9]}, "claims to have"),
        ("0/.zarray", {"chunks": [1, 10**6, 10**6]}, "a chunk may take 1 GiB at most"),
        ("0/.zarray", {"shape": [2, 4]}, ""),
        (".zattrs", {"multiscales": []}, "no multiscales with a dataset"),
        (".zattrs", {"multiscales": 7}, "no multiscales with a dataset"),
        (".zattrs", {"multiscales": [{"datasets": [{"path": "0"}], "axes": axes_of("yx")}]}, "the axes of it are not"),
        (".zattrs", {"multiscales": [{"datasets": [{"path": "0"}], "axes": ["p", "y", "x"]}]}, "has an axis 'p'"),
        (".zattrs", {"multiscales": [{"datasets": [{"path": "5"}], "axes": axes_of("zyx")}]}, "no Zarr array 5"),
        (".zattrs", {"plate": {"wells": [{"path": "A/1"}]}}, "in which row and column the well 'A/1' is"),
    ],
)  # fmt: skip
def test_metadata_that_make_no_sense_are_an_error_that_says_so(
    tmp_path: Path, file: str, changes: dict[str, Any], reason: str
) -> None:
    root = one_image(tmp_path / "a.zarr")
    rewrite(root / file, **changes)
    refused(root, reason)


def test_codecs_inside_of_shards_are_looked_at_too(tmp_path: Path) -> None:
    root = tmp_path / "a.zarr"
    write_image(root, "", constant_planes(1, 1, 2)[0, 0], "zyx", "0.5", chunks=(1, 2, 5), shards=(2, 4, 5))
    document = (root / "0" / "zarr.json").read_text()
    (root / "0" / "zarr.json").write_text(document.replace('"zstd"', '"numcodecs.pickle"'))
    refused(root, "the codec 'numcodecs.pickle'")


@pytest.mark.parametrize("content", ["", "{", "[]", "[" * 100_000, '{"node_type": "group", "attributes": 3}'])
def test_broken_json_is_an_error(tmp_path: Path, content: str) -> None:
    root = one_image(tmp_path / "a.zarr", "0.5")
    (root / "zarr.json").write_text(content)
    refused(root, "")


def test_a_folder_without_metadata_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a.zarr" / "0").mkdir(parents=True)
    refused(tmp_path / "a.zarr", r"no Zarr group in it \(neither zarr.json nor .zgroup\)")
    write_group(tmp_path / "b.zarr", "", "0.5", {"anything": 1})
    refused(tmp_path / "b.zarr", "it is no OME-Zarr")
    (tmp_path / "c.zarr").write_text("a file")
    refused(tmp_path / "c.zarr", "it is no folder")


@VERSIONS
def test_a_chunk_that_was_cut_off_is_an_error(tmp_path: Path, version: str) -> None:
    root = one_image(tmp_path / "a.zarr", version)
    for chunk in (
        each for each in (root / "0").rglob("*") if each.is_file() and not each.name.startswith((".", "zarr"))
    ):
        chunk.write_bytes(chunk.read_bytes()[:5])
    refused(root, "cannot be read")
