"""What whoever opens a dialog has asked for before: the requests of their own runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from worker.dialogs.looking import PATIENCE_S, look_up

if TYPE_CHECKING:
    from worker.dialogs.looking import Found
    from worker.history.database import Database
    from worker.history.requests import RequestRow


def own_runs(*, limit: int = 200, patience_s: float = PATIENCE_S) -> Found[RequestRow]:
    """Look up the requests of a person's own runs while a dialog opens; this never fails.

    Parameters
    ----------
    limit : int
        At most so many.
    patience_s : float
        How long to wait, in seconds.

    Returns
    -------
    Found
        ``rows``: the requests, the newest first; none where no dialog is opened. ``problem``: why there are none,
        where somebody did not answer.
    """

    def ask(database: Database, user: int) -> list[RequestRow]:
        from worker.history.requests import requests_of

        return requests_of(database, user, limit=limit)

    return look_up(ask, patience_s=patience_s)
