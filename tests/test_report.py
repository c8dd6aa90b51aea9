"""The report: set from invented verdicts of every kind, with every character that could do harm."""

from __future__ import annotations

import io
import json
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from matplotlib import pyplot
from pypdf import PdfReader
from rich.console import Console

from folklore.errors import UsageError
from folklore.figures import overview, style
from folklore.report import document, factors, numbers, words
from folklore.report.build import read_verdicts, render
from folklore.report.claim import breakable, table
from folklore.report.growth import growth
from folklore.stages import explain as explain_stage
from folklore.stages import render as render_stage
from folklore.stages import summary as summary_stage
from folklore.stages import verify as verify_stage

HARMFUL = r"#panic(1) $x_1$ *bold* _it_ @ref <label> `raw` \ // /* [a] {b} ~ -- 50 % — ≤ α² «Обучение» “q”"
CURVE: list[bytes] = []
GRID = {
    "shares": """term,df,sum_sq,share,lo,hi,analysis
        norm,1,2,0.3,0.2,0.4,all
        init*norm,9,2,0.01,0.0,0.02,all
        norm*optimizer,5,2,0.2,0.1,0.3,all
        norm*optimizer,5,2,0.9,0.1,0.3,alive
        """,
    "factors": """factor,main,main_lo,main_hi,share,lo,hi,analysis
        init,0.065,0.048,0.083,0.095,0.071,0.118,all
        batch_size,0.3,0.2,0.4,0.38,0.3,0.41,all
        """,
    "levels": """factor,level,accuracy,lo,hi,logit,cells,analysis
        norm,none,0.5,0.45,0.55,0,8,all
        norm,batch,0.6,0.58,0.62,0,7,all
        norm,batch,0.9,0.58,0.62,0,7,alive
        """,
    "rates": """optimizer,batch_size,median,q1,q3,cells,at_edge
        sgd,2,0.014,0.006,0.038,15,4
        """,
}
LONG_WORD = "a_cell_name_that_no_column_could_hold/normal_001=constant;uniform_fanin|" * 2

# id | family | verdict | how it was refuted | effect and half-width in deltas | title
MEASURED = """
small-batch-best | batch-size | supported | | 1.9 | 0.5 | Small batches give the best test error
small-batch-lr-range | batch-size | supported | | 2.4 | 0.9 | Small batches train stably over a wider range \
of learning rates than large batches do
batch-equal-steps | batch-size | inconclusive | | 0.4 | 1.1 | After as many updates large batches are no worse
bn-accelerates | normalisation | supported | | 4.2 | 0.6 | Batch norm reaches the same loss much sooner
bn-lr-ladder | normalisation | inconclusive | | 0.2 | 1.6 | With batch norm, 5 to 30 times the rate is best
bn-higher-lr | normalisation | supported | | 31.0 | 4.0 | Batch norm allows higher learning rates
bn-saturating-trainable | normalisation | supported | | 55.0 | 2.0 | Batch norm makes deep sigmoids trainable
bn-needs-large-batch | normalisation | refuted | negligible | 0.1 | 0.4 | Batch norm needs a large batch
he-vs-glorot-relu | initialisation | refuted | negligible | -0.2 | 0.5 | He suits ReLU better than Glorot does
glorot-vs-uniform-mnist | initialisation | supported | | 2.0 | 0.7 | Glorot is faster than plain uniform
sigmoid-vanishing-gradient | activations | supported | | 8.0 | 0.2 | Sigmoid gradients vanish with depth
dropout-generalises | regularisation | refuted | reversed | -2.2 | 0.8 | Dropout reduces overfitting
bn-reduce-dropout | regularisation | inconclusive | | 0.8 | 1.0 | With batch norm, use less dropout: HARMFUL
adaptive-better | optimisation | refuted | reversed | -1.4 | 0.9 | Adam trains better than tuned SGD
"""
EXACT = """
bn-backward | normalisation | fails | The printed gradient of batch norm is right
backprop-w1 | optimisation | fails | The printed gradient for the first weight matrix is right
zero-init-symmetry | initialisation | holds | Zero or constant weights keep hidden units identical
"""
RULE = (
    "A network trained with few samples per update ends with a lower test error than one trained with "
    "many, provided that each is given its own learning rate and the same number of passes through the "
    "data."
)
TRAINED = (
    "A perceptron with three hidden layers of 100 ReLU units on MNIST-1D (4,096 training rows, 250 "
    "epochs), plain gradient descent, batch sizes 2, 8, 32, 64, 128 and 512, seven learning rates a factor"
    " of two apart with three seeds, then 32 fresh replicates at the rate chosen."
)
LIMITS = (
    "Nothing about networks with batch norm, nothing about momentum, and nothing about wall-clock time: a "
    "small batch wastes the parallel units of most machines."
)


def rows_of(table: str) -> list[list[str]]:
    return [[cell.strip() for cell in line.split("|")] for line in table.strip().splitlines()]


def measured_claim(row: list[str], index: int) -> dict[str, object]:
    name, family, verdict, how, *sizes, title = row
    effect, half = (float(size) for size in sizes)
    title = title.replace("HARMFUL", HARMFUL)
    delta = 0.01
    interval = [delta * (effect - half), delta * (effect + half)]
    return {
        "id": name,
        "title": title,
        "kind": "S",
        "family": family,
        "lectures": [1, 2][: 1 + index % 2],
        "lecture_names": ["Optimisation of deep networks", "Обучение нейронных сетей"][: 1 + index % 2],
        "paper": "Masters & Luschi 2018, arXiv:1804.07612",
        "reported": "best test accuracy at batch sizes of 32 or fewer on CIFAR-10, CIFAR-100 and ImageNet.",
        "rule": [
            RULE,
            "Compared are the best arm of {2, 8, 32} and the best arm of {64, 128, 512}, chosen on "
            "validation.",
        ],
        "limits": LIMITS,
        "trained": TRAINED,
        "verdict": verdict,
        "refuted_how": how,
        "fragile": index in (1, 9),
        "registered": index != 4,
        "summary": f"The best small batch differs by {effect:.1f} points. {HARMFUL if index == 2 else ''}",
        "metric": "test accuracy",
        "unit": "points",
        "scale": 100,
        "effect": delta * effect,
        "interval": interval,
        "interval90": [delta * (effect - 0.8 * half), delta * (effect + 0.8 * half)],
        "bca": interval if index % 3 else None,
        "delta": delta,
        "n": 32,
        "diverged": index,
        "p": 10.0 ** -(index + 1),
        "p_permutation": 1e-4,
        "p_corrected": 0.004 if index % 4 else None,
        "power": 0.83 if index % 3 else None,
        "rows": arms(index),
        "robustness": robustness(index),
        "checks": [],
        "notes": ["The optimum of batch 512 lay at the edge of the grid."] * (index % 2),
        "tables": ladder() if name == "bn-lr-ladder" else [],
        "runs": 371 + index,
        "run_query": f"tags.claims LIKE '%{name}%'",
        "run_keys_sha256": f"{index:02d}" * 32,
        "core_updates": 12_345_678,
        "criterion": criterion(index),
        "figure": f"results/figures/{name}.svg",
        "alt": "Test accuracy against batch size, 95 % intervals; it falls from 93 % at 8 to 90 % at 512.",
    }


def exact_claim(row: list[str], index: int) -> dict[str, object]:
    name, family, verdict, title = row
    empty = [
        "effect",
        "interval",
        "interval90",
        "bca",
        "delta",
        "n",
        "diverged",
        "p",
        "p_permutation",
        "p_corrected",
        "power",
    ]
    checks = [
        {
            "name": "gradient of the input",
            "form": "printed",
            "error": 0.31,
            "tolerance": 1e-6,
            "holds": False,
        },
        {
            "name": "gradient of the input, divided by m",
            "form": "right",
            "error": 2.3e-13,
            "tolerance": 1e-6,
            "holds": True,
        },
    ]
    return {
        "id": name,
        "title": title,
        "kind": "E",
        "family": family,
        "lectures": [2],
        "lecture_names": ["Training"],
        "paper": "Ioffe & Szegedy 2015, arXiv:1502.03167",
        "reported": "the formulas with m in the denominator.",
        "rule": ["The gradient formulas on the slide agree with finite differences."],
        "limits": "Nothing about speed.",
        "trained": "",
        "verdict": verdict,
        "refuted_how": "",
        "fragile": False,
        "registered": True,
        "summary": "As printed it fails.",
        "metric": None,
        "unit": None,
        "scale": None,
        "rows": [],
        "robustness": [],
        "checks": checks,
        "notes": [],
        "tables": [],
        "runs": 0,
        "run_query": None,
        "run_keys_sha256": None,
        "core_updates": None,
        "criterion": criterion(index),
        "figure": None,
        "alt": None,
    } | dict.fromkeys(empty)


def arms(index: int) -> list[dict[str, object]]:
    edges = {512: "high"} if index % 2 else {}
    return [
        {
            "arm": f"batch_size={size}",
            "mean": 0.93 - 0.004 * step,
            "lo": 0.925 - 0.004 * step,
            "hi": 0.935 - 0.004 * step,
            "n": 32,
            "diverged": index if size == 2 else 0,
            "lr": 0.004 * size,
            "edge": edges.get(size, ""),
            "variant": variant,
        }
        for variant in ["main", "fashion_mnist"][: 1 + (index == 0)]
        for step, size in enumerate([2, 8, 32, 64, 128, 512])
    ]


def robustness(index: int) -> list[dict[str, object]]:
    other = {"verdict": "supported", "effect": 0.015, "interval": [0.004, 0.026], "n": 32, "flips": False}
    lost = {"verdict": "inconclusive", "effect": None, "interval": None, "n": 0, "flips": index in (1, 9)}
    return [{"label": "Fashion-MNIST"} | other, {"label": "half of the rates"} | lost] if index % 2 else []


def ladder() -> list[dict[str, object]]:
    rows = [
        ["Inception", 31.0, "72.2 %", None],
        ["BN-Baseline", 13.3, "72.7 %", 2.3e-5],
        ["BN-x5", 2.1, "73.0 %", 14],
    ]
    return [
        {
            "caption": "The lecture’s table and ours.",
            "columns": ["model", "steps (10⁶)", "best", LONG_WORD],
            "rows": rows,
        }
    ]


def criterion(index: int) -> dict[str, object]:
    history = [{"hash": "a" * 24, "commit": "b" * 40, "reason": "first", "verdict": "supported"}]
    later = [
        {
            "hash": "c" * 24,
            "commit": "d" * 40,
            "reason": f"a wider band, see {HARMFUL}",
            "verdict": "inconclusive",
        }
    ]
    text = (
        "Best arm of `{2, 8, 32}` minus best arm of `{64, 128, 512}`, paired by seed, chosen on validation."
    )
    return {"hash": "c" * 24, "commit": "d" * 40, "text": text, "history": history + later * (index == 2)}


def verdicts() -> dict[str, object]:
    claims = [measured_claim(row, index) for index, row in enumerate(rows_of(MEASURED))]
    claims += [exact_claim(row, index) for index, row in enumerate(rows_of(EXACT))]
    return {
        "schema": 1,
        "profile": "smoke",
        "commit": "0123456789abcdef",
        "dirty": True,
        "runs": 6512,
        "machine": {"cpu": "Some Processor @ 2.4 GHz", "cores": 2, "torch": "2.13.0", "python": "3.11.7"},
        "data": {"mnist1d": "5a" * 32, "fashion_mnist": "17" * 32},
        "calibration": {
            "placebo_trials": 200,
            "false_support": 0.02,
            "planted_trials": 200,
            "power": 0.91,
            "planted_effect": 0.02,
        },
        "claims": claims,
    }


def write_results(out: Path, report: dict[str, object]) -> Path:
    """A results folder with these verdicts and a figure for each claim that names one."""
    out.mkdir(parents=True, exist_ok=True)
    (out / "verdicts.json").write_text(json.dumps(report), encoding="utf-8")
    for claim in report["claims"]:
        if claim["figure"]:
            draw_curve(out / "figures" / claim["id"], claim["alt"])
    return out


def draw_curve(stem: Path, alt: str) -> None:
    """One curve, drawn once: all figures of this test look alike."""
    if not CURVE:
        CURVE.extend(curve())
    stem.parent.mkdir(parents=True, exist_ok=True)
    for suffix, content in zip((".svg", ".png"), CURVE, strict=True):
        stem.with_name(stem.name + suffix).write_bytes(content)
    stem.with_name(stem.name + ".txt").write_text(alt, encoding="utf-8")


def curve() -> list[bytes]:
    style.apply()
    fig, ax = style.new(6.5)
    sizes, scores = np.array([2, 8, 32, 64, 128, 512]), np.array([92.6, 93.1, 92.9, 92.0, 91.4, 90.2])
    ax.errorbar(sizes, scores, yerr=0.6, fmt="o-")
    ax.set(xscale="log", xlabel="batch size", ylabel="test accuracy (%)", title="MNIST-1D")
    with tempfile.TemporaryDirectory() as folder:
        style.save(fig, Path(folder) / "curve", "A curve.")
        return [(Path(folder) / f"curve{suffix}").read_bytes() for suffix in (".svg", ".png")]


def test_growth_is_shown_where_it_was_measured(tmp_path: Path) -> None:
    assert growth(tmp_path) is None
    row = {"runs": 10_000, "step": "import", "seconds": 143.21, "ms_a_run": 14.321, "peak_mb": 334}
    (tmp_path / "growth.json").write_text(json.dumps([row]))
    (group,) = growth(tmp_path)["groups"]
    assert group == {"name": "10,000 runs", "rows": [["imported into MLflow", "143.2", "14.32", "334"]]}


@pytest.mark.parametrize("content", ["", "[1]", "{}x", '[{"runs": 1}]', '[{"runs": 1, "step": "x"}]'])
def test_another_file_in_its_place_is_one_line(tmp_path: Path, content: str) -> None:
    (tmp_path / "growth.json").write_text(content)
    with pytest.raises(UsageError, match=r"growth\.json: not as .* make it by: make growth$"):
        growth(tmp_path)


def write_grid(out: Path, profile: str = "smoke") -> None:
    """A six-factor analysis of the kind that may or may not be there."""
    for name in ("grid-shares", "grid-levels", "grid-interactions", "grid-rates"):
        draw_curve(out / "figures" / name, f"Picture of {name}.")
    (out / "tables").mkdir(exist_ok=True)
    for name, content in GRID.items():
        (out / "tables" / f"grid-{name}.csv").write_text(
            content.replace(" ", "").replace("*", " x "), encoding="utf-8"
        )
    grid = {
        "profile": profile,
        "lead": ["The optimizer matters most."],
        "runs": 3360,
        "run_keys_sha256": "9f" * 32,
        "run_query": "tags.study = 'grid'",
    }
    (out / "grid.json").write_text(json.dumps(grid), encoding="utf-8")


@pytest.mark.parametrize(
    ("name", "columns", "cells"),
    [
        (
            "shares",
            ["factors", "share (%)", "95 % interval"],
            [["norm × optimizer", "20.0", "10.0 to 30.0"], ["init × norm", "1.0", "0.0 to 2.0"]],
        ),
        (
            "factors",
            None,
            [
                ["batch size", "30.0", "20.0 to 40.0", "38.0", "30.0 to 41.0"],
                ["init", "6.5", "4.8 to 8.3", "9.5", "7.1 to 11.8"],
            ],
        ),
        ("levels", None, [["batch", "60.0", "58.0 to 62.0", "7"], ["none", "50.0", "45.0 to 55.0", "8"]]),
        ("rates", None, [["2", "0.014", "0.006 to 0.038", "15", "4"]]),
    ],
)
def test_tables_of_the_grid_hold_all_cells_in_order(
    name: str, columns: list[str] | None, cells: list[list[str]], results: Path
) -> None:
    """By hand from GRID: largest first, percent, and no rows of the analyses that leave cells out."""
    shown = dict(
        zip(("factors", "shares", "levels", "rates"), factors.tables(results / "tables"), strict=True)
    )[name]
    assert [row for group in shown["groups"] for row in group["rows"]] == cells
    assert columns in (None, shown["columns"])


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = write_results(tmp_path_factory.mktemp("report") / "results", verdicts())
    write_grid(out)
    return out


@pytest.fixture(scope="module")
def pdf(results: Path) -> Path:
    target = results.parent / "reports" / "folklore.pdf"
    render_stage.main(["--out", str(results), "--pdf", str(target)])
    return target


@pytest.fixture(scope="module")
def pages(pdf: Path) -> list[str]:
    return read_pages(pdf)


@pytest.fixture(scope="module")
def text(pages: list[str]) -> str:
    return "".join(pages)


def read_pages(pdf: Path) -> list[str]:
    return [flat(page.extract_text()) for page in PdfReader(pdf).pages]


def flat(text: str) -> str:
    """Text without what a line break or a column may add: spaces, soft breaks, hyphens, ligatures."""
    for ligature, letters in {"ﬁ": "fi", "ﬂ": "fl", "ﬀ": "ff", "ﬃ": "ffi", "ﬄ": "ffl", "Th": "Th"}.items():
        text = text.replace(ligature, letters)
    return re.sub(r"[\s\u200b\u00ad\u2010-]", "", text)


def test_every_claim_is_there_with_id_title_and_verdict(text: str) -> None:
    for claim in verdicts()["claims"]:
        for expected in (claim["id"], claim["title"], claim["verdict"]):
            assert flat(expected) in text, expected


def test_harmful_characters_survive_as_themselves(text: str) -> None:
    assert text.count(flat(HARMFUL)) >= 4  # title on two pages and in the contents, a reason


def test_long_words_are_broken_not_lost(text: str) -> None:
    assert flat(LONG_WORD) in text


def test_same_inputs_same_bytes(results: Path, pdf: Path) -> None:
    again = results.parent / "again.pdf"
    render(results, again)
    assert again.read_bytes() == pdf.read_bytes()


def test_pdf_is_tagged_titled_and_has_bookmarks(pdf: Path) -> None:
    reader = PdfReader(pdf)
    root = reader.trailer["/Root"]
    assert root["/MarkInfo"]["/Marked"] and "/StructTreeRoot" in root
    assert root["/Lang"].lower().startswith("en")
    assert reader.metadata.title.startswith("Folklore") and reader.metadata.author == "Folklore"
    assert any("How to read" in str(entry) for entry in walk(reader.outline))
    assert b"pdfuaid" in pdf.read_bytes()


def walk(outline: list) -> Iterator[object]:
    for entry in outline:
        if isinstance(entry, list):
            yield from walk(entry)
        else:
            yield entry.title


def test_report_without_grid_claims_or_calibration(tmp_path: Path) -> None:
    report = verdicts() | {
        "claims": [],
        "calibration": None,
        "data": {},
        "machine": {},
    }
    out = write_results(tmp_path / "results", report)
    render(out, tmp_path / "small.pdf")
    shown = "".join(read_pages(tmp_path / "small.pdf"))
    assert flat("without the six-factor grid") in shown


LEVEL = {"factor": "norm", "level": "batch", "accuracy": 0.6, "hi": 0.7}


@pytest.mark.parametrize(
    ("profile", "only", "shown"),
    [
        ("smoke", [], True),
        ("smoke", ["six-factor", "bn-mnist"], True),
        ("smoke", ["bn-mnist"], False),
        ("laptop", [], False),
    ],
)
def test_the_grid_of_another_run_is_not_shown(
    profile: str, only: list[str], shown: bool, tmp_path: Path
) -> None:
    """Its files stay in the results folder when the next command has another profile, or another choice of claims."""
    report = verdicts() | {"only": only, "claims": []}
    out, folder = write_results(tmp_path / "results", report), tmp_path / "folder"
    write_grid(out, profile)
    held = json.loads((out / "grid.json").read_text()) | {"analyses": {"all": {"levels": [LEVEL]}}}
    (out / "grid.json").write_text(json.dumps(held))
    folder.mkdir()
    data = document.document(report, out, folder)
    assert [bool(data["factors"][part]) for part in ("lead", "figures", "tables")] == [shown] * 3
    assert bool(data["sheet"]["recipe"]) == bool(data["provenance"]) == shown
    assert sorted(path.name for path in folder.glob("grid-*")) == sorted(
        path.name for path in (out / "figures").glob("grid-*.svg") if shown
    )


def test_claim_with_nulls_only(tmp_path: Path) -> None:
    bare = {name: None for name in measured_claim(rows_of(MEASURED)[0], 0)} | {
        "id": "bare",
        "title": "Bare",
        "verdict": "inconclusive",
    }
    out = write_results(tmp_path / "results", verdicts() | {"claims": [bare]})
    render(out, tmp_path / "bare.pdf")
    assert len(PdfReader(tmp_path / "bare.pdf").pages) > 3


def test_toy_profiles_say_so_on_every_page(pages: list[str], tmp_path: Path) -> None:
    assert all(flat("not evidence") in page for page in pages)
    out = write_results(tmp_path / "results", verdicts() | {"profile": "laptop", "claims": []})
    render(out, tmp_path / "real.pdf")
    assert flat("not evidence") not in "".join(read_pages(tmp_path / "real.pdf"))


def test_missing_or_foreign_verdicts_are_one_line(tmp_path: Path) -> None:
    for main in (render_stage.main, summary_stage.main):
        with pytest.raises(UsageError, match="no verdicts yet") as caught:
            main(["--out", str(tmp_path)])
        assert len(str(caught.value).splitlines()) == 1
    (tmp_path / "verdicts.json").write_text('{"schema": 7}', encoding="utf-8")
    with pytest.raises(UsageError, match="schema is 7"):
        read_verdicts(tmp_path)


@pytest.mark.parametrize("content", [b"", b'{"schema": 1, "cl', b"\xff\xfe", b"[" * 100_000, b"[1]", b"null"])
def test_verdicts_that_are_broken_are_one_line_with_the_remedy(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "verdicts.json").write_bytes(content)
    for main in (
        render_stage.main,
        summary_stage.main,
        verify_stage.main,
        lambda arguments: explain_stage.explain(["overview", *arguments]),
    ):
        with pytest.raises(UsageError, match="make them with `snakemake --cores all`") as caught:
            main(["--out", str(tmp_path)])
        said = str(caught.value)
        assert said.isprintable() and said.startswith(f"{tmp_path}/verdicts.json: ")


def test_an_example_that_is_broken_or_gone_is_one_line(tmp_path: Path) -> None:
    for content in (None, "{"):
        if content is not None:
            (tmp_path / "example.json").write_text(content)
        with pytest.raises(UsageError, match=r"example\.json: .*git checkout"):
            verify_stage.main(["--out", str(tmp_path), "--example", str(tmp_path / "example.json")])


def test_prose_of_other_parts_is_tidied() -> None:
    said = words.tidy("error 1.2e-13, effect -0.3 [-0.5, -0.1], 7 rates x 3 seeds, batch-2, 1e6, 2-3")
    assert said == "error 1.2×10⁻¹³, effect −0.3 [−0.5, −0.1], 7 rates × 3 seeds, batch-2, 10⁶, 2-3"
    said = words.tidy(
        "Var(w)^2 = s^-2 / sqrt(n), +-1/sqrt n, 3 x 100, 2^k, 6^-l, uv^T, sqrt(n + m), .5, m - 1 and a^2b"
    )
    assert said == "Var(w)² = s⁻² / √n, ±1/√n, 3 × 100, 2ᵏ, 6⁻ˡ, uvᵀ, √(n + m), 0.5, m − 1 and a^2b"


def test_summary_names_every_claim_and_the_report(results: Path) -> None:
    console = Console(width=140, record=True, file=io.StringIO())
    summary_stage.show(read_verdicts(results), Path("reports/folklore.pdf"), console)
    shown = console.export_text()
    assert all(claim["id"] in shown for claim in verdicts()["claims"])
    assert "reports/folklore.pdf" in shown and "make ui" in shown and "not evidence" in shown


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, "–"),
        (float("nan"), "–"),
        (0, "0"),
        (0.0, "0"),
        (1.23e-5, "1.2×10⁻⁵"),
        (-3.14159, "−3.14"),
        (6500, "6,500"),
        (0.05, "0.05"),
        (12345.678, "12,346"),
        (2.5e9, "2.5×10⁹"),
        (True, "yes"),
        (float("inf"), "∞"),
    ],
)
def test_numbers_are_decent(value: object, expected: str) -> None:
    assert numbers.number(value) == expected


def test_an_effect_has_the_digits_that_its_interval_can_carry() -> None:
    claim = {"effect": 0.01234, "interval": [0.00432, 0.02], "scale": 100, "unit": "points"}
    assert words.amount(claim) == "+1.2 points [0.4, 2.0]"
    assert words.amount({"effect": None}) == ""
    assert numbers.p_value(3e-9) == "< 0.0001" and numbers.p_value(0.0312) == "0.031"


def test_the_front_page_counts_the_verdicts() -> None:
    told = words.summary(verdicts())
    assert told.startswith(
        "17 rules from the lectures were put to the test: 14 by experiment and three by exact computation."
    )
    assert "seven are supported, four are refuted (two too small to matter, two the other way round)" in told
    assert "three remain inconclusive" in told and "one holds and two fail as printed" in told
    assert "fragile, for a robustness check contradicts" in told
    assert re.search(
        r"What held most clearly: “[^”]+” \([^)]+\), “[^”]+” \([^)]+\) and “[^”]+” \([^)]+\)\.", told
    )
    assert "What came out the other way round, most clearly: “" in told
    assert len(re.findall(r"\.(?= [A-Z]|$)", told)) == 5


def test_the_front_page_names_the_largest_effects_in_units_of_what_would_matter() -> None:
    claims = [
        {
            "verdict": "supported",
            "title": name,
            "effect": effect,
            "interval": [effect, effect],
            "delta": delta,
        }
        for name, effect, delta in (("a", 1.0, 1.0), ("b", 0.9, 0.1), ("c", -0.8, 0.2), ("d", 3.0, 1.0))
    ]
    told = words._furthest("Most", claims)
    assert re.findall("“(.)”", told) == ["b", "c", "d"]
    assert words._furthest("Most", []) == ""


def test_the_box_says_what_it_took(tmp_path: Path) -> None:
    box = dict(document._box(verdicts() | {"core_seconds": 9000.0}))
    assert box["networks trained"].startswith("6,512; of those that decided a claim, ")
    assert box["core-hours"].startswith("2.5 ")
    assert dict(document._box(verdicts() | {"core_seconds": None}))["core-hours"] == numbers.MISSING


def test_tables_align_numbers_and_break_words() -> None:
    one = table("c", ["name", "value"], [["a", 1.0], ["b", None]])
    assert one["numeric"] == [1]
    assert max(len(piece) for piece in re.split(r"[\u200b ]", breakable(LONG_WORD))) <= 22


def test_figures_are_whole_and_stable(tmp_path: Path) -> None:
    for name in ("one", "two"):
        style.save(
            overview.draw(verdicts()["claims"]), tmp_path / name, overview.alt_text(verdicts()["claims"])
        )
    assert (tmp_path / "one.svg").read_bytes() == (tmp_path / "two.svg").read_bytes()
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "two.png").read_bytes()
    assert "small-batch-best" in (tmp_path / "one.txt").read_text(encoding="utf-8")
    assert len(list(tmp_path.glob("[!.]*"))) == 6
    with pytest.raises(ValueError, match="no alternative text"):
        style.save(overview.draw([]), tmp_path / "three", " ")


def test_many_claims_stand_in_two_columns_cut_between_families_on_one_scale() -> None:
    few = verdicts()["claims"]
    assert len(overview.columns(overview.frame(few))) == 1
    many = [c | {"id": f"{c['id']}-{k}", "family": f"{c['family']}-{k}"} for k in range(4) for c in few]
    table = overview.frame(many)
    left, right = overview.columns(table)
    assert list(left["label"]) + list(right["label"]) == list(table["label"])
    assert not set(left["family"]) & set(right["family"])
    assert abs(overview._lines(left) - overview._lines(right)) <= 10
    fig = overview.draw(many)
    assert len({ax.get_xlim() for ax in fig.axes}) == 1
    assert len({ax.get_ylim() for ax in fig.axes}) == 1
    shown = [tick.get_text() for ax in fig.axes for tick in ax.get_yticklabels()]
    assert set(table["label"]) <= set(shown)
    pyplot.close(fig)
