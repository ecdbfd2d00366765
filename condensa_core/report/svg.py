"""The marks that pictures are made of, as SVG text; every text in them is escaped."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from condensa_core.report.escaped import escaped

# Okabe and Ito's colours, which colour-blind readers can tell apart.
COLOURS: Final = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000", "#999933")

Place = tuple[float, float]


def picture(width: int, height: int, title: str, marks: Iterable[str]) -> str:
    """A whole SVG document on white; `title` is what a screen reader says of it."""
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif"'
        f' font-size="12" role="img" aria-label="{escaped(title)}">'
    )
    return "\n".join([head, f'<rect width="{width}" height="{height}" fill="white"/>', *marks, "</svg>", ""])


def text(at: Place, words: str, *, anchor: str = "start", size: int = 12, colour: str = "#000") -> str:
    return (
        f'<text x="{at[0]:.1f}" y="{at[1]:.1f}" text-anchor="{anchor}" font-size="{size}" fill="{colour}">'
        f"{escaped(words)}</text>"
    )


def upright(at: Place, words: str) -> str:
    """A text that reads upwards, centred at its place."""
    return f'<g transform="translate({at[0]:.1f} {at[1]:.1f}) rotate(-90)">{text((0, 0), words, anchor="middle")}</g>'


def line(start: Place, end: Place, colour: str, *, width: float = 1, dashes: str = "") -> str:
    dashed = f' stroke-dasharray="{dashes}"' if dashes else ""
    return (
        f'<line x1="{start[0]:.1f}" x2="{end[0]:.1f}" y1="{start[1]:.1f}" y2="{end[1]:.1f}"'
        f' stroke="{colour}" stroke-width="{width:g}"{dashed}/>'
    )


def polyline(places: Iterable[Place], colour: str, *, width: float = 2, dashes: str = "") -> str:
    dashed = f' stroke-dasharray="{dashes}"' if dashes else ""
    return f'<polyline points="{_listed(places)}" fill="none" stroke="{colour}" stroke-width="{width:g}"{dashed}/>'


def area(low: Sequence[Place], high: Sequence[Place], colour: str, opacity: float) -> str:
    """What lies between two curves over the same places."""
    return f'<polygon points="{_listed([*low, *reversed(high)])}" fill="{colour}" fill-opacity="{opacity:g}"/>'


def dot(at: Place, colour: str, *, radius: float = 4, hollow: bool = False, hint: str = "") -> str:
    """A disc, or a ring; `hint` is shown where the mouse rests on it."""
    fill = "white" if hollow else colour
    inside = f"<title>{escaped(hint)}</title>" if hint else ""
    return (
        f'<circle cx="{at[0]:.1f}" cy="{at[1]:.1f}" r="{radius:g}" fill="{fill}" stroke="{colour}"'
        f' stroke-width="2">{inside}</circle>'
    )


def ring(at: Place, colour: str, *, radius: float = 9) -> str:
    return (
        f'<circle cx="{at[0]:.1f}" cy="{at[1]:.1f}" r="{radius:g}" fill="none" stroke="{colour}" stroke-width="1.5"/>'
    )


def cross(at: Place, colour: str, *, size: float = 5, hint: str = "") -> str:
    x, y = at
    inside = f"<title>{escaped(hint)}</title>" if hint else ""
    strokes = f"M{x - size:.1f} {y - size:.1f}L{x + size:.1f} {y + size:.1f}"
    strokes += f"M{x - size:.1f} {y + size:.1f}L{x + size:.1f} {y - size:.1f}"
    return f'<path d="{strokes}" stroke="{colour}" stroke-width="2" fill="none">{inside}</path>'


def clipped(marks: Iterable[str], name: str, corner: Place, size: Place) -> list[str]:
    """The marks where they lie inside a rectangle; `name` is unique in its picture."""
    (x, y), (width, height) = corner, size
    shape = f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}"/>'
    return [f'<clipPath id="{name}">{shape}</clipPath>', f'<g clip-path="url(#{name})">', *marks, "</g>"]


def _listed(places: Iterable[Place]) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
