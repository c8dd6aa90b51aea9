"""With gamma and beta, batch normalisation can still be the identity

Normalising a layer takes something away: whatever the weights are, the output has mean 0 and variance 1. The
lectures give this as the reason for the two learnt parameters: gamma and beta can put scale and mean back, so
that the transformation can represent the identity and the net loses no capacity.

We set gamma = sqrt(s2 + eps) and beta = mu, with the variance s2 and the mean mu of a batch, and compared output
and input in double precision. We also turned a net without batch normalisation into one with it, for
prediction, and compared the two. Then we looked at what the statement leaves open: other batches, and the
gradient.

The values come back, for that batch in training and for all data at prediction. But gamma and beta do not
follow the batch: whatever batch comes in training, it leaves with the old mean, and the smaller the batches, the
more they differ. And even where the values are restored the gradient is not: the layer removes from it the mean
over the batch and, but for eps, the part along the values themselves, since shifting or stretching the input
changes nothing. A net whose batch normalisation is "the identity" is not trained like one that has none.

The rule holds if input and output agree to one part in a million, for one batch in training and for a whole net
at prediction.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from folklore.claims._exact import check, relative_error, slope
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
    lectures=(1, 2, 4),
    paper="Ioffe & Szegedy 2015, arXiv:1502.03167, section 3",
    reported="gamma equal to the standard deviation and beta equal to the mean recover the original activations",
    limits="That the parameters exist, not that training finds them; and capacity at prediction, when the "
    "statistics are fixed numbers.",
    headline=False,
    formulas=(
        Formula(
            "printed",
            "y_i arrow.l gamma hat(x)_i + beta",
            "the output is gamma times the normalised value plus beta",
        ),
        Formula(
            "derived",
            "gamma = sqrt(sigma_cal(B)^2 + epsilon), quad beta = mu_cal(B) quad arrow.r.double quad y_i = x_i",
            "with gamma the root of variance plus epsilon and beta the mean of the batch, the output is the input",
        ),
    ),
)
DESIGN = None
CRITERION = Criterion(
    text="In float64, with gamma = sqrt(s2 + eps) and beta = mu, a batch of 8 rows comes out as it went in, and a "
    "net of three hidden layers predicts what it predicts without batch normalisation, to a relative error below "
    "1e-6.",
    metric="relative error",
    unit="",
    delta=0.0,
    settings={"tolerance": 1e-6, "rows": 8, "features": 20, "eps": 1e-5, "batches": 200},
)
BATCHES = (2, 4, 8, 16, 32, 64, 128, 512)


def judge(runs: None, criterion: Criterion) -> Finding:
    """The identity as it is claimed, and what is left of it in another batch and in the gradient."""
    from folklore.stats.findings import Finding

    given = criterion.settings
    eps, (x, other) = given["eps"], _data(2, int(given["rows"]), given)
    gamma, beta = _restoring(x, eps)
    output, spread = _layer(other, gamma, beta), other.var(dim=0, correction=0)
    variance, scaled = output.var(dim=0, correction=0), gamma**2 * spread / (spread + eps)
    found = [
        ("one batch, training (lecture 4)", relative_error(_layer(x, gamma, beta), x), "printed"),
        ("a whole net, prediction (lecture 1)", _whole_net(), "printed"),
        ("another batch, training: the old mean", relative_error(output.mean(dim=0), beta), "derived"),
        ("another batch, training: the old variance", relative_error(variance, scaled), "derived"),
        ("gradient less its mean and its part along x", _gradient(x, eps), "derived"),
        ("directions of the gradient: two lost, the rest kept", _eigenvalues(x, eps), "derived"),
    ]
    checks = tuple(check(name, error, given["tolerance"], form) for name, error, form in found)
    table = _by_batch(criterion)
    return Finding(checks=checks, tables=(table,), notes=_notes(table))


def plot(runs: None, finding: Finding) -> tuple[Figure, str]:
    """Output against input for the batch that gamma and beta were set for and for another; the error by batch size."""
    from folklore.figures import claims, style

    style.apply()
    fig, (left, right) = style.new(7.0, ncols=2)
    _two_batches(left)
    claims.legend_above(left, 2)
    sizes, training, theory, _ = zip(*finding.tables[0].rows, strict=True)
    right.plot(sizes, training, "o", label="measured")
    right.plot(sizes, theory, "-", color=style.MUTED, label="sqrt(3/(2m))")
    right.set(xscale="log", yscale="log", xlabel="rows in the batch, m")
    right.set_ylabel("distance from the identity, training")
    right.set_xticks(sizes[::2], [str(size) for size in sizes[::2]])
    right.set_xticks([], minor=True)
    right.set_yticks([0.05, 0.1, 0.2, 0.5, 1], ["0.05", "0.1", "0.2", "0.5", "1"])
    right.set_yticks([], minor=True)
    claims.legend_above(right, 2)
    return fig, (
        "Left: output against input of one feature with gamma and beta set for one batch of 8. That batch lies on the "
        "diagonal, another one on a line beside it. Right: root mean square distance of output and input, in standard "
        f"deviations, for fresh batches in training, from {training[0]:.2f} for {sizes[0]} rows to {training[-1]:.2f} "
        f"for {sizes[-1]}, along the line sqrt(3/(2m)). At prediction it is rounding alone."
    )


def _two_batches(ax: Axes) -> None:
    from folklore.figures import style

    given = CRITERION.settings
    x, other = _data(2, int(given["rows"]), given)
    parameters = _restoring(x, given["eps"])
    means = (x.mean(dim=0) - other.mean(dim=0)).abs()
    feature = int(means.argsort()[len(means) // 2])  # one whose means differ as they typically do
    for batch, look, name in ((x, "o", "this batch"), (other, "s", "another batch")):
        ax.plot(batch[:, feature], _layer(batch, *parameters)[:, feature], look, label=name)
    ax.axline((0, 0), slope=1, color=style.MUTED, linewidth=0.8)
    ax.set(xlabel="input", ylabel="output")


def _notes(table: Table) -> tuple[str, ...]:
    by_size = {row[0]: row[1] for row in table.rows}
    return (
        "The identity holds for one batch at a time: with gamma and beta of the whole population, a batch of 8 in "
        f"training is off by {by_size[8]:.2f} standard deviations, one of 128 by {by_size[128]:.2f}.",
        "For m rows, m - 2 directions of the gradient pass such a layer unchanged; the other two are lost, but for "
        "a part of size eps/(s2 + eps) in one of them.",
    )


def _data(batches: int, rows: int, given: dict[str, float]) -> torch.Tensor:
    """Batches (batches, rows, features) of features with mean 1 and standard deviation 2."""
    import numpy as np
    import torch

    rng = np.random.default_rng([batches, rows])
    return torch.from_numpy(1.0 + 2.0 * rng.standard_normal((batches, rows, int(given["features"]))))


def _restoring(x: torch.Tensor, eps: float) -> tuple[torch.Tensor, torch.Tensor]:
    """gamma and beta (F,) that give the batch x (m, F) back."""
    return (x.var(dim=0, correction=0) + eps).sqrt(), x.mean(dim=0)


def _layer(x: torch.Tensor, gamma: torch.Tensor, beta: torch.Tensor) -> torch.Tensor:
    """The layer that we train, on the batch x (m, F)."""
    from folklore.core import norms

    return norms.batch(x[None], gamma[None, None], beta[None, None], None)[0][0]


def _whole_net() -> float:
    """A net without batch normalisation against the same net with it, gains and shifts set from any statistics."""
    import numpy as np
    import torch

    from folklore.core.networks import Layout, forward

    rng = np.random.default_rng(5)
    plain, normed = (Layout(6, 3, 3, 12, "tanh", norm) for norm in ("none", "batch"))
    x = torch.from_numpy(rng.standard_normal((1, 50, 6)))
    bare, clothed = _nets(plain, rng)
    truth, found = (forward(layout, net, x) for layout, net in ((plain, bare), (normed, clothed)))
    return relative_error(found, truth)


def _nets(plain: Layout, rng: np.random.Generator) -> tuple[Parameters, Parameters]:
    """The parameters without and with batch normalisation, the latter with running moments drawn at random."""
    import torch

    from folklore.core.networks import Parameters

    def draw(*shape: int) -> torch.Tensor:
        return torch.from_numpy(rng.standard_normal((1, *shape)))

    weights = [draw(*fans) / fans[0] ** 0.5 for fans in plain.fans]
    biases = [draw(1, out) for _, out in plain.fans]
    means = [draw(1, out) for _, out in plain.fans[:-1]]
    variances = [draw(1, out) ** 2 + 0.01 for _, out in plain.fans[:-1]]
    gains = [(variance + CRITERION.settings["eps"]).sqrt() for variance in variances]
    running = list(zip(means, variances, strict=True))
    return Parameters(weights, biases, [], [], []), Parameters(weights, biases, gains, means, running)


def _gradient(x: torch.Tensor, eps: float) -> float:
    """The gradient at the identity in closed form, against finite differences."""
    import numpy as np
    import torch

    by_output = torch.from_numpy(np.random.default_rng(6).standard_normal(tuple(x.shape)))
    parameters = _restoring(x, eps)
    moved = x.clone()
    sampled = slope(lambda: (by_output * _layer(moved, *parameters)).sum(), moved)
    hat = (x - x.mean(dim=0)) / parameters[0]
    passed = by_output - by_output.mean(dim=0) - hat * (by_output * hat).mean(dim=0)
    return relative_error(sampled, passed)


def _eigenvalues(x: torch.Tensor, eps: float) -> float:
    """Of the derivative of one feature's outputs by its inputs: 0, eps/(s2 + eps), and 1 for all else."""
    import torch

    feature = x[:, :1]
    parameters = _restoring(feature, eps)
    jacobian = torch.autograd.functional.jacobian(
        lambda v: _layer(v[:, None], *parameters)[:, 0], feature[:, 0]
    )
    found = torch.linalg.eigvalsh((jacobian + jacobian.T) / 2)
    rest = eps / float(parameters[0] ** 2)
    true = torch.tensor([0.0, rest, *[1.0] * (len(x) - 2)], dtype=torch.float64)
    return relative_error(found, true)


def _by_batch(criterion: Criterion) -> Table:
    """Distance of output and input over fresh batches, gamma and beta those of the population (mean 1, variance 4)."""
    import torch

    from folklore.core import norms
    from folklore.stats.findings import Table

    given, rows = criterion.settings, []
    ones = torch.ones(1, 1, int(given["features"]), dtype=torch.float64)
    gamma = (4 * ones + given["eps"]).sqrt()
    for m in BATCHES:
        x = _data(int(given["batches"]), m, given)
        training, prediction = (norms.batch(x, gamma, ones, kept)[0] for kept in (None, (ones, 4 * ones)))
        distances = (float(((y - x) ** 2).mean().sqrt()) / 2 for y in (training, prediction))
        rows.append((m, next(distances), (1.5 / m) ** 0.5, next(distances)))
    caption = (
        "Root mean square distance of output and input, in standard deviations, for fresh batches of m rows, with "
        "gamma and beta those of the population; and the formula for large m."
    )
    return Table(caption, ("m", "training", "sqrt(3/(2m))", "prediction"), tuple(rows))
