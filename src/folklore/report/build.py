"""From `results/` to the PDF and the web page: collect what the templates need in `results/report/`, then let Typst and Jinja set it.

The folder holds everything that the PDFs read (templates, `data.json`, copies of the figures): a person can set them again by hand, and
nothing outside it can change the bytes.
"""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import matplotlib
import typst

from folklore.errors import UsageError
from folklore.figures import overview, style
from folklore.files import atomic_write, write_result
from folklore.report import prose, web
from folklore.report.document import document, figure_stems, read_grid, tables
from folklore.report.provenance import provenance
from folklore.validation import one_line

TEMPLATES = Path(__file__).resolve().parents[3] / "reports"
MAIN, FORMULAS, SLIDES = "folklore.typ", "formulas.typ", "slides.typ"
SLIDE_PPI = 144  # of 33.867 cm: 1920 pixels
PAGE, SHEET, TRACES = "index.html", "cheatsheet.pdf", "provenance.json"  # beside the PDF
SUFFIXES = (".typ", ".bib")
SCHEMA = 1

log = logging.getLogger(__name__)


def read_verdicts(out: Path) -> dict[str, object]:
    """`results/verdicts.json`; UsageError when it is missing, damaged or of an unknown schema."""
    return read_verdicts_file(out / "verdicts.json", "make them with `snakemake --cores all`")


def read_verdicts_file(path: Path, remedy: str) -> dict[str, object]:
    """The same from any file; remedy: how to come by a sound one."""
    if not path.is_file():
        raise UsageError(f"{path}: there are no verdicts yet; {remedy}")
    try:
        verdicts = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{path}: damaged ({one_line(error)}); remove it and {remedy}") from None
    found = verdicts.get("schema") if isinstance(verdicts, dict) else None
    if found != SCHEMA:
        raise UsageError(
            f"{path}: schema is {one_line(repr(found))}, this version reads {SCHEMA}; judge again: {remedy}"
        )
    return verdicts


def render(out: Path, pdf: Path, templates: Path = TEMPLATES) -> None:
    """Write `pdf`, and beside it the web page, the cheat sheet and the provenance, from the verdicts, figures and tables in `out`.

    Same inputs, same bytes.
    """
    verdicts, folder = read_verdicts(out), out / "report"
    data = collect(verdicts, out, folder, templates)
    for fault in prose.faults(data):
        log.warning("prose: %s", fault)
    page = web.page(data, verdicts, folder, templates, pdf.name, formula_pictures(folder))
    write_result(pdf.with_name(PAGE), page)
    traced = provenance(verdicts, read_grid(out, verdicts), figure_stems(verdicts, out))
    write_result(pdf.with_name(TRACES), json.dumps(traced, indent=1, sort_keys=True) + "\n")
    write_result(pdf.with_name(SHEET), compile_pdf(folder, "cheatsheet.typ"))
    write_result(pdf, compile_pdf(folder))


def collect(
    verdicts: Mapping[str, object], out: Path, folder: Path, templates: Path = TEMPLATES
) -> dict[str, object]:
    """Fill `folder` anew with what the templates read, and return the content of its `data.json`."""
    _draw_overview(verdicts["claims"], out / "figures" / "overview")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for source in sorted(path for path in templates.iterdir() if path.suffix in SUFFIXES):
        shutil.copyfile(source, folder / source.name)
    data = document(verdicts, out, folder)
    write_result(
        folder / "data.json", json.dumps(data, ensure_ascii=False, indent=1, sort_keys=True, allow_nan=False)
    )
    return data


def slides(out: Path, to: Path) -> None:
    """A slide for each figure of the report, in `to`: all in slides.pdf, each as NAME.svg and NAME.png; and its tables.

    The report's folder is filled again where it is gone: Snakemake, which sees the PDF alone, would not.
    """
    folder, verdicts = out / "report", read_verdicts(out)
    there = (folder / "data.json").is_file()
    data = json.loads((folder / "data.json").read_bytes()) if there else collect(verdicts, out, folder)
    shown = [claim["figure"] for claim in data["claims"] if claim["figure"]] + data["factors"]["figures"]
    atomic_write(to / "slides.pdf", compile_pdf(folder, SLIDES))
    for form, options in (("svg", {}), ("png", {"ppi": SLIDE_PPI})):
        pages = _compile(folder / SLIDES, format=form, **options)
        for figure, page in zip(shown, pages if isinstance(pages, list) else [pages], strict=True):
            atomic_write(to / f"{Path(figure['path']).stem}.{form}", page)
    for table in tables(verdicts, out):
        atomic_write(to / "tables" / table.name, table.read_bytes())


def compile_pdf(folder: Path, main: str = MAIN) -> bytes:
    """The tagged PDF of a document in `folder`."""
    return _compile(folder / main, format="pdf", timestamp=0, pdf_standards="ua-1")


def formula_pictures(folder: Path) -> list[bytes]:
    """An SVG of each formula in `data.json`, in its order; UsageError that names the first that Typst cannot set."""
    claims = json.loads((folder / "data.json").read_bytes())["claims"]
    if not any(claim["formulas"] for claim in claims):
        return []
    try:
        pages = _compile(folder / FORMULAS, format="svg")
    except typst.TypstError:
        raise UsageError(next(_broken(claims))) from None
    return pages if isinstance(pages, list) else [pages]


def _broken(claims: Sequence[Mapping[str, object]]) -> Iterator[str]:
    stated = [(claim["id"], one["typst"]) for claim in claims for one in claim["formulas"]]
    for name, formula in stated:
        if fault := _fault(formula):
            yield (
                f"src/folklore/claims/{name.replace('-', '_')}.py: CLAIM.formulas: typst={one_line(formula)}: {fault}; "
                "allowed is Typst's mathematical notation; mend it and start the same command again, which trains nothing"
            )


def _fault(formula: str) -> str:
    """Why Typst cannot set a formula; empty when it can."""
    try:
        typst.compile(
            b'#eval(sys.inputs.formula, mode: "math")', format="svg", sys_inputs={"formula": formula}
        )
    except typst.TypstError as error:
        return one_line(error)
    return ""


def _compile(source: Path, **options: object) -> bytes | list[bytes]:
    """What Typst makes of a document. Fonts are Typst's and matplotlib's, never the system's."""
    fonts = str(Path(matplotlib.get_data_path()) / "fonts" / "ttf")
    return typst.compile(
        str(source), root=str(source.parent), font_paths=[fonts], ignore_system_fonts=True, **options
    )


def _draw_overview(claims: list[dict[str, object]], stem: Path) -> None:
    style.apply()
    style.save(overview.draw(claims), stem, overview.alt_text(claims))
