"""Users, groups and what administrators are allowed."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import omero
import omero.model

from tests.lab.omero.model.enumerations import ADMIN_PRIVILEGES
from tests.lab.omero.security import passwords

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tests.lab.omero.model.rows import Row
    from tests.lab.omero.model.store import Store

SYSTEM_GROUP, USER_GROUP, GUEST_GROUP = 0, 1, 2
"""Ids of the groups that every server has: administrators, everybody, and visitors."""

ROOT_USER = 0
"""Id of the first administrator."""


class People:
    """The users and groups of a store.

    Parameters
    ----------
    store : Store
        Where they are.
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    def user(self, name: str) -> Row | None:
        """Return a user by login name."""
        return self._store.first("Experimenter", omeName=name)

    def user_by_id(self, user_id: int) -> Row:
        """Return a user by id; ApiUsageException if there is none."""
        row = self._store.get("Experimenter", user_id)
        if row is None:
            raise omero.ApiUsageException("", "", f"No such experimenter: {user_id}")
        return row

    def group(self, name: str) -> Row | None:
        """Return a group by name."""
        return self._store.first("ExperimenterGroup", name=name)

    def group_by_id(self, group_id: int) -> Row:
        """Return a group by id; ApiUsageException if there is none."""
        row = self._store.get("ExperimenterGroup", group_id)
        if row is None:
            raise omero.ApiUsageException("", "", f"No such group: {group_id}")
        return row

    def memberships(self, user: Row) -> list[Row]:
        """Return the memberships of a user, that of the default group first."""
        maps = self._store.collection(user, "groupExperimenterMap")
        default = user.extra.get("default_group")
        return sorted(maps, key=lambda item: (item["parent"].id != default, item["parent"].id == USER_GROUP, item.id))

    def groups_of(self, user: Row) -> list[Row]:
        """Return the groups of a user, the default group first."""
        return [item["parent"] for item in self.memberships(user)]

    def led_by(self, user: Row) -> list[Row]:
        """Return the groups that a user leads."""
        return [item["parent"] for item in self.memberships(user) if item["owner"]]

    def default_group(self, user: Row) -> Row:
        """Return the group in which a user works unless another is asked for."""
        return self.groups_of(user)[0]

    def members_of(self, group: Row) -> list[Row]:
        """Return the members of a group."""
        return [item["child"] for item in self._store.collection(group, "groupExperimenterMap")]

    def is_admin(self, user: Row) -> bool:
        """Whether a user is an administrator, full or restricted."""
        return any(group.id == SYSTEM_GROUP for group in self.groups_of(user))

    def privileges(self, user: Row) -> frozenset[str]:
        """Return what an administrator is allowed: everything but what the user's ``config`` says ``false`` to."""
        if not self.is_admin(user):
            return frozenset()
        config = dict(user["config"] or ())
        return frozenset(name for name in ADMIN_PRIVILEGES if config.get(f"AdminPrivilege:{name}") != "false")

    # Changes; each inside of a transaction.

    def add_group(self, name: str, permissions: int | str, description: str = "") -> Row:
        """Make a group; its permissions are given as ``rwra--`` or as the model's integer."""
        if self.group(name) is not None:
            raise omero.ValidationException("", "", f"there is a group {name} already")
        group = self._store.new("ExperimenterGroup", name=name, ldap=False, description=description)
        self._store.set_permissions(group, permission_bits(permissions))
        self._stamp(group)
        return group

    def add_user(
        self, name: str, password: str, names: tuple[str, str], groups: Sequence[Row], *, user_id: int | None = None
    ) -> Row:
        """Make a user, a member of some groups (the first is the default one) and of the group ``user``.

        Parameters
        ----------
        name, password : str
            For logging in.
        names : tuple of str
            First and last name.
        groups : sequence of Row
            The groups.
        user_id : int, optional
            The id, for the first ones.

        Returns
        -------
        Row
            The user.
        """
        if self.user(name) is not None:
            raise omero.ValidationException("", "", f"there is a user {name} already")
        values: dict[str, Any] = {"omeName": name, "firstName": names[0], "lastName": names[1], "ldap": False}
        if user_id is None:
            user = self._store.new("Experimenter", **values, email=f"{name}@localhost")
        else:
            user = self._store.new_with_id("Experimenter", user_id, **values)
        everybody = self._store.get("ExperimenterGroup", USER_GROUP)
        is_guest = any(group.id == GUEST_GROUP for group in groups)
        for group in [*groups, *([] if is_guest or everybody is None else [everybody])]:
            self.add_member(group, user)
        self._store.set_extra(user, default_group=groups[0].id)
        self.set_password(user, password)
        self._stamp(user)
        return user

    def _stamp(self, row: Row) -> None:
        root, event = self._store.get("Experimenter", ROOT_USER), self._store.get("Event", 1)
        self._store.set_details(row, owner=root, creation_event=event, update_event=event)

    def membership(self, group: Row, user: Row) -> Row | None:
        """Return the membership of a user in a group."""
        return next((item for item in self.memberships(user) if item["parent"] is group), None)

    def add_member(self, group: Row, user: Row) -> Row:
        """Put a user into a group, if that is not so already."""
        known = self.membership(group, user)
        return known or self._store.new("GroupExperimenterMap", parent=group, child=user, owner=False)

    def remove_member(self, group: Row, user: Row) -> None:
        """Take a user out of a group."""
        membership = self.membership(group, user)
        if membership is not None:
            self._store.delete(membership)

    def set_leader(self, group: Row, user: Row, *, leads: bool) -> None:
        """Let a user lead a group, or no longer."""
        self._store.set(self.add_member(group, user), owner=leads)

    def set_password(self, user: Row, password: str) -> None:
        """Set the password of a user."""
        self._store.set_extra(user, password=passwords.hash_password(password))

    def set_privileges(self, user: Row, granted: Iterable[str]) -> None:
        """Restrict an administrator to some privileges."""
        allowed = set(granted)
        config = [pair for pair in user["config"] or [] if not pair[0].startswith("AdminPrivilege:")]
        config += [(f"AdminPrivilege:{name}", str(name in allowed).lower()) for name in ADMIN_PRIVILEGES]
        self._store.set(user, config=config)

    def check_password(self, name: str, password: str) -> bool:
        """Whether a user may log in with a password."""
        user = self.user(name)
        return user is not None and passwords.matches(password, user.extra["password"])


@functools.cache
def permission_bits(permissions: int | str) -> int:
    """Return the model's integer for ``rwra--`` and the like."""
    if isinstance(permissions, int):
        return permissions
    return int(omero.model.PermissionsI(permissions)._perm1)


def permissions_object(bits: int) -> Any:
    """Return a PermissionsI without restrictions."""
    result = omero.model.PermissionsI()
    result._perm1 = bits
    return result
