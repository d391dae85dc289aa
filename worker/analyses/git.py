"""The ``git`` program, run so that nothing in a configuration file can make it do more than fetch.

Arguments are a list, never a shell's; only https, ssh, git and file are spoken; nothing is ever asked at a terminal;
a command that takes too long is ended with everything that it started; and no file that it writes grows without bound.

A token reaches git through its environment, and is handed out by a credential helper that git asks for one host alone:
when a server sends it on to another host, git asks again, and gets nothing. A header in ``http.extraHeader`` would be
sent along.
"""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
from typing import TYPE_CHECKING

from worker.errors import RepositoryUnreachable

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path
    from typing import IO

    from worker.analyses.deadline import Deadline
    from worker.analyses.tokens import Token

PROTOCOLS = ("https", "ssh", "git", "file")

# These name the repository of whoever runs us, if that happens to be git itself (in a hook).
_FOREIGN = (
    "GIT_DIR",
    "GIT_WORK_TREE",
    "GIT_INDEX_FILE",
    "GIT_OBJECT_DIRECTORY",
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_COMMON_DIR",
    "GIT_NAMESPACE",
    "GIT_PREFIX",
    "GIT_EXTERNAL_DIFF",
)


LIMIT_BYTES = 256 * 1024 * 1024
"""What no file that git writes may exceed, such as the pack of a repository whose server cannot leave files out."""

_HELPER = '!printf "username=%s\\npassword=%s\\n" "$OMERO_WORKER_GIT_USER" "$OMERO_WORKER_GIT_TOKEN";:'
"""A credential helper for a shell that git starts: the token is in neither its text nor its arguments."""


def run_git(
    arguments: Sequence[str], deadline: Deadline, *, folder: Path | None = None, token: Token | None = None
) -> bytes:
    """Run ``git``.

    Parameters
    ----------
    arguments : Sequence[str]
        Its arguments.
    deadline : Deadline
        When it must have ended.
    folder : Path | None
        The bare repository that it works on.
    token : Token | None
        The token of the host that it talks to.

    Returns
    -------
    bytes
        What it wrote to standard output.

    Raises
    ------
    RepositoryUnreachable
        It ended with an error, or did not end in time, or is not installed.
    """
    place = [] if folder is None else [f"--git-dir={folder}"]
    git = ["git", "--literal-pathspecs", *place, "-c", "credential.interactive=false", *arguments]
    # The shell's ulimit counts blocks of 512 bytes (POSIX), and holds for all that git starts.
    argv = ["sh", "-c", 'ulimit -f "$0"; exec "$@"', str(LIMIT_BYTES // 512), *git]
    # Files instead of pipes: the limit holds for them too, and no grandchild can keep us waiting for their end.
    with _unnamed_file() as stdout, _unnamed_file() as stderr:
        try:
            process = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
                env=_environment(token),
                start_new_session=True,
            )
        except OSError as error:
            raise RepositoryUnreachable(f"The program git cannot be started: {error.strerror or error}.") from error
        with process:
            try:
                process.wait(deadline.left_s)
            except BaseException as error:
                # Its children (ssh, git-remote-https) are all in one group of their own.
                os.killpg(process.pid, signal.SIGKILL)
                if isinstance(error, subprocess.TimeoutExpired):
                    late = f"git {arguments[0]} took more than {deadline.timeout_s:g} s."
                    raise RepositoryUnreachable(late) from error
                raise
        if process.returncode != 0:
            message = _read(stderr).decode(errors="replace").strip() or f"status {process.returncode}, and no message"
            raise RepositoryUnreachable(
                f"git {arguments[0]} failed: {_without(token, _last_words(message))}.", remedy=_remedy(message)
            )
        return _read(stdout)


def _unnamed_file() -> IO[bytes]:
    try:
        return tempfile.TemporaryFile()
    except OSError as error:
        raise RepositoryUnreachable(
            f"There is no room for what git says: {error.strerror or error}.",
            remedy=f"Make room in {tempfile.gettempdir()}, or let TMPDIR name another folder.",
        ) from error


def _read(stream: IO[bytes]) -> bytes:
    stream.seek(0)
    return stream.read()


def _environment(token: Token | None) -> dict[str, str]:
    environ = {name: value for name, value in os.environ.items() if name not in _FOREIGN}
    environ.setdefault("GIT_SSH_COMMAND", "ssh -o BatchMode=yes -o ConnectTimeout=30 -o ServerAliveInterval=30")
    # One variable for all of our programs: curl, of which git is made, knows neither of the others.
    authorities = environ.get("REQUESTS_CA_BUNDLE") or environ.get("SSL_CERT_FILE")
    if authorities:
        environ.setdefault("GIT_SSL_CAINFO", authorities)
    environ |= {
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_ASKPASS": "true",
        "SSH_ASKPASS": "true",
        "GIT_ALLOW_PROTOCOL": ":".join(PROTOCOLS),
        "GIT_OPTIONAL_LOCKS": "0",
        # So that git ends by itself, should we be killed before we end it.
        "GIT_HTTP_LOW_SPEED_LIMIT": "1",
        "GIT_HTTP_LOW_SPEED_TIME": "120",
        # Traces go to files of anybody's choice, and may show what is sent.
        "GIT_TRACE_REDACT": "1",
        "LC_ALL": "C",
    }
    if token is not None:
        environ |= {"OMERO_WORKER_GIT_USER": token.user, "OMERO_WORKER_GIT_TOKEN": token.secret.get_secret_value()}
        # The empty one takes other helpers off the list for this host: git would have them keep the token.
        _configure(environ, f"credential.https://{token.host}.helper", "", _HELPER)
    return environ


def _configure(environ: dict[str, str], key: str, *values: str) -> None:
    """Add to git's configuration by its environment."""
    count = int(environ.get("GIT_CONFIG_COUNT") or 0)
    for number, value in enumerate(values, start=count):
        environ[f"GIT_CONFIG_KEY_{number}"] = key
        environ[f"GIT_CONFIG_VALUE_{number}"] = value
    environ["GIT_CONFIG_COUNT"] = str(count + len(values))


def _last_words(message: str) -> str:
    """Shorten what git wrote to the lines that say why, and drop the advice for persons at a terminal."""
    lines = [line.strip() for line in message.splitlines() if line.startswith(("fatal:", "error:", "ssh:", "remote:"))]
    return " ".join(lines or message.splitlines()[-1:]).rstrip(".")[:500]


def _without(token: Token | None, text: str) -> str:
    """Take the token out of a message, should a server have answered with it."""
    return text if token is None else text.replace(token.secret.get_secret_value(), "***")


def _remedy(message: str) -> str:
    if "could not read Username" in message or "Authentication failed" in message:
        return (
            "It is private, or does not exist: check its address, or give a token that may read it "
            "(GITHUB_TOKEN_FILE, GITLAB_TOKEN_FILE)."
        )
    return ""
