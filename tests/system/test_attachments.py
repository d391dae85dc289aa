"""Files that people have attached in OMERO, read by the worker."""

from __future__ import annotations

import hashlib
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

import numpy as np
import pytest

from tests.lab.person import logged_in
from worker.cluster.local import LocalTransport
from worker.cluster.uploads import TarUpload
from worker.errors import RequestError, TransferDamaged
from worker.pixels.attachments import CHUNK_BYTES, read_attachment

if TYPE_CHECKING:
    from pathlib import Path

    from omero.gateway import BlitzGateway

    from tests.lab.description import Lab

pytestmark = pytest.mark.lab

CONTENT = np.random.default_rng(5).bytes(CHUNK_BYTES + 12_345)


def attach(gateway: BlitzGateway, folder: Path, name: str, content: bytes = CONTENT) -> int:
    """Upload a file, as a person does in OMERO.web, and give the id of its annotation."""
    path = folder / "uploaded"
    path.write_bytes(content)
    annotation = gateway.createFileAnnfromLocalFile(str(path), origFilePathAndName=f"/home/alice/{name}")
    return int(annotation.getId())


def test_a_file_arrives_on_the_cluster_as_it_was_uploaded(alice: BlitzGateway, tmp_path: Path) -> None:
    annotation_id = attach(alice, tmp_path, "my model (1).pth")
    attachment = read_attachment(alice, annotation_id)
    assert (attachment.name, attachment.size_bytes) == ("my model (1).pth", len(CONTENT))
    assert attachment.sha1 == hashlib.sha1(CONTENT, usedforsecurity=False).hexdigest()
    with TarUpload(LocalTransport(), PurePosixPath(tmp_path, "in", "p1")) as upload:
        upload.add_stream(attachment.name, attachment.chunks, attachment.size_bytes)
    assert (tmp_path / "in" / "p1" / attachment.name).read_bytes() == CONTENT


def test_an_empty_file_is_a_file(alice: BlitzGateway, tmp_path: Path) -> None:
    attachment = read_attachment(alice, attach(alice, tmp_path, "nothing.txt", b""))
    assert (attachment.name, attachment.size_bytes, b"".join(attachment.chunks)) == ("nothing.txt", 0, b"")


def test_what_is_not_there_is_said(alice: BlitzGateway) -> None:
    with pytest.raises(RequestError, match=f"no file annotation {2**40}"):
        read_attachment(alice, 2**40)


def test_a_file_in_a_private_group_of_others_is_not_there(lab: Lab, alice: BlitzGateway, tmp_path: Path) -> None:
    with logged_in(lab, "bob", "lab-b") as bob:
        annotation_id = attach(bob, tmp_path, "private.csv", b"secret")
        assert b"".join(read_attachment(bob, annotation_id).chunks) == b"secret"
    with pytest.raises(RequestError, match="that you can read"):
        read_attachment(alice, annotation_id)


def test_a_file_is_found_in_another_group_of_its_owner(lab: Lab, tmp_path: Path) -> None:
    with logged_in(lab, "bob", "lab-b") as bob:
        annotation_id = attach(bob, tmp_path, "elsewhere.csv", b"1,2")
    with logged_in(lab, "bob", "lab-a") as bob:
        assert b"".join(read_attachment(bob, annotation_id).chunks) == b"1,2"


def test_a_file_that_is_not_what_omero_says_is_damaged(alice: BlitzGateway, tmp_path: Path) -> None:
    annotation_id = attach(alice, tmp_path, "changed.csv", b"1,2,3")
    file = alice.getObject("FileAnnotation", annotation_id).getFile()._obj
    file.setHash(alice.getObject("FileAnnotation", attach(alice, tmp_path, "o.csv", b"3,2,1")).getFile()._obj.getHash())
    alice.getUpdateService().saveObject(file, alice.SERVICE_OPTS)
    with pytest.raises(TransferDamaged, match="5 bytes"):
        b"".join(read_attachment(alice, annotation_id).chunks)
