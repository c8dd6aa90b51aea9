"""At prediction, batch normalisation is a linear layer and folds into the layer before it

In training, batch normalisation ties the rows of a minibatch together. At prediction the lecture replaces mean
and variance of the batch by numbers that were fixed beforehand, taken over the training set or as a moving
average. What remains is y = a x + b for each feature, and the lecture prints both numbers. A linear layer in
front of it can take them over: its weights are multiplied by a, its biases shifted, and the normalisation costs
nothing at prediction.

We compared the printed a and b with the evaluation mode of our own layer, folded a whole net that way and
compared its predictions, and tested that one row's output no longer depends on the others.

All of it is right. One step between the two ways to get the statistics is easily lost: a batch of m rows has, on
average over all batches, only (m - 1)/m of the variance of the data, because its own mean was subtracted. The
original paper multiplies by m/(m - 1), and so do our nets and PyTorch, though not every library; the slide does
not mention it. We enumerated all batches of a small data set to show the factor.

The rule holds if the printed line agrees with the evaluation mode to one part in a million and mixtures of
inputs give mixtures of outputs.
"""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING

from folklore.claims._exact import check, relative_error
from folklore.claims.base import Claim, Criterion, Formula

if TYPE_CHECKING:
    import numpy as np
    import torch
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from folklore.core.networks import Layout, Parameters
    from folklore.stats.findings import Finding, Table

CLAIM = Claim(
    kind="E",
    family="normalisation",
    lectures=(0,),
    paper="Ioffe & Szegedy 2015, arXiv:1502.03167, algorithm 2",
    reported="the same line, with a variance that is the mean of the batch variances times m/(m - 1)",
    limits="Linear in the loose sense: with a constant term. It folds into the layer before only if no "
    "nonlinearity stands between, as in the order linear, norm, activation; and how good the moving averages are "
    "is a claim of its own.",
    headline=False,
    formulas=(
        Formula(
            "printed",
            'y = frac(gamma, sqrt("Var"[x] + epsilon)) dot x + (beta - frac(gamma EE[x], sqrt("Var"[x] + epsilon)))',
            "the output is gamma over the root of variance plus epsilon, times x, plus beta minus gamma times the mean of x "
            "over the same root",
        ),
        Formula(
            "right",
            '"Var"[x] = frac(m, m - 1) EE[sigma_cal(B)^2]',
            "the variance of x is m over m minus one times the mean of the variances of batches of m rows",
        ),
        Formula(
            "derived",
            "w' = a w, space b' = a (b - EE[x]) + beta, space a = frac(gamma, sqrt(\"Var\"[x] + epsilon))",
            "a linear layer before it takes the norm over: its weights are multiplied by a, its bias becomes a times the "
            "bias less the mean of x, plus beta, where a is gamma over the root of variance plus epsilon",
        ),
    ),
)
DESIGN = None
CRITERION = Criterion(
    text="In float64 the printed line equals the evaluation mode of the layer that we train, and the output of a "
    "mixture of two inputs is the mixture of their outputs, to a relative error below 1e-6.",
    metric="relative error",
    unit="",
    delta=0.0,
    settings={"tolerance": 1e-6, "rows": 50, "inputs": 8, "width": 12, "classes": 3, "depth": 3, "eps": 1e-5},
)
POPULATION = (-1.0, 0.5, 2.0, 7.0)
BATCHES = (2, 3, 4, 5, 6)


def judge(runs: None, criterion: Criterion) -> Finding:
    """The printed line, the folded net, independence of the rows, and the factor m/(m - 1)."""
    import torch

    from folklore.stats.findings import Finding

    given = criterion.settings
    x, gamma, beta, mean, variance = _layer_at_prediction(given)
    y, a = _evaluate(x, gamma, beta, mean, variance), gamma / (variance + given["eps"]).sqrt()
    printed = a * x + (beta - gamma * mean / (variance + given["eps"]).sqrt())
    mixed = _evaluate(0.3 * x[:, :1] + 0.7 * x, gamma, beta, mean, variance)
    alone = torch.cat(
        [_evaluate(x[:, i : i + 1], gamma, beta, mean, variance) for i in range(x.shape[1])], dim=1
    )
    table = _by_batch()
    factors = [abs(ratio * m / (m - 1) - 1) for m, _, ratio, _ in table.rows]
    found = [
        ("the printed line a x + b", relative_error(printed, y), "printed"),
        ("linear: mixtures go to mixtures", relative_error(mixed, 0.3 * y[:, :1] + 0.7 * y), "printed"),
        ("a net folded into its linear layers", _folded_net(given), "right"),
        ("a row alone and among others", relative_error(alone, y), "derived"),
        ("mean batch variance is (m - 1)/m of the whole", max(factors), "derived"),
        ("our moving average aims at the whole", max(abs(row[3] - 1) for row in table.rows), "derived"),
    ]
    checks = tuple(check(name, error, given["tolerance"], form) for name, error, form in found)
    return Finding(checks=checks, tables=(table,), notes=(_note(table),))


def plot(runs: None, finding: Finding) -> tuple[Figure, str]:
    """One feature in training and at prediction; the variance of small batches with and without the factor."""
    from folklore.figures import claims, style

    style.apply()
    fig, (left, right) = style.new(7.0, ncols=2)
    _lines(left)
    claims.legend_above(left, 2)
    sizes, _, plain, corrected = zip(*finding.tables[0].rows, strict=True)
    right.plot(sizes, plain, "o", label="mean batch variance")
    right.plot(sizes, corrected, "s", label="times m/(m − 1)")
    m = [2 + i / 20 for i in range(81)]
    right.plot(m, [(v - 1) / v for v in m], "-", color=style.MUTED, linewidth=0.8, label="(m − 1)/m")
    right.set(xlabel="rows in the batch, m", ylabel="share of the whole variance", ylim=(0.4, 1.1))
    right.set_xticks(sizes, [str(size) for size in sizes])
    right.legend(loc="lower right")
    return fig, (
        "Left: output against input of one feature. In training each batch of 4 rows has a line of its own; at "
        "prediction there is one line for all. Right: mean variance of all batches of m rows as a share of the "
        f"variance of the data: {plain[0]:.2f} for m = {sizes[0]}, {plain[-1]:.2f} for m = {sizes[-1]}, on the curve "
        f"(m - 1)/m; multiplied by m/(m - 1) it is {corrected[0]:.2f} and {corrected[-1]:.2f}."
    )


def _lines(ax: Axes) -> None:
    """Six batches of 4 in training, each joined by its line, and the line of prediction."""
    import numpy as np
    import torch

    from folklore.core import norms
    from folklore.figures import style

    x = torch.from_numpy(np.random.default_rng(8).standard_normal((6, 4, 1)))
    one, zero = torch.ones(6, 1, 1, dtype=torch.float64), torch.zeros(6, 1, 1, dtype=torch.float64)
    y = norms.batch(x, one, zero, None)[0]
    for i in range(len(x)):
        look = {"label": "training, by batch"} if i == 0 else {}
        order = x[i, :, 0].argsort()
        ax.plot(x[i, order, 0], y[i, order, 0], "o--", color=style.PALETTE[0], linewidth=0.7, **look)
    ends = torch.tensor([[[float(x.min())], [float(x.max())]]], dtype=torch.float64)
    line = _evaluate(ends, one[:1], zero[:1], x.mean().reshape(1, 1, 1), x.var().reshape(1, 1, 1))
    ax.plot(ends[0, :, 0], line[0, :, 0], "-", color=style.INK, linewidth=2, label="prediction")
    ax.set(xlabel="input x", ylabel="output y")


def _note(table: Table) -> str:
    m, _, ratio, _ = table.rows[0]
    return (
        f"With batches of {m} a moving average of the plain batch variance is {ratio:.2g} of the variance of the data, "
        f"and the folded weights come out {ratio**-0.5:.2g} times too large; with 32 rows {(32 / 31) ** 0.5:.3f} times."
    )


def _layer_at_prediction(given: dict[str, float]) -> tuple[torch.Tensor, ...]:
    """Inputs (1, rows, F); gamma, beta, mean and variance (1, 1, F)."""
    import numpy as np
    import torch

    rng, features = np.random.default_rng(7), int(given["width"])
    x = 1.0 + 2.0 * rng.standard_normal((1, int(given["rows"]), features))
    gamma, beta, mean = (rng.standard_normal((1, 1, features)) for _ in range(3))
    variance = rng.uniform(0.01, 4.0, (1, 1, features))
    return tuple(torch.from_numpy(array) for array in (x, gamma, beta, mean, variance))


def _evaluate(
    x: torch.Tensor, gamma: torch.Tensor, beta: torch.Tensor, mean: torch.Tensor, variance: torch.Tensor
) -> torch.Tensor:
    """The layer that we train, in evaluation mode."""
    from folklore.core import norms

    return norms.batch(x, gamma, beta, (mean, variance))[0]


def _folded_net(given: dict[str, float]) -> float:
    """Predictions of a ReLU net with batch normalisation against those of a net that has none."""
    import numpy as np
    import torch

    from folklore.core.networks import Layout, forward

    sizes = [int(given[name]) for name in ("inputs", "classes", "depth", "width")]
    normed, plain = (Layout(*sizes, "relu", norm) for norm in ("batch", "none"))
    rng = np.random.default_rng(9)
    net = _net(normed, rng)
    x = torch.from_numpy(rng.standard_normal((1, int(given["rows"]), sizes[0])))
    truth = forward(normed, net, x)
    return relative_error(forward(plain, _fold(net, given["eps"]), x), truth)


def _net(layout: Layout, rng: np.random.Generator) -> Parameters:
    """Parameters with running moments as they may be after training."""
    import torch

    from folklore.core.networks import Parameters

    def draw(*shape: int) -> torch.Tensor:
        return torch.from_numpy(rng.standard_normal((1, *shape)))

    weights = [draw(*fans) / fans[0] ** 0.5 for fans in layout.fans]
    biases = [draw(1, out) for _, out in layout.fans]
    gains, shifts, means = ([draw(1, out) for _, out in layout.fans[:-1]] for _ in range(3))
    running = [(mean, draw(1, mean.shape[2]) ** 2 + 0.01) for mean in means]
    return Parameters(weights, biases, gains, shifts, running)


def _fold(net: Parameters, eps: float) -> Parameters:
    """The same function without normalisation: W a and (b - mean) a + beta, the output layer as it is."""
    from folklore.core.networks import Parameters

    weights, biases = [], []
    for w, b, gain, shift, (mean, variance) in zip(
        net.weights, net.biases, net.gains, net.shifts, net.running, strict=False
    ):
        a = gain / (variance + eps).sqrt()
        weights.append(w * a)
        biases.append((b - mean) * a + shift)
    return Parameters([*weights, net.weights[-1]], [*biases, net.biases[-1]], [], [], [])


def _by_batch() -> Table:
    """All batches of m from a population of four, drawn with replacement; also through our own moving average."""
    import torch

    from folklore.stats.findings import Table

    whole, rows = float(torch.tensor(POPULATION, dtype=torch.float64).var(correction=0)), []
    for m in BATCHES:
        batches = torch.tensor(list(product(POPULATION, repeat=m)), dtype=torch.float64)
        plain = float(batches.var(dim=1, correction=0).mean())
        rows.append((m, len(batches), plain / whole, _averaged(batches) / whole))
    caption = (
        "Mean variance of all batches of m rows, drawn with replacement from four numbers, as a share of the variance of "
        "the four: as it is, and as our moving average takes it."
    )
    return Table(caption, ("m", "batches", "batch variance", "moving average"), tuple(rows))


def _averaged(batches: torch.Tensor) -> float:
    """What the moving average adds to a variance of 0 in one update, mean over all batches (n, m), per unit of weight."""
    import torch

    from folklore.core import batch_norm, networks, norms

    zero, one = torch.zeros(len(batches), 1, 1).double(), torch.ones(len(batches), 1, 1).double()
    _, seen = norms.batch(batches[:, :, None], one, zero, None)
    net = networks.Parameters([], [], [], [], [(zero.clone(), zero.clone())])
    networks.update_running(net, [(0, seen, batches.shape[1])])
    return float(net.running[0][1].mean()) / batch_norm.RUNNING_WEIGHT
