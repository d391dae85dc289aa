"""Files attached to objects in OMERO: results, logs, the zip of everything.

A file is written in three calls, any of which may be the last: the OriginalFile, its content, and the FileAnnotation
with its links and its key (one transaction). An OriginalFile without an annotation is seen by nobody; it lies under a
path made from its key, so that the next attempt finds it and writes into it instead of leaving another one behind.
"""

from __future__ import annotations

import hashlib
import mimetypes
import re
import stat
import zipfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Final

import omero.model
import omero.sys
from omero.constants.namespaces import NSCREATED
from omero.rtypes import rlong, rstring, unwrap

from worker.errors import TransferDamaged
from worker.pixels.session import call_context, who
from worker.results.naming import fitting

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from worker.results.ledger import Key, Ledger
    from worker.results.surroundings import Place

NS_RESULTS: Final = NSCREATED + "/SLURM/SLURM_GET_RESULTS"
"""Namespace of attached results."""

CHUNK_BYTES: Final = 4 * 2**20
"""How much of a file is read and sent at once."""

_MIME_TYPES: Final = {
    ".csv": "text/csv",
    ".tsv": "text/tab-separated-values",
    ".txt": "text/plain",
    ".log": "text/plain",
    ".out": "text/plain",
    ".err": "text/plain",
    ".md": "text/markdown",
    ".yml": "application/yaml",
    ".yaml": "application/yaml",
    ".json": "application/json",
    ".geojson": "application/geo+json",
    ".parquet": "application/vnd.apache.parquet",
    ".zip": "application/zip",
    ".tif": "image/tiff",
    ".tiff": "image/tiff",
    ".png": "image/png",
    ".pdf": "application/pdf",
}

_COMPRESSED: Final = frozenset({".zip", ".gz", ".bz2", ".xz", ".zst", ".png", ".jpg", ".jpeg", ".parquet", ".npz"})

_OTHER_TYPES: Final = mimetypes.MimeTypes()
"""Python's own table; not the machine's, which differs between distributions."""

_ACTIVE: Final = re.compile(
    r"text/(html|xml|javascript)|application/(xml|javascript|.*\+xml)|image/svg\+xml|message/.*"
)
"""What a browser would run or follow. OMERO.web shows files by their types, inside the session of whoever looks."""


@dataclass(frozen=True, slots=True)
class Attachment:
    """A file that is to be attached.

    Parameters
    ----------
    name : str
        Its name in OMERO, shortened if it is longer than OMERO's database takes.
    chunks : Callable
        Gives its content from the beginning, in chunks of any size.
    description : str
        Description of the annotation.
    namespace : str
        Namespace of the annotation.
    """

    name: str
    chunks: Callable[[], Iterable[bytes]]
    description: str = ""
    namespace: str = NS_RESULTS


def attach(ledger: Ledger, key: Key, attachment: Attachment, places: Sequence[Place]) -> int:
    """Attach one file to one or several objects, once.

    Parameters
    ----------
    ledger : Ledger
        The run's ledger.
    key : Key
        Idempotency key of this attachment.
    attachment : Attachment
        The file.
    places : Sequence of Place
        What to attach it to; one annotation serves all. Without any it is in OMERO too, known by its id alone.

    Returns
    -------
    int
        Id of the FileAnnotation.

    Raises
    ------
    TransferDamaged
        If OMERO stored something else than was sent.
    """
    annotation_id = linked(ledger, key, places)
    if annotation_id is not None:
        return annotation_id
    file = _original_file(ledger, key, fitting(attachment.name))
    _upload(ledger, file.getId().val, attachment)
    return annotate(ledger, key, file.getId().val, attachment.namespace, attachment.description, places)


def linked(ledger: Ledger, key: Key, places: Sequence[Place]) -> int | None:
    """Find an annotation that an earlier attempt wrote, and link it to whatever it is not linked to yet.

    An earlier attempt may not have come so far; and whoever imports the results once more may choose other places.

    Parameters
    ----------
    ledger : Ledger
        The run's ledger.
    key : Key
        Idempotency key of the attachment.
    places : Sequence of Place
        What it must be linked to.

    Returns
    -------
    int or None
        Id of the FileAnnotation; None if there is none yet.
    """
    entry = ledger.find(key)
    if entry is None:
        return None
    if not entry.complete:
        ledger.finish(key, [link(place, entry.object_id) for place in places])
        return entry.object_id
    there = {kind: _linked_to(ledger, kind, entry.object_id) for kind in {place.kind for place in places}}
    missing = [link(place, entry.object_id) for place in places if place.object_id not in there[place.kind]]
    if missing:
        ledger.save_all(missing)
    return entry.object_id


def _linked_to(ledger: Ledger, kind: str, annotation_id: int) -> set[int]:
    """List the ids of the objects of a kind that an annotation is linked to."""
    parameters = omero.sys.ParametersI()
    parameters.addId(annotation_id)
    rows = ledger.gateway.c.sf.getQueryService().projection(
        f"select l.parent.id from {kind}AnnotationLink l where l.child.id = :id",  # noqa: S608  # our own word
        parameters,
        call_context(ledger.gateway),
    )
    return {unwrap(row[0]) for row in rows}


def annotate(ledger: Ledger, key: Key, file_id: int, namespace: str, description: str, places: Sequence[Place]) -> int:
    """Annotate objects with a file that is already in OMERO.

    The annotation is saved with its key first; then all its links are, in one transaction.

    Parameters
    ----------
    ledger : Ledger
        The run's ledger.
    key : Key
        Idempotency key.
    file_id : int
        Id of the OriginalFile.
    namespace : str
        Namespace of the annotation.
    description : str
        Its description.
    places : Sequence of Place
        What to link it to.

    Returns
    -------
    int
        Id of the FileAnnotation.
    """
    annotation = omero.model.FileAnnotationI()
    annotation.setNs(rstring(namespace))
    annotation.setDescription(rstring(description))
    annotation.setFile(omero.model.OriginalFileI(file_id, False))
    saved, entry = ledger.create(annotation, key, complete=False)
    ledger.finish(key, [link(place, saved.getId().val) for place in places])
    return entry.object_id


def link(place: Place, annotation_id: int) -> Any:
    """Make the link from an object to an annotation; it is not saved yet.

    Parameters
    ----------
    place : Place
        The object.
    annotation_id : int
        Id of the annotation.

    Returns
    -------
    omero.model.IObject
        The link.
    """
    made = getattr(omero.model, f"{place.kind}AnnotationLinkI")()
    made.setParent(getattr(omero.model, f"{place.kind}I")(place.object_id, False))
    made.setChild(omero.model.FileAnnotationI(annotation_id, False))
    return made


def file_chunks(path: Path) -> Iterator[bytes]:
    """Read a file in chunks.

    Parameters
    ----------
    path : Path
        The file.

    Yields
    ------
    bytes
        At most :data:`CHUNK_BYTES` at once.
    """
    with path.open("rb") as stream:
        while chunk := stream.read(CHUNK_BYTES):
            yield chunk


def zip_chunks(members: Sequence[tuple[str, Path | bytes]]) -> Iterator[bytes]:
    """Make a zip as a stream, without a copy on disk.

    Parameters
    ----------
    members : Sequence of (str, Path or bytes)
        Names in the archive, and the file or the content that belongs there.

    Yields
    ------
    bytes
        The archive, piece by piece. The same members give the same bytes.
    """
    pipe = _Pipe()
    with zipfile.ZipFile(pipe, "w", zipfile.ZIP_DEFLATED, allowZip64=True) as archive:
        for name, content in members:
            # A fixed time: an archive made anew by a repetition is the same archive.
            info = zipfile.ZipInfo(name)
            info.compress_type = zipfile.ZIP_STORED if _is_compressed(name) else zipfile.ZIP_DEFLATED
            info.external_attr = (stat.S_IFREG | 0o644) << 16
            chunks = file_chunks(content) if isinstance(content, Path) else iter((content,))
            with archive.open(info, "w", force_zip64=True) as member:
                for chunk in chunks:
                    member.write(chunk)
                    yield from pipe.drain()
    yield from pipe.drain()


def mime_type(name: str) -> str:
    """Say what kind of file this is.

    Parameters
    ----------
    name : str
        Name of the file.

    Returns
    -------
    str
        Its media type.
    """
    suffix = PurePosixPath(name).suffix.lower()
    known = _MIME_TYPES.get(suffix) or _OTHER_TYPES.guess_type(f"_{suffix}")[0] or "application/octet-stream"
    # Results are data: a page or a drawing is shown as the text that it is.
    return "text/plain" if _ACTIVE.fullmatch(known) else known


def _is_compressed(name: str) -> bool:
    """Say whether compressing once more is a waste of time: chunks of OME-Zarr are compressed as well."""
    path = PurePosixPath(name.lower())
    return path.suffix in _COMPRESSED or any(part.endswith(".zarr") for part in path.parts[:-1])


class _Pipe:
    """What zipfile writes to; it cannot seek, so that zipfile never goes back."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []

    def write(self, data: bytes, /) -> int:
        self._pieces.append(bytes(data))
        return len(data)

    def flush(self) -> None:
        """Do nothing; there is nothing behind us."""

    def close(self) -> None:
        """Do nothing; what was written is drained by whoever reads."""

    def drain(self) -> Iterator[bytes]:
        pieces, self._pieces = self._pieces, []
        if pieces:
            yield b"".join(pieces)


def _original_file(ledger: Ledger, key: Key, name: str) -> Any:
    """Find the file that an interrupted attempt left, or create it."""
    path = key_path(ledger, key)
    parameters = omero.sys.ParametersI()
    parameters.addString("path", path)
    parameters.addString("name", name)
    parameters.addLong("user", who(ledger.gateway).user_id)
    found = ledger.gateway.c.sf.getQueryService().findAllByQuery(
        "select f from OriginalFile f where f.path = :path and f.name = :name and f.details.owner.id = :user",
        parameters,
        call_context(ledger.gateway),
    )
    if found:
        return found[0]
    file = omero.model.OriginalFileI()
    file.setName(rstring(name))
    file.setPath(rstring(path))
    file.setSize(rlong(0))
    file.setMimetype(rstring(mime_type(name)))
    hasher = omero.model.ChecksumAlgorithmI()
    hasher.setValue(rstring("SHA1-160"))
    file.setHasher(hasher)
    return ledger.save(file)


def key_path(ledger: Ledger, key: Key) -> str:
    """Give the path, in OMERO's records, of the file that belongs to a key.

    Parameters
    ----------
    ledger : Ledger
        The run's ledger.
    key : Key
        Idempotency key.

    Returns
    -------
    str
        A path that no other write has.
    """
    digest = hashlib.sha256(f"{key.task}\0{key.source}\0{key.role}\0{key.sha256}".encode()).hexdigest()
    return f"biomero/{ledger.run_id}/{digest[:16]}/"


def _upload(ledger: Ledger, file_id: int, attachment: Attachment) -> None:
    context = call_context(ledger.gateway)
    sha1 = hashlib.sha1(usedforsecurity=False)
    position = 0
    store = ledger.gateway.c.sf.createRawFileStore(context)
    try:
        store.setFileId(file_id, context)
        for piece in attachment.chunks():
            for start in range(0, len(piece), CHUNK_BYTES):
                chunk = piece[start : start + CHUNK_BYTES]
                store.write(chunk, position, len(chunk), context)
                sha1.update(chunk)
                position += len(chunk)
        # What an interrupted attempt may have left behind our end.
        store.truncate(position, context)
        saved = store.save(context)
    finally:
        store.close(context)
    if saved is None or saved.getSize().val != position or saved.getHash().val != sha1.hexdigest():
        raise TransferDamaged(f"OMERO stored {attachment.name} otherwise than it was sent ({position} bytes).")
