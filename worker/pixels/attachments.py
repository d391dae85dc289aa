"""Files out of OMERO: what stands behind a file annotation, in pieces, verified, never onto our own disk."""

from __future__ import annotations

import contextlib
import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import Ice
import omero
import omero.clients  # before the constants and the model, whose modules need each other
import omero.constants.permissions
import omero.sys

from worker.errors import NotPermitted, RequestError, TransferDamaged
from worker.pixels.names import safe_stem
from worker.pixels.session import FAREWELL_TIMEOUT_S, translated

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from omero.gateway import BlitzGateway

CHUNK_BYTES: Final = 4 * 2**20
"""How much is read in one call; far below the largest message that Ice takes."""

_SHA1: Final = "SHA1-160"
"""OMERO's name of the checksum with which it keeps files."""


@dataclass(frozen=True, slots=True)
class Attachment:
    """A file in OMERO that is to be read.

    Parameters
    ----------
    annotation_id : int
        Id of the FileAnnotation.
    name : str
        The name under which it was uploaded, made fit for a file: one part of a path.
    size_bytes : int
        Its size.
    sha1 : str or None
        Its checksum in hexadecimal; None if OMERO keeps another kind of checksum of it, or none.
    chunks : generator of bytes
        Its content, once. Nothing is read before the first piece is asked for; close it (``contextlib.closing``) if it
        is left early. Raises `TransferDamaged` at the end if size or checksum are not those above, and `OmeroError`
        where OMERO does not answer.
    """

    annotation_id: int
    name: str
    size_bytes: int
    sha1: str | None
    chunks: Generator[bytes, None, None]


def read_attachment(gateway: BlitzGateway, annotation_id: int) -> Attachment:
    """Find the file of an annotation, in whichever group of the person's it is.

    Parameters
    ----------
    gateway : omero.gateway.BlitzGateway
        Session of the person who chose it; only what they can read is found.
    annotation_id : int
        Id of the FileAnnotation.

    Returns
    -------
    Attachment
        The file, ready to be read.

    Raises
    ------
    RequestError
        There is no such annotation that this person can read, or it has no file.
    NotPermitted
        The policy of the server, or the group, does not let this person take the file away.
    OmeroError
        OMERO does not answer, or refuses.
    """
    parameters = omero.sys.ParametersI()
    parameters.addId(annotation_id)
    with translated(f"look up file annotation {annotation_id}"):
        file = gateway.c.sf.getQueryService().findByQuery(
            "select f from FileAnnotation a join a.file f left outer join fetch f.hasher where a.id = :id",
            parameters,
            {"omero.group": "-1"},
        )
    if file is None:
        raise RequestError(
            f"There is no file annotation {annotation_id} that you can read.",
            remedy="Give the id of an attached file, as OMERO.web shows it (not the id of the image it hangs on).",
        )
    details = file.getDetails()
    if details.getPermissions().isRestricted(omero.constants.permissions.BINARYACCESS):
        raise NotPermitted(
            f"You may see file annotation {annotation_id}, but not take the file away.",
            remedy="Ask the owner of the group, or an OMERO admin: it is a policy of the server.",
        )
    size_bytes = _value(file.getSize()) or 0
    hasher = file.getHasher()
    sha1 = _value(file.getHash()) if hasher is not None and _value(hasher.getValue()) == _SHA1 else None
    return Attachment(
        annotation_id=annotation_id,
        name=safe_stem(_value(file.getName()) or f"file_{annotation_id}"),
        size_bytes=size_bytes,
        sha1=sha1,
        chunks=_read(gateway, annotation_id, file, size_bytes, sha1),
    )


def require_format(name: str, formats: Sequence[str]) -> None:
    """Insist that a file has one of the endings that are allowed.

    Parameters
    ----------
    name : str
        Name of the file.
    formats : sequence of str
        Endings such as ``csv`` or ``ome.tiff``, with or without dot, whatever their case; none allows every file.

    Raises
    ------
    RequestError
        It has not.
    """
    endings = [f".{form.strip().lstrip('.').lower()}" for form in formats if form.strip(" .")]
    if endings and not name.lower().endswith(tuple(endings)):
        raise RequestError(
            f"{name!r} is not allowed here.", remedy=f"Choose a file that ends with {' or '.join(endings)}."
        )


def _read(
    gateway: BlitzGateway, annotation_id: int, file: Any, size_bytes: int, sha1: str | None
) -> Generator[bytes, None, None]:
    """Read a file piece by piece; a store of ours is open meanwhile."""
    doing = f"read the file of annotation {annotation_id}"
    context = {"omero.group": str(file.getDetails().getGroup().getId().getValue())}
    digest, position = hashlib.sha1(usedforsecurity=False), 0
    with translated(doing):
        store = gateway.c.sf.createRawFileStore(context)
    try:
        with translated(doing):
            store.setFileId(file.getId().getValue(), context)
        while position < size_bytes:
            with translated(doing):
                piece = store.read(position, min(CHUNK_BYTES, size_bytes - position), context)
            if not piece:
                break
            digest.update(piece)
            position += len(piece)
            yield piece
    finally:
        # The server closes the stores of a session that is gone by itself; nothing was written.
        with contextlib.suppress(Ice.Exception, omero.ServerError):
            store.ice_invocationTimeout(FAREWELL_TIMEOUT_S * 1000).close(context)
    if position != size_bytes or (sha1 and digest.hexdigest() != sha1):
        raise TransferDamaged(
            f"OMERO gave {position} bytes of the file of annotation {annotation_id}; it should have {size_bytes}"
            f"{f' with the checksum {sha1}' if sha1 else ''}.",
            remedy="It is tried again; if it always fails, download the file in OMERO.web and upload it anew.",
        )


def _value(rtype: Any) -> Any:
    return rtype.getValue() if rtype is not None else None
