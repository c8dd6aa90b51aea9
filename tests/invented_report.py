"""A report of invented verdicts of every kind, with every character that could do harm, for the tests of what is set from them."""

from __future__ import annotations

import json
import re
import tempfile
from pathlib import Path

import numpy as np
from pypdf import PdfReader

from folklore.figures import style

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


def read_pages(pdf: Path) -> list[str]:
    return [flat(page.extract_text()) for page in PdfReader(pdf).pages]


def flat(text: str) -> str:
    """Text without what a line break or a column may add: spaces, soft breaks, hyphens, ligatures."""
    for ligature, letters in {"ﬁ": "fi", "ﬂ": "fl", "ﬀ": "ff", "ﬃ": "ffi", "ﬄ": "ffl", "Th": "Th"}.items():
        text = text.replace(ligature, letters)
    return re.sub(r"[\s\u200b\u00ad\u2010-]", "", text)
