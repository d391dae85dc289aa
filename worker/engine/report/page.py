"""A report as a page of HTML that needs nothing else: the Markdown of it, rendered."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING, Final

from worker.engine.report.markdown import render_markdown

if TYPE_CHECKING:
    from collections.abc import Callable

    from worker.engine.report.model import RunFacts

_PAGE: Final = """\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 70rem; margin: 2rem auto; padding: 0 1rem; color: #222; }}
table {{ border-collapse: collapse; display: block; overflow-x: auto; }}
th, td {{ border: 1px solid #ccc; padding: 0.25rem 0.6rem; text-align: left; vertical-align: top; }}
thead th:empty {{ border: 0; padding: 0; }}
code {{ font-size: 0.9em; overflow-wrap: anywhere; }}
</style>
</head>
<body>
{body}</body>
</html>
"""


def render_page(run: RunFacts, link: Callable[[str, int], str] = lambda _kind, _id: "") -> str:
    """Write a report.

    Parameters
    ----------
    run : RunFacts
        What to say.
    link : callable, optional
        Gives the web address of an object in OMERO by kind and id; empty if it has none.

    Returns
    -------
    str
        A page without scripts, and without anything from elsewhere.
    """
    # Only for those who want a page: it takes a moment to load.
    from markdown_it import MarkdownIt

    # HTML in the text stays text, and links lead nowhere but to the web.
    renderer = MarkdownIt("commonmark", {"html": False}).enable("table")
    body = renderer.render(render_markdown(run, link))
    return _PAGE.format(title=html.escape(f"Run {run.run_id}"), body=body)
