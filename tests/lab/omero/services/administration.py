"""IAdmin."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import omero

from tests.lab.omero.model.encode import Encoder
from tests.lab.omero.model.rtypes import plain
from tests.lab.omero.security.people import permission_bits
from tests.lab.omero.services.base import Service, encode_all
from tests.lab.omero.serving.dispatch import servant, writes

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tests.lab.omero.model.rows import Row

_USER_FIELDS = ("omeName", "firstName", "middleName", "lastName", "institution", "email")
_MEMBERS = "groupExperimenterMap"


@servant(omero.api.IAdmin)
class AdminService(Service):
    """Users, groups, and who the caller is."""

    # Reading

    def _users(self, users: Iterable[Row], current: Any) -> list[Any]:
        """Return users with their groups, the default group first."""
        users, people = list(users), self.blitz.people
        maps = {(user, _MEMBERS): people.memberships(user) for user in users}
        memberships = [item for items in maps.values() for item in items]
        loaded = {*users, *memberships, *(item["parent"] for item in memberships)}
        encoder = Encoder(self.call(current), loaded, maps)
        return [encoder.object(user) for user in users]

    def _groups(self, groups: Iterable[Row], current: Any) -> list[Any]:
        """Return groups with their members."""
        groups = list(groups)
        maps = {(group, _MEMBERS): self.store.collection(group, _MEMBERS) for group in groups}
        memberships = [item for items in maps.values() for item in items]
        loaded = {*groups, *memberships, *(item["child"] for item in memberships)}
        encoder = Encoder(self.call(current), loaded, maps)
        return [encoder.object(group) for group in groups]

    def getEventContext(self, current: Any = None) -> Any:
        return self.call(current).event_context()

    def getSecurityRoles(self, current: Any = None) -> Any:
        return omero.sys.Roles(0, "root", 0, "system", 1, "user", 1, "guest", 2, "guest")

    def getExperimenter(self, user_id: int, current: Any = None) -> Any:
        return self._users([self.blitz.people.user_by_id(user_id)], current)[0]

    def lookupExperimenter(self, name: str, current: Any = None) -> Any:
        user = self.blitz.people.user(name)
        if user is None:
            raise omero.ApiUsageException("", "", f"No such experimenter: {name}")
        return self._users([user], current)[0]

    def lookupExperimenters(self, current: Any = None) -> list[Any]:
        return self._users(self.store.all("Experimenter"), current)

    def getGroup(self, group_id: int, current: Any = None) -> Any:
        return self._groups([self.blitz.people.group_by_id(group_id)], current)[0]

    def lookupGroup(self, name: str, current: Any = None) -> Any:
        group = self.blitz.people.group(name)
        if group is None:
            raise omero.ApiUsageException("", "", f"No such group: {name}")
        return self._groups([group], current)[0]

    def lookupGroups(self, current: Any = None) -> list[Any]:
        return self._groups(self.store.all("ExperimenterGroup"), current)

    def containedExperimenters(self, group_id: int, current: Any = None) -> list[Any]:
        people = self.blitz.people
        return self._users(people.members_of(people.group_by_id(group_id)), current)

    def containedGroups(self, user_id: int, current: Any = None) -> list[Any]:
        people = self.blitz.people
        return self._groups(people.groups_of(people.user_by_id(user_id)), current)

    def getDefaultGroup(self, user_id: int, current: Any = None) -> Any:
        people = self.blitz.people
        return self._groups([people.default_group(people.user_by_id(user_id))], current)[0]

    def getMemberOfGroupIds(self, user: Any, current: Any = None) -> list[int]:
        return [group.id for group in self.blitz.people.groups_of(self._user(user))]

    def getLeaderOfGroupIds(self, user: Any, current: Any = None) -> list[int]:
        return [group.id for group in self.blitz.people.led_by(self._user(user))]

    def _privileges(self, names: Iterable[str], current: Any) -> list[Any]:
        granted = set(names)
        rows = [row for row in self.store.all("AdminPrivilege") if row["value"] in granted]
        return encode_all(self.call(current), rows)

    def getCurrentAdminPrivileges(self, current: Any = None) -> list[Any]:
        return self._privileges(self.call(current).privileges, current)

    def getAdminPrivileges(self, user: Any, current: Any = None) -> list[Any]:
        return self._privileges(self.blitz.people.privileges(self._user(user)), current)

    def getAdminsWithPrivileges(self, privileges: Sequence[Any], current: Any = None) -> list[Any]:
        wanted = {privilege._value.val for privilege in privileges}
        people = self.blitz.people
        admins = [user for user in self.store.all("Experimenter") if people.is_admin(user)]
        return self._users([user for user in admins if wanted <= people.privileges(user)], current)

    def canUpdate(self, obj: Any, current: Any = None) -> bool:
        call = self.call(current)
        row = self.visible(call, type(obj).__name__.removesuffix("I"), obj._id.val)
        return call.may_edit(row)

    def getMyUserPhotos(self, current: Any = None) -> list[Any]:
        """Return nothing: there is no way to upload one here."""
        return []

    def lookupLdapAuthExperimenters(self, current: Any = None) -> list[Any]:
        return []

    def lookupLdapAuthExperimenter(self, user_id: int, current: Any = None) -> str:
        return ""

    # Writing

    def _user(self, obj: Any) -> Row:
        return self.blitz.people.user_by_id(obj._id.val)

    def _group(self, obj: Any) -> Row:
        return self.blitz.people.group_by_id(obj._id.val)

    def _demand(self, privilege: str, current: Any, group: Row | None = None) -> None:
        call = self.call(current)
        leads = group is not None and group in self.blitz.people.led_by(call.user)
        if not leads and not call.may(privilege=privilege):
            raise omero.SecurityViolation("", "", f"user {call.user.id} lacks the privilege {privilege}")

    @writes
    def createGroup(self, obj: Any, current: Any = None) -> int:
        self._demand("ModifyGroup", current)
        permissions = obj._details._permissions if obj._details is not None else None
        bits = permissions._perm1 if permissions is not None else permission_bits("rw----")
        return self.blitz.people.add_group(obj._name.val, bits, plain(obj._description) or "").id

    @writes
    def updateGroup(self, obj: Any, current: Any = None) -> None:
        group = self._group(obj)
        self._demand("ModifyGroup", current, group)
        values = {name: getattr(obj, f"_{name}") for name in ("name", "description")}
        self.store.set(group, **{name: value.val for name, value in values.items() if value is not None})
        if obj._details is not None and obj._details._permissions is not None:
            self.store.set_permissions(group, obj._details._permissions._perm1)

    def _create_user(self, obj: Any, password: str, groups: Sequence[Row], current: Any) -> Row:
        self._demand("ModifyUser", current)
        names = (plain(obj._firstName) or "", plain(obj._lastName) or "")
        user = self.blitz.people.add_user(obj._omeName.val, password, names, groups)
        for name in ("middleName", "institution", "email"):
            value = getattr(obj, f"_{name}")
            if value is not None:
                self.store.set(user, **{name: value.val})
        return user

    @writes
    def createExperimenterWithPassword(
        self, obj: Any, password: Any, default: Any, groups: Sequence[Any], current: Any = None
    ) -> int:
        members = [self._group(group) for group in [default, *(groups or [])]]
        return self._create_user(obj, password.val, members, current).id

    @writes
    def createRestrictedSystemUserWithPassword(
        self, obj: Any, privileges: Sequence[Any], password: Any, current: Any = None
    ) -> int:
        user = self._create_user(obj, password.val, [self.blitz.people.group_by_id(0)], current)
        self.blitz.people.set_privileges(user, [privilege._value.val for privilege in privileges])
        return user.id

    @writes
    def setAdminPrivileges(self, obj: Any, privileges: Sequence[Any], current: Any = None) -> None:
        self._demand("ModifyUser", current)
        self.blitz.people.set_privileges(self._user(obj), [privilege._value.val for privilege in privileges])

    def _change_user(self, user: Row, obj: Any) -> None:
        values = {name: getattr(obj, f"_{name}") for name in _USER_FIELDS}
        self.store.set(user, **{name: value.val for name, value in values.items() if value is not None})

    @writes
    def updateExperimenter(self, obj: Any, current: Any = None) -> None:
        self._demand("ModifyUser", current)
        self._change_user(self._user(obj), obj)

    @writes
    def updateSelf(self, obj: Any, current: Any = None) -> None:
        if self._user(obj) is not self.session.user:
            raise omero.SecurityViolation("", "", "updateSelf is for the caller's own account")
        self._change_user(self.session.user, obj)

    @writes
    def addGroups(self, user: Any, groups: Sequence[Any], current: Any = None) -> None:
        for group in groups:
            self._demand("ModifyGroupMembership", current, self._group(group))
            self.blitz.people.add_member(self._group(group), self._user(user))

    @writes
    def removeGroups(self, user: Any, groups: Sequence[Any], current: Any = None) -> None:
        for group in groups:
            self._demand("ModifyGroupMembership", current, self._group(group))
            self.blitz.people.remove_member(self._group(group), self._user(user))

    def _lead(self, group: Any, users: Sequence[Any], current: Any, *, leads: bool) -> None:
        self._demand("ModifyGroupMembership", current, self._group(group))
        for user in users:
            self.blitz.people.set_leader(self._group(group), self._user(user), leads=leads)

    @writes
    def addGroupOwners(self, group: Any, users: Sequence[Any], current: Any = None) -> None:
        self._lead(group, users, current, leads=True)

    @writes
    def removeGroupOwners(self, group: Any, users: Sequence[Any], current: Any = None) -> None:
        self._lead(group, users, current, leads=False)

    @writes
    def setGroupOwner(self, group: Any, user: Any, current: Any = None) -> None:
        self._lead(group, [user], current, leads=True)

    @writes
    def unsetGroupOwner(self, group: Any, user: Any, current: Any = None) -> None:
        self._lead(group, [user], current, leads=False)

    @writes
    def setDefaultGroup(self, user: Any, group: Any, current: Any = None) -> None:
        row = self._user(user)
        if row is not self.session.user:
            self._demand("ModifyUser", current)
        if self.blitz.people.membership(self._group(group), row) is None:
            raise omero.ApiUsageException("", "", f"user {row.id} is not a member of group {group._id.val}")
        self.store.set_extra(row, default_group=group._id.val)

    @writes
    def changeUserPassword(self, name: str, password: Any, current: Any = None) -> None:
        self._demand("ModifyUser", current)
        user = self.blitz.people.user(name)
        if user is None:
            raise omero.ApiUsageException("", "", f"No such experimenter: {name}")
        self.blitz.people.set_password(user, password.val)

    @writes
    def changePasswordWithOldPassword(self, old: Any, new: Any, current: Any = None) -> None:
        if not self.blitz.people.check_password(self.session.user["omeName"], old.val):
            raise omero.SecurityViolation("", "", "the old password is wrong")
        self.blitz.people.set_password(self.session.user, new.val)

    @writes
    def changePassword(self, new: Any, current: Any = None) -> None:
        self.blitz.people.set_password(self.session.user, new.val)
