"""OMERO.web, configured so that everything it writes lies below one directory."""

from __future__ import annotations

import importlib.metadata
import json
import sys
from typing import TYPE_CHECKING

import omero.config

from tests.lab.parts import run

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

MIDDLEWARE = (
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.middleware.common.BrokenLinkEmailsMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
)
"""OMERO.web's own list, with whitenoise in front: there is no nginx to serve the static files."""


def settings(omero_host: str, omero_port: int, web_port: int, extra: Mapping[str, object]) -> dict[str, str]:
    """Return the ``omero.web`` properties of a lab, as ``omero config`` would store them.

    Parameters
    ----------
    omero_host, omero_port : str, int
        The server to log in to.
    web_port : int
        Where OMERO.web listens.
    extra : mapping
        Further properties; what is no string is stored as JSON.

    Returns
    -------
    dict
        Values by name.
    """
    middleware = [{"index": index, "class": name} for index, name in enumerate(MIDDLEWARE)]
    properties: dict[str, object] = {
        "omero.web.server_list": [[omero_host, omero_port, "lab"]],
        "omero.web.application_server": "wsgi-tcp",
        "omero.web.application_server.port": str(web_port),
        "omero.web.session_engine": "django.contrib.sessions.backends.file",
        "omero.web.middleware": middleware,
        "omero.web.check_version": "false",
        **extra,
    }
    return {name: value if isinstance(value, str) else json.dumps(value) for name, value in properties.items()}


def configure(omerodir: Path, properties: Mapping[str, str]) -> None:
    """Write ``etc/grid/config.xml`` anew.

    Parameters
    ----------
    omerodir : Path
        OMERODIR of OMERO.web.
    properties : mapping
        All its properties.
    """
    path = omerodir / "etc" / "grid" / "config.xml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    configuration = omero.config.ConfigXml(str(path))
    try:
        for name, value in properties.items():
            configuration[name] = value
    finally:
        configuration.close()


def environment(omerodir: Path, python_path: Sequence[Path] = ()) -> dict[str, str]:
    """Return what OMERO.web needs in its environment.

    Parameters
    ----------
    omerodir : Path
        OMERODIR; Django's sessions and uploads go to ``tmp`` inside it.
    python_path : sequence of Path
        Where Django applications of our own are found.

    Returns
    -------
    dict
        Values by name.
    """
    temporary = omerodir / "tmp"
    temporary.mkdir(parents=True, exist_ok=True)
    return {
        "OMERODIR": str(omerodir),
        "TMPDIR": str(temporary),
        "HOME": str(omerodir),
        "DJANGO_SETTINGS_MODULE": "omeroweb.settings",
        "PYTHONPATH": ":".join(map(str, python_path)),
    }


def collect_statics(omerodir: Path, environ: Mapping[str, str], properties: Mapping[str, str]) -> None:
    """Collect the static files, unless that was done with this release and these applications before.

    Parameters
    ----------
    omerodir : Path
        OMERODIR of OMERO.web.
    environ : mapping
        Its environment.
    properties : mapping
        Its properties.
    """
    stamp = omerodir / "var" / "statics-of"
    wanted = f"{importlib.metadata.version('omero-web')} {properties.get('omero.web.apps', '')}"
    if stamp.exists() and stamp.read_text(encoding="utf-8") == wanted:
        return
    run([sys.executable, "-W", "ignore", "-m", "django", "collectstatic", "--noinput"], env=environ)
    stamp.write_text(wanted, encoding="utf-8")


def command(web_port: int, omerodir: Path) -> list[str]:
    """Return the command that serves OMERO.web on the loopback address.

    ``omero web start`` would refuse to run as root.
    """
    return [
        *(sys.executable, "-m", "gunicorn.app.wsgiapp", "--bind", f"127.0.0.1:{web_port}"),
        # One request at a time: OMERO.web keeps activities in the session, and of two requests that load and save it
        # at the same time one loses the script that the other has just started.
        *("--workers", "1", "--threads", "1", "--timeout", "120", "--graceful-timeout", "1"),
        *("--worker-tmp-dir", str(omerodir / "tmp"), "--no-control-socket", "omeroweb.wsgi:application"),
    ]
