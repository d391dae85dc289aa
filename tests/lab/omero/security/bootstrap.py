"""What a fresh server has in it: root, guest, and the people of the lab."""

from __future__ import annotations

import os
import secrets
import time
from typing import TYPE_CHECKING

from tests.lab.omero.model import enumerations
from tests.lab.omero.security.people import GUEST_GROUP, ROOT_USER, SYSTEM_GROUP, USER_GROUP, People, permission_bits

if TYPE_CHECKING:
    from pathlib import Path

    from tests.lab.omero.model.store import Store

SERVICE_USER = "omero-worker"
"""A restricted administrator who may act for others."""

PASSWORDS = {"root": "omero", "alice": "alicepw", "bob": "bobpw"}
"""Passwords of the lab's people; that of the service user is made up when the store is."""


def fill(store: Store, data: Path) -> None:
    """Fill a fresh store.

    Parameters
    ----------
    store : Store
        An empty store.
    data : Path
        Where ``service-password`` is written, readable by its owner alone.
    """
    password = secrets.token_urlsafe(18)
    _write_secret(data / "service-password", password)
    people = People(store)
    with store.transaction():
        enumerations.fill(store)
        system_groups = ((SYSTEM_GROUP, "system", "rw----"), (USER_GROUP, "user", "rwr-r-"))
        for group_id, name, permissions in (*system_groups, (GUEST_GROUP, "guest", "rwr---")):
            group = store.new_with_id("ExperimenterGroup", group_id, name=name, ldap=False, description="")
            store.set_permissions(group, permission_bits(permissions))
        system, guests = people.group_by_id(SYSTEM_GROUP), people.group_by_id(GUEST_GROUP)
        root = people.add_user("root", PASSWORDS["root"], ("root", "root"), [system], user_id=ROOT_USER)
        people.add_user("guest", "guest", ("Guest", "Account"), [guests], user_id=1)
        event = store.new("Event", status="BOOTSTRAP", time=int(time.time() * 1000), experimenter=root)
        store.set(event, experimenterGroup=system, type=store.enumerated("EventType", "Bootstrap"))
        for row in [*store.all("Experimenter"), *store.all("ExperimenterGroup")]:
            store.set_details(row, owner=root, creation_event=event, update_event=event)
        lab_a = people.add_group("lab-a", "rwra--", "read-annotate")
        lab_b = people.add_group("lab-b", "rw----", "private")
        lab_r = people.add_group("lab-r", "rwr---", "read-only")
        people.add_user("alice", PASSWORDS["alice"], ("Alice", "Ang"), [lab_a, lab_r])
        people.add_user("bob", PASSWORDS["bob"], ("Bob", "Baker"), [lab_a, lab_b])
        worker = people.add_user(SERVICE_USER, password, ("OMERO", "Worker"), [system])
        people.set_privileges(worker, ["Sudo"])


def _write_secret(path: Path, secret: str) -> None:
    descriptor = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(secret)
