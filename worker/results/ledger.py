"""What a run has already written to OMERO, so that no repetition writes it twice.

Each object that an import creates carries a map annotation (namespace :data:`NS_KEY`) with its idempotency key: uuids
of run and task, source object, role and sha256 of the content. The annotation is part of the same object graph as the
object and is saved in the same call, which OMERO runs in one transaction: an object without its key cannot come to
be, at whatever instant we are killed. One query at the start of an import reads all keys of the run.

What takes more than one call (an image and its planes) is written with the state ``writing`` first, and becomes
``complete`` in the one transaction that also makes it visible (its links to dataset and provenance). A repetition
that finds something in state ``writing`` finishes *that* object.

Only keys that belong to the person whose session this is are believed: in a group where members may annotate each
other's data, nobody can slip an object into another person's run.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

import omero.cmd
import omero.model
import omero.sys
from omero.rtypes import rstring, unwrap

from worker.errors import ResultsError
from worker.pixels.session import call_context, who
from worker.results.deletion import delete

if TYPE_CHECKING:
    from collections.abc import Sequence

    from omero.gateway import BlitzGateway

NS_KEY = "biomero/worker/key"
"""Namespace of the map annotations that hold idempotency keys."""

COMPLETE = "complete"
WRITING = "writing"

_KINDS: Final = ("Image", "Dataset", "Screen", "Plate", "Roi", "Annotation")
"""What can carry a key, in the order of the columns below."""

_KEYS_OF_RUN = """
select a.id, pair.name, pair.value,
       (select max(il.parent.id) from ImageAnnotationLink il where il.child.id = a.id),
       (select max(dl.parent.id) from DatasetAnnotationLink dl where dl.child.id = a.id),
       (select max(sl.parent.id) from ScreenAnnotationLink sl where sl.child.id = a.id),
       (select max(pl.parent.id) from PlateAnnotationLink pl where pl.child.id = a.id),
       (select max(rl.parent.id) from RoiAnnotationLink rl where rl.child.id = a.id),
       (select max(al.parent.id) from AnnotationAnnotationLink al where al.child.id = a.id)
from MapAnnotation a join a.mapValue run join a.mapValue pair
where a.ns = :ns and run.name = 'Run' and run.value = :run and a.details.owner.id = :user
"""

_NOTES = """
select a from MapAnnotation a where a.id in (:ids)
"""


@dataclass(frozen=True, slots=True)
class Key:
    """Idempotency key of one write.

    Parameters
    ----------
    task : str
        UUID of the task whose result it is; ``-`` for what all tasks of a run share.
    source : str
        What it was made from: ``Image:12``, ``Plate:3``, or ``-`` if that is not one object.
    role : str
        What it is to the run: ``image:out/cells_mask.tif#0``, ``zip``, ``dataset:Results``.
    sha256 : str
        Digest of its content, hexadecimal.
    """

    task: str
    source: str
    role: str
    sha256: str


@dataclass(frozen=True, slots=True)
class Entry:
    """Something that the run has written.

    Parameters
    ----------
    kind : str
        ``Image``, ``Dataset``, ``Screen``, ``Plate``, ``Roi`` or ``Annotation``.
    object_id : int
        Its id in OMERO.
    key_id : int
        Id of the map annotation that holds its key.
    complete : bool
        Whether it is finished.
    """

    kind: str
    object_id: int
    key_id: int
    complete: bool


@dataclass(slots=True)
class Ledger:
    """The keys of one run, and the door through which everything of it is written.

    Parameters
    ----------
    gateway : BlitzGateway
        The person's session, in the group that the results go to.
    run_id : str
        UUID of the run.
    """

    gateway: BlitzGateway
    run_id: str
    _entries: dict[Key, Entry] = field(default_factory=dict)
    # Asking for a service is a call of its own, which thousands of writes need only once.
    _query: Any = None
    _update: Any = None

    @classmethod
    def open(cls, gateway: BlitzGateway, run_id: str) -> Ledger:
        """Read what a run has written so far, in one query.

        Parameters
        ----------
        gateway : BlitzGateway
            The person's session.
        run_id : str
            UUID of the run.

        Returns
        -------
        Ledger
            Its entries. Keys whose object was deleted since are left out, so that it is written again.
        """
        parameters = omero.sys.ParametersI()
        parameters.addString("ns", NS_KEY)
        parameters.addString("run", run_id)
        parameters.addLong("user", who(gateway).user_id)
        rows = gateway.c.sf.getQueryService().projection(_KEYS_OF_RUN, parameters, call_context(gateway))
        pairs: dict[int, dict[str, str]] = {}
        owners: dict[int, tuple[str, int]] = {}
        for key_id, name, value, *ids in unwrap(rows):
            pairs.setdefault(key_id, {})[name] = value
            for kind, object_id in zip(_KINDS, ids, strict=True):
                if object_id is not None:
                    owners[key_id] = (kind, object_id)
        ledger = cls(gateway, run_id)
        for key_id in sorted(owners):
            said = pairs[key_id]
            key = Key(*(said.get(name, "") for name in ("Task", "Source", "Role", "SHA-256")))
            entry = Entry(*owners[key_id], key_id, said.get("State") == COMPLETE)
            known = ledger._entries.get(key)
            if known is None or (entry.complete and not known.complete):
                ledger._entries[key] = entry
        return ledger

    def find(self, key: Key) -> Entry | None:
        """Look a write up.

        Parameters
        ----------
        key : Key
            Its key.

        Returns
        -------
        Entry or None
            What was written, if it was.
        """
        return self._entries.get(key)

    def create(self, item: Any, key: Key, *, complete: bool = True) -> tuple[Any, Entry]:
        """Create an object together with its key, in one transaction.

        Parameters
        ----------
        item : omero.model.IObject
            An image, container, ROI or annotation, with everything that shall be saved along with it.
        key : Key
            Its key.
        complete : bool
            Whether nothing more needs to be written for it.

        Returns
        -------
        item : omero.model.IObject
            The object as saved.
        entry : Entry
            Its entry in the ledger.
        """
        item.linkAnnotation(self._note(key, complete=complete))
        saved = self.save(item)
        key_id = next(
            child.getId().val
            for child in saved.linkedAnnotationList()
            if child.isLoaded() and unwrap(child.getNs()) == NS_KEY
        )
        entry = Entry(_kind(saved), saved.getId().val, key_id, complete)
        self._entries[key] = entry
        return saved, entry

    def create_all(self, items: Sequence[Any], key: Key) -> Entry:
        """Create several objects under one key, in one transaction.

        The key is linked to each of them: as long as one is there, none is written again, whatever was deleted by hand.

        Parameters
        ----------
        items : Sequence of omero.model.IObject
            The objects, all of one kind, with everything that shall be saved along with them.
        key : Key
            Their key.

        Returns
        -------
        Entry
            Their entry in the ledger, with the highest of their ids.
        """
        note = self._note(key, complete=True)
        for item in items:
            item.linkAnnotation(note)
        # Only ids come back: thousands of objects with all their details would take longer than to save them.
        key_id, *ids = self._updating().saveAndReturnIds([note, *items], call_context(self.gateway))
        entry = Entry(_kind(items[0]), max(ids), key_id, complete=True)
        self._entries[key] = entry
        return entry

    def beginning(self, key: Key) -> dict[str, Entry]:
        """Look up what was written in portions, under keys whose roles have a common beginning.

        Parameters
        ----------
        key : Key
            Their key, with that beginning as its role.

        Returns
        -------
        dict
            What follows in the role, and the entry.
        """
        return {
            each.role.removeprefix(key.role): entry
            for each, entry in self._entries.items()
            if each.role.startswith(key.role) and replace(each, role=key.role) == key
        }

    def adopt(self, kind: str, object_id: int, key: Key, items: Sequence[Any]) -> Entry:
        """Give a key to an object that somebody else has created for us, in one transaction with what is changed of it.

        Parameters
        ----------
        kind : str
            ``Image`` or ``Plate``.
        object_id : int
            Its id.
        key : Key
            Its key.
        items : Sequence of omero.model.IObject
            The object with its new name; links of it.

        Returns
        -------
        Entry
            Its entry in the ledger.
        """
        note = self._note(key, complete=True)
        link = getattr(omero.model, f"{kind}AnnotationLinkI")()
        link.setParent(getattr(omero.model, f"{kind}I")(object_id, False))
        link.setChild(note)
        saved = self.save_all([link, *items])
        entry = Entry(kind, object_id, saved[0].getChild().getId().val, complete=True)
        self._entries[key] = entry
        return entry

    def finish(self, key: Key, links: Sequence[Any]) -> Entry:
        """Mark an object as complete and save its last links, all in one transaction.

        Parameters
        ----------
        key : Key
            Its key.
        links : Sequence of omero.model.IObject
            What makes it visible: dataset links, annotation links.

        Returns
        -------
        Entry
            Its new entry.
        """
        return self.finish_all([key], links)[0]

    def finish_all(self, keys: Sequence[Key], items: Sequence[Any]) -> list[Entry]:
        """Mark several objects as complete, with what makes them visible, all in one transaction.

        Parameters
        ----------
        keys : Sequence of Key
            Their keys.
        items : Sequence of omero.model.IObject
            What makes them visible: links, a well with its samples.

        Returns
        -------
        list of Entry
            Their new entries.
        """
        entries = [self._entries[key] for key in keys]
        parameters = omero.sys.ParametersI()
        parameters.addIds([entry.key_id for entry in entries])
        if self._query is None:
            self._query = self.gateway.c.sf.getQueryService()
        found = self._query.findAllByQuery(_NOTES, parameters, call_context(self.gateway))
        notes = {note.getId().val: note for note in found}
        if len(notes) < len({entry.key_id for entry in entries}):
            raise ResultsError(
                "An object of this import was deleted while it was written.", remedy="Repeat the import."
            )
        for key, entry in zip(keys, entries, strict=True):
            notes[entry.key_id].setMapValue(self._pairs(key, COMPLETE))
        self.save_all([*notes.values(), *items])
        done = [replace(entry, complete=True) for entry in entries]
        self._entries.update(zip(keys, done, strict=True))
        return done

    def discard(self, key: Key) -> None:
        """Delete an object that could not be finished.

        Parameters
        ----------
        key : Key
            Its key.
        """
        entry = self._entries.pop(key)
        delete(self.gateway, entry.kind, [entry.object_id])

    def save(self, item: Any) -> Any:
        """Save one graph of objects in one transaction.

        Parameters
        ----------
        item : omero.model.IObject
            Its root.

        Returns
        -------
        omero.model.IObject
            The root as saved.
        """
        return self._updating().saveAndReturnObject(item, call_context(self.gateway))

    def save_all(self, items: Sequence[Any]) -> list[Any]:
        """Save several graphs in one transaction.

        Parameters
        ----------
        items : Sequence of omero.model.IObject
            Their roots.

        Returns
        -------
        list of omero.model.IObject
            The roots as saved.
        """
        service = self._updating()
        saved: list[Any] = service.saveAndReturnArray(list(items), call_context(self.gateway))
        return saved

    def _updating(self) -> Any:
        if self._update is None:
            self._update = self.gateway.c.sf.getUpdateService()
        return self._update

    def _note(self, key: Key, *, complete: bool) -> Any:
        note = omero.model.MapAnnotationI()
        note.setNs(rstring(NS_KEY))
        note.setMapValue(self._pairs(key, COMPLETE if complete else WRITING))
        return note

    def _pairs(self, key: Key, state: str) -> list[Any]:
        values = (
            ("Run", self.run_id),
            ("Task", key.task),
            ("Source", key.source),
            ("Role", key.role),
            ("SHA-256", key.sha256),
            ("State", state),
        )
        return [omero.model.NamedValue(name, value) for name, value in values]


def _kind(item: Any) -> str:
    for kind in _KINDS:
        if isinstance(item, getattr(omero.model, kind)):
            return kind
    raise ResultsError(f"{type(item).__name__} cannot carry an idempotency key.")
