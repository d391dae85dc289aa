"""The people of a fresh lab."""
import os
import secrets


def fill(b):
    """Make groups and users."""
    with b.store.lock:
        a, p, r = b.add_group("lab-a", "rwra--"), b.add_group("lab-b", "rw----"), b.add_group("lab-r", "rwr---")
        b.add_user("alice", "alicepw", "Alice", "Ang", [a, r])
        b.add_user("bob", "bobpw", "Bob", "Baker", [a, p])
        path = os.path.join(b.data, "service-password")
        password = secrets.token_urlsafe(16)
        with open(os.open(path, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600), "w") as f:
            f.write(password)
        b.add_user("omero-worker", password, "OMERO", "Worker", [b.store.get("ExperimenterGroup", 0)])
        b.dirty()
