"""Who calls, in which group, and what that allows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import omero
import omero.model

from tests.lab.omero.model.schema import SCHEMA
from tests.lab.omero.security.people import USER_GROUP

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.lab.omero.model.rows import Row
    from tests.lab.omero.model.store import Store
    from tests.lab.omero.security.people import People
    from tests.lab.omero.security.sessions import Session

_GROUP_SHIFT = 4
_READ, _WRITE, _ANNOTATE = 4 << _GROUP_SHIFT, 2 << _GROUP_SHIFT, 1 << _GROUP_SHIFT


class Call:
    """One call of a client, seen as a question of rights.

    What a group's members may do with each other's objects follows from the group: nothing (``rw----``), read
    (``rwr---``), annotate (``rwra--``) or everything (``rwrw--``). Leaders of a group and administrators with the
    privilege WriteOwned may do everything; any administrator may read everything.

    Parameters
    ----------
    session : Session
        The session in which the call was made.
    store : Store
        All objects.
    people : People
        The users and groups in it.
    context : mapping
        The Ice context: ``omero.group`` is an id, a name or -1 for all groups, ``omero.user`` an id (administrators
        only).

    Raises
    ------
    omero.SecurityViolation
        If the user is not a member of that group, or may not work as that user.
    """

    def __init__(self, session: Session, store: Store, people: People, context: Mapping[str, str]) -> None:
        self.session = session
        self._store = store
        self._people = people
        self.user: Row = session.user
        self.privileges = session.privileges
        self.is_admin = session.is_admin
        self._groups = set(people.groups_of(session.user))
        self._led = set(people.led_by(session.user))
        self.all_groups = False
        self.group: Row = session.group
        self._choose_group(context.get("omero.group", ""))
        self._choose_user(context.get("omero.user", ""))

    def _choose_group(self, wanted: str) -> None:
        if not wanted:
            return
        if wanted.startswith("-"):
            self.all_groups = True
            return
        group = self._store.get("ExperimenterGroup", int(wanted)) if wanted.isdigit() else self._people.group(wanted)
        if group is None or not (self.is_admin or group in self._groups):
            message = f"User {self.session.user.id} is not a member of group {wanted} and cannot login"
            raise omero.SecurityViolation("", "", message)
        self.group = group

    def _choose_user(self, wanted: str) -> None:
        if not wanted or int(wanted) == self.user.id:
            return
        if not self.may(privilege="WriteOwned"):
            raise omero.SecurityViolation("", "", f"user {self.user.id} may not work as user {wanted}")
        self.user = self._people.user_by_id(int(wanted))

    def in_all_groups(self) -> Call:
        """Return the same call, made in all groups."""
        return Call(self.session, self._store, self._people, {"omero.group": "-1"})

    # Rights

    def may_see(self, row: Row) -> bool:
        """Whether a row exists for this call."""
        group = row.group
        if group is None or group.id == USER_GROUP:
            return True
        if not self.all_groups and group is not self.group:
            return False
        return self._in_charge(row, read_only=True) or (group in self._groups and self._granted(row, _READ))

    def may_annotate(self, row: Row) -> bool:
        """Whether annotations may be linked to a row."""
        return self._in_charge(row) or self._granted(row, _ANNOTATE) or self._granted(row, _WRITE)

    def may_edit(self, row: Row) -> bool:
        """Whether a row may be changed, and linked to others."""
        return self._in_charge(row) or self._granted(row, _WRITE)

    def may_delete(self, row: Row) -> bool:
        """Whether a row may be deleted."""
        return self._in_charge(row, privilege="DeleteOwned") or self._granted(row, _WRITE)

    def may_move(self, row: Row) -> bool:
        """Whether a row may be given to another group."""
        return self._owns(row) or self.may(privilege="Chgrp") or row.group in self._led

    def may(self, *, privilege: str) -> bool:
        """Whether the caller is an administrator with a privilege."""
        return privilege in self.privileges

    def _owns(self, row: Row) -> bool:
        return row.owner is not None and row.owner is self.user

    def _in_charge(self, row: Row, *, read_only: bool = False, privilege: str = "WriteOwned") -> bool:
        if self._owns(row) or row.group in self._led:
            return True
        return self.is_admin if read_only else privilege in self.privileges

    def _granted(self, row: Row, right: int) -> bool:
        group = row.group
        return group is not None and group in self._groups and bool((group.permissions or 0) & right)

    def permissions(self, row: Row) -> Any:
        """Return the PermissionsI of a row, with what the caller may not do (link, edit, delete, annotate, ...)."""
        group = row if row.cls == "ExperimenterGroup" else row.group
        result = omero.model.PermissionsI()
        result._perm1 = group.permissions if group is not None else -1
        edits = self.may_edit(row)
        result._restrictions = [
            not edits,
            not edits,
            not self.may_delete(row),
            not self.may_annotate(row),
            not self.may_move(row),
            not self.may(privilege="Chown"),
        ]
        result._extendedRestrictions = []
        return result

    # Checks for writing

    def owner_and_group(self, details: Any) -> tuple[Row, Row]:
        """Return owner and group of an object that the caller makes.

        Parameters
        ----------
        details : DetailsI or None
            What the client has sent: administrators may make objects for others.

        Raises
        ------
        omero.SecurityViolation
            If the caller may not, or works in all groups at once and did not say which one is meant.
        """
        group, owner = self._named(details, "_group"), self._named(details, "_owner")
        if group is None and self.all_groups:
            raise omero.SecurityViolation("", "", "an object cannot be made in all groups (omero.group=-1)")
        group = group or self.group
        if group not in self._groups and not self.may(privilege="WriteOwned"):
            raise omero.SecurityViolation("", "", f"user {self.user.id} may not write to group {group.id}")
        if not self.all_groups and group is not self.group and not self.may(privilege="WriteOwned"):
            raise omero.SecurityViolation("", "", f"an object for group {group.id} was sent to group {self.group.id}")
        if owner is not None and owner is not self.user and not self.may(privilege="WriteOwned"):
            raise omero.SecurityViolation("", "", f"user {self.user.id} may not make objects for user {owner.id}")
        return owner or self.user, group

    def _named(self, details: Any, name: str) -> Row | None:
        value = getattr(details, name, None) if details is not None else None
        if value is None or value._id is None:
            return None
        return self._people.group_by_id(value._id.val) if name == "_group" else self._people.user_by_id(value._id.val)

    def check_update(self, row: Row) -> None:
        """Raise a SecurityViolation if the caller may not change a row."""
        if row.owner is None and row.group is None:
            allowed = self.may(privilege="WriteOwned")
        else:
            allowed = self.may_see(row) and self.may_edit(row)
        if not allowed:
            raise omero.SecurityViolation("", "", f"Updating {row} not allowed for user {self.user.id}")

    def check_links(self, row: Row) -> None:
        """Raise a SecurityViolation if a row that was saved refers to what the caller may not link to."""
        is_annotation = row.cls.endswith("AnnotationLink")
        for name, field in SCHEMA.fields[row.cls].items():
            target = row[name]
            if field.kind != "reference" or target is None or target.group is None:
                continue
            if target.group.id != USER_GROUP and row.group is not None and target.group is not row.group:
                message = f"{row} of group {row.group.id} cannot refer to {target} of group {target.group.id}"
                raise omero.GroupSecurityViolation("", "", message)
            if not self._may_refer(row, name, target, is_annotation=is_annotation):
                raise omero.SecurityViolation("", "", f"user {self.user.id} may not link {row.cls} to {target}")

    def _may_refer(self, row: Row, name: str, target: Row, *, is_annotation: bool) -> bool:
        if target.owner is row.owner:
            return True
        if target.group is not None and target.group.id == USER_GROUP:
            return True
        if is_annotation and name == "child":
            return self.may_see(target)
        return self.may_annotate(target) if is_annotation or row.cls in _ADDITIONS else self.may_edit(target)

    def event_context(self) -> Any:
        """Return what ``IAdmin.getEventContext`` says."""
        session, group = self.session, self.group
        permissions = omero.model.PermissionsI()
        permissions._perm1 = group.permissions
        return omero.sys.EventContext(
            shareId=-1,
            sessionId=session.row.id,
            sessionUuid=session.uuid,
            userId=self.user.id,
            userName=self.user["omeName"],
            sudoerId=omero.rtypes.rlong(session.sudoer.id) if session.sudoer else None,
            sudoerName=omero.rtypes.rstring(session.sudoer["omeName"]) if session.sudoer else None,
            groupId=group.id,
            groupName=group["name"],
            isAdmin=self.is_admin,
            adminPrivileges=sorted(self.privileges),
            eventId=session.event_id,
            eventType="User",
            memberOfGroups=[item.id for item in self._people.groups_of(self.user)],
            leaderOfGroups=[item.id for item in self._people.led_by(self.user)],
            groupPermissions=permissions,
        )


_ADDITIONS = frozenset({"Roi", "RenderingDef", "Thumbnail"})
"""Objects that may be made on what may be annotated: a region of interest is treated like an annotation."""
