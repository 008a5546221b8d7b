# SPDX-License-Identifier: Apache-2.0
"""A small writer of SVG: elements, text, and the colours that the pages have, light and dark.

Pictures carry their colours as CSS custom properties of their own, so that they follow the
viewer's scheme wherever they are shown.
"""

from collections.abc import Iterable
from html import escape
from typing import Final

STYLE: Final = """
svg { --ground: #ffffff; --ink: #12211f; --soft: #4a5c59; --line: #d9e0df; --band: #0b776d1f;
  --import: #0072b2; --export: #c77f00; --third: #cc5f9c; --accent: #0b776d; --harm: #b3261e; }
@media (prefers-color-scheme: dark) {
  svg { --ground: #151f1e; --ink: #e7efed; --soft: #a3b4b1; --line: #2a3836; --band: #4cc2b426;
    --import: #56b4e9; --export: #e69f00; --third: #dd86b6; --accent: #4cc2b4; --harm: #f08a80; } }
text { font: 13px system-ui, -apple-system, "Segoe UI", sans-serif; fill: var(--ink);
  font-variant-numeric: tabular-nums; }
.soft { fill: var(--soft); font-size: 12px; }
.head { font-size: 16px; font-weight: 600; }
.end { text-anchor: end; } .middle { text-anchor: middle; }
"""


def element(name: str, inside: str = "", **attributes: object) -> str:
    """Return one element; `_` in a name stands for `-`, one at its end for a keyword."""
    said = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(_number(value))}"'
        for key, value in attributes.items()
    )
    return f"<{name}{said}>{inside}</{name}>" if inside else f"<{name}{said}/>"


def text(x: float, y: float, words: str, class_: str = "") -> str:
    """Return a line of text."""
    return element("text", escape(words), x=x, y=y, class_=class_ or "plain")


def polyline(points: Iterable[tuple[float, float]], colour: str) -> str:
    """Return a line through points."""
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    return element(
        "polyline", points=path, fill="none", stroke=colour, stroke_width=2, stroke_linejoin="round"
    )


def picture(width: int, height: int, title: str, parts: Iterable[str], style: str = STYLE) -> str:
    """Return a whole SVG document."""
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}"'
        f' viewBox="0 0 {width} {height}" role="img" aria-label="{escape(title)}">'
    )
    body = "\n".join(parts)
    return f"{head}\n<title>{escape(title)}</title>\n<style>{style}</style>\n{body}\n</svg>\n"


def _number(value: object) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)
