"""From `results/` to the PDF and the web page: collect what the templates need in `results/report/`, then let Typst and Jinja set it.

The folder holds everything that the documents read (templates, `data.json`, copies of the figures): a person
can set them again by hand, and nothing outside it can change the bytes.
"""

from __future__ import annotations

import json
import logging
import shutil
from pathlib import Path

import matplotlib
import typst

from folklore.errors import UsageError
from folklore.figures import overview, style
from folklore.files import atomic_write, write_result
from folklore.report import prose, web
from folklore.report.document import document, read_grid
from folklore.report.provenance import provenance

TEMPLATES = Path(__file__).resolve().parents[3] / "reports"
MAIN, FORMULAS, SLIDES = "folklore.typ", "formulas.typ", "slides.typ"
SLIDE_PPI = 144  # of 33.867 cm: 1920 pixels
PAGE, SHEET, TRACES = "index.html", "cheatsheet.pdf", "provenance.json"  # beside the PDF
SUFFIXES = (".typ", ".bib")
SCHEMA = 1

log = logging.getLogger(__name__)


def read_verdicts(out: Path) -> dict[str, object]:
    """`results/verdicts.json`; UsageError when it is missing or of an unknown schema."""
    path = out / "verdicts.json"
    if not path.is_file():
        raise UsageError(f"{path}: there are no verdicts yet; make them with `snakemake --cores all`")
    verdicts = json.loads(path.read_text(encoding="utf-8"))
    if verdicts.get("schema") != SCHEMA:
        raise UsageError(
            f"{path}: schema is {verdicts.get('schema')!r}, this version reads {SCHEMA}; judge again"
        )
    return verdicts


def render(out: Path, pdf: Path, templates: Path = TEMPLATES) -> None:
    """Write `pdf`, and beside it the web page, the cheat sheet and the provenance, from the verdicts, figures and tables in `out`.

    Same inputs, same bytes.
    """
    verdicts = read_verdicts(out)
    _draw_overview(verdicts["claims"], out / "figures" / "overview")
    folder = _fresh(out / "report")
    for source in sorted(path for path in templates.iterdir() if path.suffix in SUFFIXES):
        shutil.copyfile(source, folder / source.name)
    data = document(verdicts, out, folder)
    for fault in prose.faults(data):
        log.warning("prose: %s", fault)
    content = json.dumps(data, ensure_ascii=False, indent=1, sort_keys=True, allow_nan=False)
    write_result(folder / "data.json", content)
    page = web.page(data, verdicts, folder, templates, pdf.name, formula_pictures(folder))
    write_result(pdf.with_name(PAGE), page)
    traced = provenance(verdicts, read_grid(out), out / "figures")
    write_result(pdf.with_name(TRACES), json.dumps(traced, indent=1, sort_keys=True) + "\n")
    write_result(pdf.with_name(SHEET), compile_pdf(folder, "cheatsheet.typ"))
    write_result(pdf, compile_pdf(folder))


def slides(out: Path, to: Path) -> None:
    """A slide for each figure of the report that was rendered last, in `to`: all in slides.pdf, each as NAME.svg and NAME.png."""
    folder = out / "report"
    if not (folder / "data.json").is_file():
        raise UsageError(f"{folder}: no report was rendered yet; make it with `snakemake --cores all`")
    data = json.loads((folder / "data.json").read_bytes())
    shown = [claim["figure"] for claim in data["claims"] if claim["figure"]] + data["factors"]["figures"]
    atomic_write(to / "slides.pdf", compile_pdf(folder, SLIDES))
    for form, options in (("svg", {}), ("png", {"ppi": SLIDE_PPI})):
        pages = _compile(folder / SLIDES, format=form, **options)
        for figure, page in zip(shown, pages if isinstance(pages, list) else [pages], strict=True):
            atomic_write(to / f"{Path(figure['path']).stem}.{form}", page)


def compile_pdf(folder: Path, main: str = MAIN) -> bytes:
    """The tagged PDF of a document in `folder`."""
    return _compile(folder / main, format="pdf", timestamp=0, pdf_standards="ua-1")


def formula_pictures(folder: Path) -> list[bytes]:
    """An SVG of each formula in `data.json`, in its order."""
    if not any(claim["formulas"] for claim in json.loads((folder / "data.json").read_bytes())["claims"]):
        return []
    pages = _compile(folder / FORMULAS, format="svg")
    return pages if isinstance(pages, list) else [pages]


def _compile(source: Path, **options: object) -> bytes | list[bytes]:
    """What Typst makes of a document. Fonts are Typst's and matplotlib's, never the system's."""
    fonts = str(Path(matplotlib.get_data_path()) / "fonts" / "ttf")
    return typst.compile(
        str(source), root=str(source.parent), font_paths=[fonts], ignore_system_fonts=True, **options
    )


def _draw_overview(claims: list[dict[str, object]], stem: Path) -> None:
    style.apply()
    style.save(overview.draw(claims), stem, overview.alt_text(claims))


def _fresh(folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder
