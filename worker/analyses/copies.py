"""Copies of descriptors on disk, for the days on which their origins cannot be asked, and who is left alone till when.

One private JSON file for each, written beside and renamed. A copy holds the checksum of its text, so that a damaged one
is as good as none; its time of modification says when its origin last said that there is no newer one.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from worker.analyses.catalogue import replace_file
from worker.analyses.record import read_record, read_text
from worker.errors import RepositoryUnreachable, SettingsError

if TYPE_CHECKING:
    from pathlib import Path

_PRIVATE = 0o600
_FIRST_PAUSE_S = 120.0
_LONGEST_PAUSE_S = 1800.0
_LONGEST_REASON = 1000


@dataclass(frozen=True, slots=True)
class Copy:
    """A descriptor as it was when its origin was last asked.

    Parameters
    ----------
    text : str
        Its content.
    path : str
        Its path in the repository; empty for a file of a web server.
    ref : str
        The branch or tag that it was read from; empty for the default branch.
    commit : str
        The commit.
    etag : str
        What the web server calls this version.
    modified : str
        When the web server says that it was changed.
    fetched_at : str
        When it was fetched: ISO 8601 in UTC.
    """

    text: str
    path: str = ""
    ref: str = ""
    commit: str = ""
    etag: str = ""
    modified: str = ""
    fetched_at: str = ""


@dataclass(frozen=True, slots=True)
class Silence:
    """An origin that has not answered.

    Parameters
    ----------
    since : str
        Since when: ISO 8601 in UTC.
    ask_at : str
        When it is asked again.
    times : int
        How many times in a row it has not answered.
    reason : str
        Why, as of the last time.
    remedy : str
        What to do about it.
    """

    since: str
    ask_at: str
    times: int
    reason: str
    remedy: str = ""


def make_private(cache_dir: Path) -> None:
    """Make the folder of the copies, for us alone: repositories may be private.

    Parameters
    ----------
    cache_dir : Path
        Where copies are kept.
    """
    with contextlib.suppress(OSError):
        # On a volume of somebody else's we may be able to write all the same; if not, that is told where it matters.
        cache_dir.mkdir(parents=True, exist_ok=True)
        cache_dir.chmod(0o700)


def copy_path(cache_dir: Path, *address: str) -> Path:
    """Say where the copy of a descriptor is.

    Parameters
    ----------
    cache_dir : Path
        Where copies are kept.
    *address : str
        The parts of its address.

    Returns
    -------
    Path
        The file.
    """
    return cache_dir / f"{digest(*address)}.json"


def silence_path(cache_dir: Path, *key: str) -> Path:
    """Say where it is kept that an origin, or something that it has, cannot be asked.

    Parameters
    ----------
    cache_dir : Path
        Where copies are kept.
    *key : str
        The origin, and what of it.

    Returns
    -------
    Path
        The file.
    """
    return cache_dir / f"{digest(*key)}.silent"


def digest(*texts: str) -> str:
    """Name a file after some texts.

    Parameters
    ----------
    *texts : str
        The texts.

    Returns
    -------
    str
        Hexadecimal digits.
    """
    return hashlib.sha256("\n".join(texts).encode(errors="surrogatepass")).hexdigest()[:32]


def load_copy(path: Path) -> tuple[Copy, datetime] | None:
    """Load a copy.

    Parameters
    ----------
    path : Path
        Its file.

    Returns
    -------
    tuple[Copy, datetime] | None
        The copy, and when it was last known to be the newest; None if it is missing or damaged.
    """
    try:
        record = _load(path)
        copy = Copy(*(read_text(record, key) for key in Copy.__dataclass_fields__))
        if read_text(record, "sha256") != _checksum(copy):
            return None
        return copy, datetime.fromtimestamp(path.stat().st_mtime, UTC)
    except (OSError, ValueError, RecursionError):
        return None


def save_copy(path: Path, copy: Copy) -> None:
    """Keep a copy.

    Parameters
    ----------
    path : Path
        Its file.
    copy : Copy
        What to keep.
    """
    _save(path, asdict(copy) | {"sha256": _checksum(copy)})


def confirm_copy(path: Path) -> None:
    """Take down that a copy is the newest, as of now.

    Parameters
    ----------
    path : Path
        Its file.
    """
    with contextlib.suppress(OSError):
        # It may have been removed in between; then the next look makes it anew.
        os.utime(path)


def keep_content(cache_dir: Path, content: bytes) -> str:
    """Keep the bytes of a descriptor under their digest, so that they are there when a run is made with it.

    Parameters
    ----------
    cache_dir : Path
        Where copies are kept.
    content : bytes
        The bytes.

    Returns
    -------
    str
        Their sha256, hexadecimal.
    """
    sha256 = hashlib.sha256(content).hexdigest()
    if load_content(cache_dir, sha256) is None:
        with contextlib.suppress(SettingsError):
            # Without them the record of a run has the digest alone, and says so.
            replace_file(_content_path(cache_dir, sha256), content, mode=_PRIVATE)
    return sha256


def load_content(cache_dir: Path, sha256: str) -> bytes | None:
    """Give the bytes of a descriptor by their digest.

    Parameters
    ----------
    cache_dir : Path
        Where copies are kept.
    sha256 : str
        The digest.

    Returns
    -------
    bytes or None
        Exactly these bytes; None if they are not kept, or are damaged.
    """
    try:
        content = _content_path(cache_dir, sha256).read_bytes()
    except OSError:
        return None
    return content if hashlib.sha256(content).hexdigest() == sha256 else None


def _content_path(cache_dir: Path, sha256: str) -> Path:
    return cache_dir / f"{sha256}.descriptor"


def check_silence(path: Path, url: str) -> None:
    """Refuse to ask an origin that is left alone for now.

    Parameters
    ----------
    path : Path
        Where that would be kept.
    url : str
        The origin, for the message.

    Raises
    ------
    RepositoryUnreachable
        It has not answered, and it is not yet time to ask again.
    """
    silence = _load_silence(path)
    if silence is None or _now() >= datetime.fromisoformat(silence.ask_at):
        return
    raise RepositoryUnreachable(
        f"{url} has not answered since {shown(silence.since)}, and is asked again at {shown(silence.ask_at)}. "
        f"{silence.reason}",
        remedy=silence.remedy,
    )


def record_silence(path: Path, error: RepositoryUnreachable) -> None:
    """Leave an origin alone for a while: longer with each time, and as long as it has asked for.

    Parameters
    ----------
    path : Path
        Where to keep that.
    error : RepositoryUnreachable
        What has happened.
    """
    before, now = _load_silence(path), _now()
    times = 1 if before is None else before.times + 1
    pause_s = min(_FIRST_PAUSE_S * 2.0 ** min(times - 1, 10), _LONGEST_PAUSE_S)
    ask_at = now + timedelta(seconds=max(pause_s, error.retry_after_s or 0.0))
    since = now.isoformat(timespec="seconds") if before is None else before.since
    silence = Silence(since, ask_at.isoformat(), times, error.message[:_LONGEST_REASON], error.remedy)
    _save(path, asdict(silence))


def end_silence(path: Path) -> None:
    """Take down that an origin has answered.

    Parameters
    ----------
    path : Path
        Where its silence was kept.
    """
    with contextlib.suppress(OSError):
        # Then it is left alone until the time that is written there, at most.
        path.unlink(missing_ok=True)


def shown(moment: datetime | str) -> str:
    """Write a time for persons.

    Parameters
    ----------
    moment : datetime | str
        The time.

    Returns
    -------
    str
        Date, hour and minute in UTC.
    """
    if isinstance(moment, str):
        moment = datetime.fromisoformat(moment)
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def _now() -> datetime:
    return datetime.now(UTC)


def _load_silence(path: Path) -> Silence | None:
    try:
        record = _load(path)
        times = record.get("times")
        since, ask_at = read_text(record, "since"), read_text(record, "ask_at")
        if not isinstance(times, int) or _aware(since) > _now() or _aware(ask_at) > _now() + timedelta(hours=2):
            # Damaged, or the clock was put back: it must not keep us from asking for days.
            return None
        return Silence(since, ask_at, times, read_text(record, "reason"), read_text(record, "remedy"))
    except (OSError, ValueError, RecursionError):
        return None


def _aware(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"{text} has no time zone")
    return moment


def _load(path: Path) -> dict[str, object]:
    return read_record(json.loads(path.read_bytes()))


def _save(path: Path, record: dict[str, object]) -> None:
    with contextlib.suppress(SettingsError):
        # Without a copy we know no less today; the folder's state is told where the catalogue is written.
        replace_file(path, json.dumps(record).encode(), mode=_PRIVATE)


def _checksum(copy: Copy) -> str:
    return hashlib.sha256("\0".join(asdict(copy).values()).encode(errors="surrogatepass")).hexdigest()
