from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import numpy as np
import omero
import omero.cmd
import omero.model
import pytest
from omero.gateway import MapAnnotationWrapper
from omero.rtypes import rlong, rstring

from tests.lab.omero.images import import_image, make_dataset
from tests.lab.omero.security.bootstrap import SERVICE_USER

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.lab.omero.private import PrivateOmero

PRIVATE, READ, ANNOTATE, WRITE = "private", "read", "annotate", "write"
GROUPS = {PRIVATE: "rw----", READ: "rwr---", ANNOTATE: "rwra--", WRITE: "rwrw--"}


@pytest.fixture(scope="module", autouse=True)
def groups(omero_server: PrivateOmero) -> dict[str, int]:
    """A group of every kind, of which alice and bob are members."""
    ids = {}
    with omero_server.login("root") as root:
        admin = root.getAdminService()
        members = [
            omero.model.ExperimenterI(root.getObject("Experimenter", attributes={"omeName": name}).getId(), False)
            for name in ("alice", "bob")
        ]
        for name, permissions in GROUPS.items():
            group = omero.model.ExperimenterGroupI()
            group.name = rstring(name)
            group.details.permissions = omero.model.PermissionsI(permissions)
            ids[name] = admin.createGroup(group)
            for member in members:
                admin.addGroups(member, [omero.model.ExperimenterGroupI(ids[name], False)])
    return ids


@pytest.fixture
def image_ids(omero_server: PrivateOmero) -> dict[str, int]:
    """An image of alice in each of the groups."""
    ids = {}
    for name in GROUPS:
        with omero_server.login("alice", group=name) as alice:
            ids[name] = import_image(alice, np.arange(12, dtype="uint8").reshape(3, 4), f"of alice, {name}")
    return ids


@contextlib.contextmanager
def as_bob(server: PrivateOmero, group: str) -> Iterator[Any]:
    with server.login("bob", group=group) as bob:
        yield bob


@pytest.mark.parametrize(("group", "visible"), [(PRIVATE, False), (READ, True), (ANNOTATE, True), (WRITE, True)])
def test_reading(omero_server: PrivateOmero, image_ids: dict[str, int], group: str, visible: bool) -> None:
    with as_bob(omero_server, group) as bob:
        assert (bob.getObject("Image", image_ids[group]) is not None) is visible
        found = bob.getQueryService().projection("select i.id from Image i", None, bob.SERVICE_OPTS)
        assert (image_ids[group] in [row[0].val for row in found]) is visible


@pytest.mark.parametrize(("group", "allowed"), [(READ, False), (ANNOTATE, True), (WRITE, True)])
def test_annotating(omero_server: PrivateOmero, image_ids: dict[str, int], group: str, allowed: bool) -> None:
    with as_bob(omero_server, group) as bob:
        image = bob.getObject("Image", image_ids[group])
        assert image.canAnnotate() is allowed
        annotation = MapAnnotationWrapper(bob)
        annotation.setValue([("key", "value")])
        annotation.save()
        outcome = contextlib.nullcontext() if allowed else pytest.raises(omero.SecurityViolation)
        with outcome:
            image.linkAnnotation(annotation)
        assert len(list(image.listAnnotations())) == int(allowed)


@pytest.mark.parametrize(("group", "allowed"), [(READ, False), (ANNOTATE, False), (WRITE, True)])
def test_editing(omero_server: PrivateOmero, image_ids: dict[str, int], group: str, allowed: bool) -> None:
    with as_bob(omero_server, group) as bob:
        image = bob.getObject("Image", image_ids[group])
        assert image.canEdit() is allowed
        image.setName("renamed")
        with contextlib.nullcontext() if allowed else pytest.raises(omero.SecurityViolation):
            image.save()
        assert (bob.getObject("Image", image_ids[group]).getName() == "renamed") is allowed


@pytest.mark.parametrize(("group", "allowed"), [(READ, False), (ANNOTATE, False), (WRITE, True)])
def test_writing_pixels(omero_server: PrivateOmero, image_ids: dict[str, int], group: str, allowed: bool) -> None:
    with as_bob(omero_server, group) as bob:
        pixels_id = bob.getObject("Image", image_ids[group]).getPixelsId()
        store = bob.c.sf.createRawPixelsStore()
        store.setPixelsId(pixels_id, True, bob.SERVICE_OPTS)
        with contextlib.nullcontext() if allowed else pytest.raises(omero.SecurityViolation):
            store.setPlane(bytes(12), 0, 0, 0, bob.SERVICE_OPTS)
        store.close()


@pytest.mark.parametrize(("group", "allowed"), [(READ, False), (ANNOTATE, False), (WRITE, True)])
def test_linking_into_the_dataset_of_another(omero_server: PrivateOmero, group: str, allowed: bool) -> None:
    with omero_server.login("alice", group=group) as alice:
        dataset_id = make_dataset(alice, "of alice")
    with as_bob(omero_server, group) as bob:
        image_id = import_image(bob, np.zeros((3, 4), "uint8"), "of bob")
        link = omero.model.DatasetImageLinkI()
        link.parent, link.child = omero.model.DatasetI(dataset_id, False), omero.model.ImageI(image_id, False)
        with contextlib.nullcontext() if allowed else pytest.raises(omero.SecurityViolation):
            bob.getUpdateService().saveObject(link, bob.SERVICE_OPTS)


@pytest.mark.parametrize(("group", "allowed"), [(PRIVATE, False), (READ, False), (ANNOTATE, False), (WRITE, True)])
def test_deleting(omero_server: PrivateOmero, image_ids: dict[str, int], group: str, allowed: bool) -> None:
    with as_bob(omero_server, group) as bob:
        request = omero.cmd.Delete2(targetObjects={"Image": [image_ids[group]]})
        with contextlib.nullcontext() if allowed else pytest.raises(omero.CmdError):
            bob.c.submit(request)
    with omero_server.login("alice", group=group) as alice:
        assert (alice.getObject("Image", image_ids[group]) is None) is allowed


def test_deleting_takes_along_what_belongs_to_an_image(omero_server: PrivateOmero, image_ids: dict[str, int]) -> None:
    image_id = image_ids[ANNOTATE]
    with as_bob(omero_server, ANNOTATE) as bob:
        theirs = MapAnnotationWrapper(bob)
        theirs.setValue([("by", "bob")])
        theirs.save()
        bob.getObject("Image", image_id).linkAnnotation(theirs)
    with omero_server.login("alice", group=ANNOTATE) as alice:
        pixels_id = alice.getObject("Image", image_id).getPixelsId()
        path = omero_server.data / "Pixels" / f"{pixels_id // 1000:03d}" / str(pixels_id)
        assert path.exists()
        alice.deleteObjects("Image", [image_id], wait=True)
        assert alice.getObject("Image", image_id) is None
        assert alice.getQueryService().find("Pixels", pixels_id, alice.SERVICE_OPTS) is None
        assert not path.exists()
        assert alice.getObject("MapAnnotation", theirs.getId()) is not None, "what another has written stays"


def test_images_stay_when_their_dataset_is_deleted_without_children(omero_server: PrivateOmero) -> None:
    with omero_server.login("alice") as alice:
        dataset_id = make_dataset(alice, "container")
        kept = import_image(alice, np.zeros((3, 4), "uint8"), "kept", dataset_id)
        alice.deleteObjects("Dataset", [dataset_id], wait=True)
        assert alice.getObject("Image", kept) is not None
        other = make_dataset(alice, "container")
        gone = import_image(alice, np.zeros((3, 4), "uint8"), "gone", other)
        alice.deleteObjects("Dataset", [other], deleteChildren=True, wait=True)
        assert alice.getObject("Image", gone) is None


def test_an_object_that_is_referred_to_cannot_be_deleted_alone(omero_server: PrivateOmero) -> None:
    with omero_server.login("alice") as alice:
        image = alice.getObject("Image", import_image(alice, np.zeros((3, 4), "uint8"), "image"))
        with pytest.raises(omero.ValidationException, match="refers to it"):
            alice.getUpdateService().deleteObject(omero.model.ImageI(image.getId(), False), alice.SERVICE_OPTS)
        assert alice.getObject("Image", image.getId()) is not None


def test_moving_takes_ownership(omero_server: PrivateOmero, groups: dict[str, int], image_ids: dict[str, int]) -> None:
    image_id = image_ids[WRITE]
    request = omero.cmd.Chgrp2(targetObjects={"Image": [image_id]}, groupId=groups[READ])
    with as_bob(omero_server, WRITE) as bob, pytest.raises(omero.CmdError):
        bob.c.submit(request)
    with omero_server.login("alice", group=WRITE) as alice:
        alice.c.submit(request)
        assert alice.getObject("Image", image_id) is None
    with omero_server.login("alice", group=READ) as alice:
        assert alice.getObject("Image", image_id).getPrimaryPixels().getPlane(0, 0, 0).sum() == 66


def test_working_in_a_group_takes_membership(omero_server: PrivateOmero, groups: dict[str, int]) -> None:
    with omero_server.login("alice") as alice:
        lab_b = next(group.getId() for group in alice.listGroups() if group.getName() == "lab-b")
        alice.SERVICE_OPTS.setOmeroGroup(lab_b)
        with pytest.raises(omero.SecurityViolation, match="not a member"):
            list(alice.getObjects("Image"))


def test_all_groups_can_be_read_at_once_but_not_written_to(
    omero_server: PrivateOmero, image_ids: dict[str, int]
) -> None:
    with omero_server.login("alice") as alice:
        alice.SERVICE_OPTS.setOmeroGroup("-1")
        assert set(image_ids.values()) <= {image.getId() for image in alice.getObjects("Image")}
        with pytest.raises(omero.SecurityViolation, match="all groups"):
            make_dataset(alice, "nowhere")


def test_objects_of_different_groups_are_not_linked(omero_server: PrivateOmero, image_ids: dict[str, int]) -> None:
    with omero_server.login("alice", group=READ) as alice:
        dataset_id = make_dataset(alice, "here")
        link = omero.model.DatasetImageLinkI()
        link.parent, link.child = omero.model.DatasetI(dataset_id, False), omero.model.ImageI(image_ids[WRITE], False)
        with pytest.raises(omero.GroupSecurityViolation):
            alice.getUpdateService().saveObject(link, alice.SERVICE_OPTS)


def test_an_ordinary_user_is_no_administrator(omero_server: PrivateOmero) -> None:
    with omero_server.login("alice") as alice:
        assert not alice.isAdmin()
        assert list(alice.getCurrentAdminPrivileges()) == []
        principal = omero.sys.Principal("bob", "lab-a", "User", None)
        with pytest.raises(omero.SecurityViolation):
            alice.getSessionService().createSessionWithTimeouts(principal, 0, 60_000)
        with pytest.raises(omero.SecurityViolation):
            alice.getAdminService().changeUserPassword("bob", rstring("mine"))


def test_a_restricted_administrator_works_for_others_and_in_their_name(omero_server: PrivateOmero) -> None:
    with omero_server.login(SERVICE_USER) as service:
        assert service.isAdmin()
        assert list(service.getCurrentAdminPrivileges()) == ["Sudo"]
        alice = service.suConn("alice", "lab-a")
        try:
            assert alice.getUser().getName() == "alice"
            context = alice.getEventContext()
            assert (context.isAdmin, context.groupName, context.sudoerName.val) == (False, "lab-a", SERVICE_USER)
            image_id = import_image(alice, np.zeros((3, 4), "uint8"), "made for alice")
            assert alice.getObject("Image", image_id).getOwnerOmeName() == "alice"
        finally:
            alice.close()
        service.SERVICE_OPTS.setOmeroGroup("-1")
        image = service.getObject("Image", image_id)
        assert image is not None, "an administrator reads everything"
        image.setName("changed")
        with pytest.raises(omero.SecurityViolation):
            image.save()
        with pytest.raises(omero.CmdError):
            service.c.submit(omero.cmd.Delete2(targetObjects={"Image": [image_id]}))


def test_sudo_gives_no_more_than_the_one_who_uses_it_has(omero_server: PrivateOmero) -> None:
    with omero_server.login(SERVICE_USER) as service:
        root = service.suConn("root", "system")
        try:
            assert list(root.getCurrentAdminPrivileges()) == ["Sudo"]
        finally:
            root.close()


def test_an_administrator_makes_objects_for_others(omero_server: PrivateOmero) -> None:
    with omero_server.login("root") as root:
        admin = root.getAdminService()
        alice, lab_a = admin.lookupExperimenter("alice"), admin.lookupGroup("lab-a")
        dataset = omero.model.DatasetI()
        dataset.name = rstring("for alice")
        dataset.details.owner, dataset.details.group = alice, lab_a
        saved = root.getUpdateService().saveAndReturnObject(dataset, {"omero.group": str(lab_a.id.val)})
        assert saved.details.owner.id.val == alice.id.val
        root.SERVICE_OPTS.setOmeroGroup(str(lab_a.id.val))
        root.SERVICE_OPTS.setOmeroUser(alice.id.val)
        assert root.getObject("Dataset", make_dataset(root, "also for alice")).getOwnerOmeName() == "alice"


def test_leaders_do_everything_in_their_groups(
    omero_server: PrivateOmero, groups: dict[str, int], image_ids: dict[str, int]
) -> None:
    with omero_server.login("root") as root:
        admin = root.getAdminService()
        group, bob = omero.model.ExperimenterGroupI(groups[PRIVATE], False), admin.lookupExperimenter("bob")
        admin.addGroupOwners(group, [bob])
        try:
            with as_bob(omero_server, PRIVATE) as leader:
                image = leader.getObject("Image", image_ids[PRIVATE])
                image.setName("seen")
                image.save()
                assert leader.getObject("Image", image_ids[PRIVATE]).getName() == "seen"
        finally:
            admin.removeGroupOwners(group, [bob])


def test_a_file_is_as_private_as_its_group(omero_server: PrivateOmero) -> None:
    with omero_server.login("alice", group=PRIVATE) as alice:
        file = omero.model.OriginalFileI()
        file.name, file.path, file.size = rstring("notes.txt"), rstring("/"), rlong(5)
        file = alice.getUpdateService().saveAndReturnObject(file, alice.SERVICE_OPTS)
        store = alice.c.sf.createRawFileStore()
        store.setFileId(file.id.val, alice.SERVICE_OPTS)
        store.write(b"notes", 0, 5, alice.SERVICE_OPTS)
        assert store.save(alice.SERVICE_OPTS).size.val == 5
        assert store.read(1, 3) == b"ote"
        store.close()
    with as_bob(omero_server, PRIVATE) as bob:
        store = bob.c.sf.createRawFileStore()
        with pytest.raises(omero.ResourceError):
            store.setFileId(file.id.val, bob.SERVICE_OPTS)
        store.close()


def test_working_as_another_user_takes_a_privilege(omero_server: PrivateOmero) -> None:
    for user in ("bob", SERVICE_USER):
        with omero_server.login(user) as gateway:
            alice = gateway.getAdminService().lookupExperimenter("alice")
            gateway.SERVICE_OPTS.setOmeroUser(alice.id.val)
            with pytest.raises(omero.SecurityViolation, match="may not work as user"):
                make_dataset(gateway, "for alice")


def test_an_object_of_ones_own_is_not_turned_towards_that_of_another(
    omero_server: PrivateOmero, image_ids: dict[str, int]
) -> None:
    with as_bob(omero_server, ANNOTATE) as bob:
        dataset_id = make_dataset(bob, "of bob")
        image_id = import_image(bob, np.zeros((3, 4), "uint8"), "of bob", dataset_id)
        query = "select l from DatasetImageLink l where l.child.id = :id"
        parameters = omero.sys.ParametersI().addId(image_id)
        link = bob.getQueryService().findByQuery(query, parameters, bob.SERVICE_OPTS)
        link.child = omero.model.ImageI(image_ids[ANNOTATE], False)
        with pytest.raises(omero.SecurityViolation):
            bob.getUpdateService().saveObject(link, bob.SERVICE_OPTS)
