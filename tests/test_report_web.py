"""The web page: whole in one file, text as text, a chart and filters that work in a browser."""

from __future__ import annotations

import base64
import gzip
import math
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import pytest
from pypdf import PdfReader

from folklore.figures import overview
from folklore.report import web
from folklore.report.build import PAGE, render
from invented_report import HARMFUL, verdicts, write_grid, write_results

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = write_results(tmp_path_factory.mktemp("web") / "results", verdicts())
    write_grid(out)
    render(out, out.parent / "reports" / "folklore.pdf")
    return out.parent / "reports" / PAGE


class Page(HTMLParser):
    """Elements with their attributes, and all text outside scripts and styles."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict]] = []
        self.text, self._inside = "", ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list) -> None:
        self.elements.append((tag, dict(attrs)))
        self._inside = tag

    def handle_data(self, data: str) -> None:
        if self._inside not in ("script", "style"):
            self.text += data


@pytest.fixture(scope="module")
def parsed(page: Path) -> Page:
    return Page(page.read_text(encoding="utf-8"))


def test_every_claim_is_an_article_with_what_filters_go_by(parsed: Page) -> None:
    articles = {e["id"]: e for tag, e in parsed.elements if tag == "article"}
    assert len(articles) == len(verdicts()["claims"])
    for claim in verdicts()["claims"]:
        found = articles[f"claim-{claim['id']}"]
        assert found["data-verdict"] == claim["verdict"]
        assert found["data-lectures"].split() == [str(n) for n in sorted(claim["lectures"])]
        assert claim["id"] in found["data-words"]


def test_harmful_characters_are_text(parsed: Page) -> None:
    assert " ".join(HARMFUL.split()).split("`")[0].strip() in parsed.text
    assert sum(tag == "label" for tag, _ in parsed.elements) == len(
        {c["verdict"] for c in verdicts()["claims"]}
    )


def test_nothing_is_loaded_from_elsewhere(page: Path, parsed: Page) -> None:
    addresses = [e[a] for _, e in parsed.elements for a in ("src", "href") if e.get(a)]
    assert addresses.count("folklore.pdf") == 1
    assert all(a.startswith("#") or a == "folklore.pdf" for a in addresses)
    assert "@import" not in page.read_text(encoding="utf-8").partition("</style>")[0]


def test_figures_are_in_the_page_and_have_words(page: Path, parsed: Page) -> None:
    pictures = [e for tag, e in parsed.elements if tag == "img"]
    assert len(pictures) == sum(bool(c["figure"]) for c in verdicts()["claims"]) + 4
    for picture in pictures:
        assert gzip.decompress(base64.b64decode(picture["data-packed"])).lstrip().startswith(b"<?xml")
        assert re.fullmatch(r"aspect-ratio: [\d.]+ / [\d.]+", picture["style"])
        assert picture["alt"].strip()


def test_a_formula_is_set_in_both_forms_and_can_be_heard(tmp_path: Path) -> None:
    known = verdicts()
    printed = {"form": "printed", "typst": '"Var"(w) = 2/n', "words": "the variance is two over n"}
    right = {"form": "right", "typst": "integral_0^1 x dif x", "words": "the integral of x from zero to one"}
    known["claims"][-1]["formulas"] = [printed, right]
    render(write_results(tmp_path / "results", known), tmp_path / "folklore.pdf")
    html = (tmp_path / PAGE).read_text(encoding="utf-8")
    for one in (printed, right):
        found = re.search(rf'data-packed="([^"]+)"[^>]*alt="{one["words"]}"', html)
        assert gzip.decompress(base64.b64decode(found[1])).startswith(b"<svg")
    told = "".join(page.extract_text() for page in PdfReader(tmp_path / "folklore.pdf").pages)
    assert told.index("in the lecture") < told.index("right", told.index("in the lecture"))
    assert re.search(r"Var\(.\) ?= ?2", " ".join(told.split()))


def test_the_charts_data_cannot_end_their_script() -> None:
    assert web.in_script('{"a": "</script><b>"}') == '{"a": "\\u003c/script>\\u003cb>"}'


def test_same_inputs_same_bytes(page: Path, tmp_path: Path) -> None:
    render(page.parent.parent / "results", tmp_path / "folklore.pdf")
    assert (tmp_path / PAGE).read_bytes() == page.read_bytes()


def test_a_page_without_claims(tmp_path: Path) -> None:
    out = write_results(tmp_path / "results", verdicts() | {"claims": [], "calibration": None})
    render(out, tmp_path / "folklore.pdf")
    assert "0 claims" in Page((tmp_path / PAGE).read_text(encoding="utf-8")).text


def test_the_chart_has_every_measured_effect_in_its_place() -> None:
    claims = verdicts()["claims"]
    rows = overview.frame(claims).set_index("label")
    for verdict in overview.MEASURED:
        mine = (
            rows[rows["verdict"] == verdict]
            .reset_index()
            .assign(id=lambda f: f["label"].str.removesuffix(" *"))
        )
        trace = web._trace(verdict, mine.to_dict("records"), {c["id"]: c for c in claims})
        assert list(trace.y) == list(mine["id"])
        ends = zip(trace.x, trace.error_x.arrayminus, trace.error_x.array, strict=True)
        for (x, down, up), row in zip(ends, mine.itertuples(), strict=True):
            assert math.sinh(x) == pytest.approx(row.effect)
            assert math.sinh(x - down) == pytest.approx(row.lo)
            assert math.sinh(x + up) == pytest.approx(row.hi)


def test_backquotes_become_code_and_nothing_else() -> None:
    assert web.worded("a `b<c>` d & e") == "a <code>b&lt;c&gt;</code> d &amp; e"
    assert web.worded("an odd ` one") == "an odd ` one"


def in_browser(page: Path, folder: Path, script: str, fragment: str = "") -> str:
    """The document after its own scripts and this one."""
    copy = folder / "copy.html"
    html = page.read_text(encoding="utf-8").replace("</body>", f"<script>{script}</script></body>")
    copy.write_text(html, encoding="utf-8")
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=5000", "--dump-dom"]
    options.append(f"--user-data-dir={folder / 'profile'}")
    done = subprocess.run(
        [CHROMIUM, *options, f"{copy.as_uri()}{fragment}"], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


# A browser is as large as the environment and none of pip's packages brings one; all else about the page is tested without.
@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on the path")
def test_in_a_browser_the_chart_is_drawn_filters_filter_and_links_open(page: Path, tmp_path: Path) -> None:
    html = in_browser(page, tmp_path, "", "#claim-bn-accelerates")
    assert "main-svg" in html
    assert re.search(r'<article id="claim-bn-accelerates"[^>]*>\s*<details open', html)
    opened = Page(html[html.index('id="claim-bn-accelerates"') :])
    picture = next(e for tag, e in opened.elements if tag == "img")
    assert picture["src"].startswith("blob:") and "data-packed" not in picture
    script = """for (const box of form.elements.verdict) box.checked = box.value === "refuted";
    form.dispatchEvent(new Event("input"));"""
    filtered = Page(in_browser(page, tmp_path, script))
    articles = [e for tag, e in filtered.elements if tag == "article"]
    shown = {e["id"] for e in articles if "hidden" not in e}
    assert shown == {f"claim-{c['id']}" for c in verdicts()["claims"] if c["verdict"] == "refuted"}
    assert f"{len(shown)} claims" in filtered.text
