"""`/docs` as HTML: made from the sections, everything escaped."""

from __future__ import annotations

from html import escape
from pathlib import Path

from gateway.doors.guide.sections import SECTIONS, Call, Section

_PAGE = Path(__file__).parent / "page"
STYLE = (_PAGE / "guide.css").read_text("utf-8")
_FRAME = (_PAGE / "frame.html").read_text("utf-8")


def page(base: str) -> str:
    """The whole page for callers who reach us at `base`."""
    links = "".join(f'<a href="#{_anchor(section)}">{escape(section.title)}</a>' for section in SECTIONS)
    body = "".join(_section(section, base) for section in SECTIONS)
    return _FRAME.replace("<!-- links -->", links).replace("<!-- sections -->", body)


def _section(section: Section, base: str) -> str:
    rows = "".join(map(_row, section.calls))
    example = escape(section.example.replace("BASE", base))
    return (
        f'<section id="{_anchor(section)}"><h2>{escape(section.title)}</h2><p>{escape(section.words)}</p>'
        f"<pre><code>{example}</code></pre><table>{rows}</table></section>"
    )


def _row(call: Call) -> str:
    return (
        f"<tr><td><code>{escape(call.method)}</code></td><td><code>{escape(call.path)}</code></td>"
        f"<td>{escape(call.words)}</td></tr>"
    )


def _anchor(section: Section) -> str:
    return section.title.lower().replace(" ", "-")
