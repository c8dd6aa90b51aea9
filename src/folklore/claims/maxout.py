"""Maxout, the larger of two affine maps, is an alternative to ReLU

A maxout unit computes two affine maps of its inputs and passes on the larger. ReLU is the special case in which
one of the maps is zero: nothing that a ReLU net can compute is lost, no unit can die, and every unit may learn
its own bend. A lecture lists it among the alternatives to try.

That ReLU is contained is a statement about formulas, so it is checked exactly, with the code that trains: in a
net of two layers with all second maps at zero, values and gradients are those of the ReLU net. In one layer,
other choices of the second map give leaky ReLU and the absolute value. The zero does not last: the second map
gets the gradient of all inputs at which the first is negative.

An alternative is worth trying if it can be better. But a maxout layer of equal width has twice the weights, and
a comparison at equal width would credit the unit with the larger net. The verdict is therefore at equal numbers
of parameters, 3 x 68 maxout against 3 x 100 ReLU units, each net with its own tuned rate and start: He's
weights for ReLU, Glorot's for maxout, because the larger of two signals is as strong as each of them and needs
no doubling. Equal width and nets of eight layers are grounds of their own.

Supported means: the formulas hold, and maxout has the better test accuracy, by an amount not shown to be below
1 point. Refuted as negligible, it remains an alternative, only one that gains nothing: the note says whether it
is at most a point worse.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from folklore.claims._contrasts import difference
from folklore.claims.base import Claim, Criterion, Formula
from folklore.grid import Rates, Study, Variant

if TYPE_CHECKING:
    import pandas as pd
    import torch
    from matplotlib.figure import Figure

    from folklore.stats.findings import Check, Finding, Table

CLAIM = Claim(
    kind="E+S",
    family="activations",
    lectures=(3,),
    paper="Goodfellow et al. 2013, arXiv:1302.4389; Mishkin, Sergievskiy & Matas 2017, arXiv:1606.02228",
    reported="caffenet-benchmark: maxout .482 at equal size and .517 at equal width, ReLU .471; with batch "
    "normalisation .487 against .499.",
    limits="Two pieces a unit and no dropout, with which maxout was proposed. Parameters are equal, arithmetic "
    "is nearly so; the time of a step is not.",
    headline=False,
    formulas=(
        Formula(
            "printed",
            "max(w_1^top x + b_1, w_2^top x + b_2)",
            "the larger of w one transposed x plus b one and w two transposed x plus b two",
        ),
        Formula(
            "derived",
            'max(w_1^top x + b_1, 0) = "ReLU"(w_1^top x + b_1)',
            "with the second map at zero, maxout is ReLU of the first",
        ),
    ),
)
RELU, MAXOUT, WIDE, DEEP = "ReLU", "maxout", "twice the parameters", "eight layers"
_RELU = {"label": RELU, "activation": "relu", "init": "he_normal"}
_MAXOUT = {"label": MAXOUT, "activation": "maxout", "init": "glorot_normal"}

# Pilot (seeds 20000, 20001 over rates, 20010 to 20017 at the best). Validation accuracy .640 maxout (best rate .01 to .02),
# .642 ReLU (.02), spread of the difference .012; of equal width .673. Eight layers: .57 and .51 (.01). From He's weights
# maxout diverges with eight layers at .005 and above. Most runs are those of activation-ranking; `seconds` counts the rest.
# In 32 replicates the spread was .015, hence 40, planned from that spread alone for a power of .8 at 1 point.
DESIGN = Study(
    name="maxout",
    title="Maxout and ReLU with equally many parameters",
    cells=(_RELU, _MAXOUT | {"width": 68}),  # 25,310 and 25,034 parameters
    fixed={"optimizer": "momentum"},
    updates=2000,
    replicates=40,
    seconds=21,
    variants=(
        Variant(
            WIDE,
            fixed={"width": 100},
            study={"cells": (_RELU, _MAXOUT), "replicates": 16},
        ),
        Variant(
            DEEP,
            fixed={"depth": 8, "width": 128},
            study={
                "cells": (_RELU, _MAXOUT | {"width": 90}),  # 122,122 and 122,950
                "updates": 896,
                "rates": Rates(center=0.01),
            },
        ),
    ),
)
CRITERION = Criterion(
    text="In float64 a maxout net whose second maps are zero has the values and gradients of a ReLU net "
    "(relative error 1e-6); and test accuracy of maxout minus that of ReLU at equal numbers of parameters, each "
    "tuned, is above 0 (95 % interval) and not negligible (90 % interval not within 1 point).",
    metric="test accuracy, maxout minus ReLU",
    unit="points",
    delta=0.01,
    scale=100,
    pilot_sd=0.0125,
    settings={"tolerance": 1e-6},
)


def judge(runs: pd.DataFrame, criterion: Criterion) -> Finding:
    """Maxout minus ReLU at equal parameters, and the exact checks; equal width as a table."""
    from dataclasses import replace

    from folklore.stats.findings import contrast

    finding = contrast(runs, {MAXOUT: 1.0, RELU: -1.0}, criterion.delta)
    return replace(
        finding,
        checks=_exact_checks(criterion.settings["tolerance"]),
        tables=(_sizes(runs),),
        notes=(*finding.notes, _not_worse(finding, criterion.delta)),
    )


def plot(runs: pd.DataFrame, finding: Finding) -> tuple[Figure, str]:
    from folklore.figures.panels import tuning_and_scores

    names = {RELU: "ReLU, 3 x 100", MAXOUT: "maxout, 3 x 68"}
    return tuning_and_scores(runs, finding, names, columns=1)


def _not_worse(finding: Finding, delta: float) -> str:
    low = finding.estimate.interval90[0]
    shown = "It is shown" if low > -delta else "It is not shown"
    return f"{shown} to be at most {100 * delta:g} point worse than ReLU (lower end of the 90 % interval {100 * low:.1f})."


def _sizes(runs: pd.DataFrame) -> Table:
    """Parameters and accuracy of every arm, and what it gains over ReLU."""
    from folklore.stats.findings import Table

    confirmed = runs[runs["phase"] == "confirm"].assign(measure=lambda frame: 100 * frame["test_accuracy"])
    rows = [
        (
            f"{group['depth'].iloc[0]} x {group['width'].iloc[0]}",
            arm if variant in ("main", WIDE, DEEP) else f"{arm}, {variant}",
            f"{_parameters(group.iloc[0]):,}",
            f"{group['measure'].mean():.1f}",
            difference(mine, {arm: 1.0, RELU: -1.0}) if arm != RELU else "",
        )
        for variant, mine in confirmed.groupby("variant", sort=False)
        for arm, group in mine.groupby("arm", sort=False)
    ]
    return Table(
        "Size and test accuracy in percent, and points more than the ReLU net of the same depth with a 95 % "
        "interval.",
        ("net", "arm", "parameters", "test accuracy", "more than ReLU"),
        tuple(rows),
    )


def _parameters(run: pd.Series) -> int:
    """Weights and biases of a net of 40 inputs and 10 classes."""
    pieces, depth, width = 1 + (run["activation"] == "maxout"), int(run["depth"]), int(run["width"])
    return int(pieces * width * (41 + (depth - 1) * (width + 1)) + 10 * (width + 1))


def _exact_checks(tolerance: float) -> tuple[Check, ...]:
    """What the second map makes of a unit, the gradient that it gets, and how strong the signal is, with the core's function."""
    import numpy as np
    import torch

    from folklore.claims._exact import check, relative_error
    from folklore.core import activations

    rng = np.random.default_rng(0)
    shapes = ((256, 20), (20, 12), (20, 12), (256, 12))
    x, w, v, slopes = (torch.from_numpy(rng.standard_normal(shape)) for shape in shapes)
    a, b = x @ w, x @ v
    (value, first), (plain, by_plain) = _net("maxout"), _net("relu")
    second = _unit(x, w, 0 * w, slopes)[2]
    leaky, absolute = _unit(x, w, 0.01 * w, slopes)[0], _unit(x, w, -w, slopes)[0]
    power = _unit(x, w, v, slopes)[0] ** 2 + _unit(-x, w, v, slopes)[0] ** 2
    found = (
        ("net, second maps 0: values of the ReLU net", value, plain, "right"),
        ("net, second maps 0: gradients of the ReLU net", first, by_plain, "right"),
        ("second map .01 of the first: leaky ReLU", leaky, activations.leaky_relu(a), "right"),
        ("second map minus the first: absolute value", absolute, a.abs(), "right"),
        ("the second map learns where the first is negative", second, x.T @ (slopes * (a < 0)), "derived"),
        ("over x and -x, the larger map is as strong as both", power, a**2 + b**2, "derived"),
    )
    return tuple(
        check(name, relative_error(is_, should), tolerance, form) for name, is_, should, form in found
    )


def _net(activation: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Outputs of a net of two hidden layers, the second maps of maxout at zero, and all gradients by what a ReLU net has, in a row."""
    import numpy as np
    import torch

    from folklore.core.networks import Layout, Parameters, forward

    rng, layout = np.random.default_rng(1), Layout(20, 3, 2, 12, activation, "none")
    shapes = ((20, 12), (12, 12), (12, 3), (1, 12), (1, 12), (1, 3))
    drawn = [torch.from_numpy(rng.standard_normal((1, *shape))) for shape in shapes]
    x, slopes = (torch.from_numpy(rng.standard_normal((1, 256, n))) for n in (20, 3))
    hidden = {0, 1, 3, 4} if layout.pieces == 2 else set()
    given = [torch.cat([t, 0 * t], dim=2) if i in hidden else t for i, t in enumerate(drawn)]
    leaves = [t.requires_grad_() for t in given]
    said = forward(layout, Parameters(leaves[:3], leaves[3:], [], [], []), x)
    gradients = torch.autograd.grad((slopes * said).sum(), leaves)
    first = [g[..., : t.shape[2]].flatten() for g, t in zip(gradients, drawn, strict=True)]
    return said.detach(), torch.cat(first)


def _unit(
    x: torch.Tensor, w: torch.Tensor, other: torch.Tensor, slopes: torch.Tensor
) -> tuple[torch.Tensor, ...]:
    """Values of a maxout layer, and the gradients of both maps for given slopes."""
    import torch

    from folklore.core import activations

    maps = [m.clone().requires_grad_() for m in (w, other)]
    value = activations.maxout(x @ torch.cat(maps, dim=1))
    return value.detach(), *torch.autograd.grad((slopes * value).sum(), maps)
