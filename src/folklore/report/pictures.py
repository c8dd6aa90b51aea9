"""Figures on the page: where they come from, how wide they may be, what is said about them."""

from __future__ import annotations

import shutil
from pathlib import Path
from xml.etree import ElementTree

from folklore.report.words import tidy

TEXT_WIDTH_PT = 16.0 / 2.54 * 72
HIGHEST_PT = 17.0 / 2.54 * 72


def drawn(stem: Path) -> Path:
    """The file of a figure, whose name may hold a dot."""
    return stem.with_name(stem.name + ".svg")


def figure(stem: Path, folder: Path, caption: str = "") -> dict[str, object] | None:
    """The figure `stem.svg` copied into `folder`, with its width in points; None when there is no such file.

    Its alternative text is that of `stem.txt`; a missing caption repeats it.
    """
    source = drawn(stem)
    if not source.is_file():
        return None
    shutil.copyfile(source, folder / source.name)
    spoken = tidy(_alt(stem))
    return {"path": source.name, "width": _width(source), "alt": spoken, "caption": tidy(caption) or spoken}


def _alt(stem: Path) -> str:
    beside = stem.with_name(stem.name + ".txt")
    return beside.read_text(encoding="utf-8") if beside.is_file() else stem.name


def _width(svg: Path) -> float:
    """The natural width, less if the page could not hold it in width or height."""
    box = ElementTree.parse(svg).getroot().get("viewBox", f"0 0 {TEXT_WIDTH_PT} {TEXT_WIDTH_PT / 2}")
    width, height = (float(value) for value in box.split()[2:])
    return round(width * min(1.0, TEXT_WIDTH_PT / width, HIGHEST_PT / height), 2)
