"""One look for every figure of the project, and the one way to write a figure to disk.

Usage: `apply()` once in a process, draw on `new(height_cm)` or any figure, then `save(fig, stem, alt)`.
Lengths are centimetres on paper: the report prints figures at their natural size where the page allows it, so
a label set in 8.5 points here is 8.5 points there. Text is stored in the SVG as outlines, because only then
do the browser, the slides and Typst show the same letters whatever fonts are installed.
"""

from __future__ import annotations

import io
from pathlib import Path

import matplotlib
import matplotlib.pyplot as plt
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.transforms import Bbox

from folklore.files import write_result

WIDTH_CM = 16.0
PNG_DPI = 200
HASH_SALT = "folklore"

# Blind-safe hues, each at least 4.5:1 against white. In grey they come closer together, hence the marks.
VERDICT_COLOURS = {
    "supported": "#00558C",
    "refuted": "#B84A00",
    "inconclusive": "#737373",
    "holds": "#006D50",
    "fails": "#A1286A",
}
VERDICT_MARKERS = {"supported": "o", "refuted": "X", "inconclusive": "o", "holds": "s", "fails": "P"}
VERDICT_HOLLOW = frozenset({"inconclusive"})

PALETTE = sns.color_palette("colorblind")
INK = "#222222"
MUTED = "#6B6B6B"

_RC = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 8.5,
    "axes.titlesize": 9.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelsize": 8.5,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "legend.fontsize": 8,
    "legend.title_fontsize": 8,
    "legend.frameon": False,
    "axes.edgecolor": "#9A9A9A",
    "axes.labelcolor": INK,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "grid.color": "#E3E3E3",
    "grid.linewidth": 0.6,
    "axes.linewidth": 0.7,
    "lines.linewidth": 1.4,
    "lines.markersize": 4.5,
    "patch.linewidth": 0.6,
    "errorbar.capsize": 0,
    "axes.unicode_minus": True,
    "figure.figsize": (WIDTH_CM / 2.54, 8.0 / 2.54),
    "figure.dpi": 100,
    "figure.constrained_layout.use": True,
}

# What decides the bytes of a file is set again at the moment of writing: a caller may have changed it since.
_RC_WRITE = {
    "svg.fonttype": "path",
    "svg.hashsalt": HASH_SALT,
    "svg.image_inline": True,
    "path.simplify": True,
}


def apply() -> None:
    """Make every figure drawn later in this process look alike; no display is needed."""
    matplotlib.use("Agg")
    sns.set_theme(context="paper", style="whitegrid", palette="colorblind", rc=_RC)
    matplotlib.rcParams.update(_RC)
    matplotlib.rcParams.update(_RC_WRITE)


def new(height_cm: float = 8.0, width_cm: float = WIDTH_CM, **subplots: object) -> tuple[Figure, Axes]:
    """An empty figure of this size on paper and its axes; further arguments go to `plt.subplots`."""
    return plt.subplots(figsize=(width_cm / 2.54, height_cm / 2.54), **subplots)


def save(fig: Figure, stem: Path, alt: str) -> None:
    """Write `stem.svg`, `stem.png` (200 dpi) and `stem.txt` (alternative text), and close the figure.

    Each file appears whole or not at all. The same figure gives the same bytes: no dates, no random names.
    `alt` says what the picture shows to someone who cannot see it; an empty one raises ValueError.
    """
    if not alt.strip():
        raise ValueError(f"figure {stem.name} has no alternative text")
    stem.parent.mkdir(parents=True, exist_ok=True)
    # savefig gives the engine of these settings to a figure that has none, and would lay it out once more for each file
    with matplotlib.rc_context(_RC_WRITE | {"figure.constrained_layout.use": False}):
        box = _tight_box(fig)
        svg = _draw(fig, "svg", {"Date": None, "Creator": "Folklore"}, box)
        png = _draw(fig, "png", {"Software": None}, box)
    plt.close(fig)
    for suffix, content in ((".svg", svg), (".png", png), (".txt", (alt.strip() + "\n").encode())):
        write_result(stem.with_name(stem.name + suffix), content)


def _tight_box(fig: Figure) -> Bbox:
    """Inches around all that is drawn, legends beside the axes too; the margin is thin, so that figures line up with the text.

    The layout is computed once and stays: any engine, "none" included, makes savefig draw everything once more for each file.
    """
    if engine := fig.get_layout_engine():
        engine.execute(fig)
    fig.set_layout_engine(None)
    return fig.get_tightbbox().padded(0.02)


def _draw(fig: Figure, form: str, metadata: dict[str, str | None], box: Bbox) -> bytes:
    buffer = io.BytesIO()
    fig.savefig(buffer, format=form, dpi=PNG_DPI, metadata=metadata, bbox_inches=box)
    return buffer.getvalue()
