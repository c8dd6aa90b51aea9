"""Weight, instance, group and spectral normalisation are what they say

Besides batch and layer normalisation a lecture lists four more by name. Two of them average over other parts
of the same tensor. Of a sample with several channels, each with several positions (pixels, say), instance
normalisation takes mean and variance over the positions of one channel, and group normalisation over the
positions of a group of channels. The other two do not look at the data at all. Weight normalisation writes a
unit's weights as a length g times a direction v / |v|, and spectral normalisation divides a weight matrix by
its largest singular value.

A name promises identities, and we checked them in double precision, against PyTorch and against closed forms.
Group normalisation with one group is layer normalisation, and with a group for each channel it is instance
normalisation (Wu and He). Instance normalisation is also batch normalisation of a single sample whose
positions serve as rows, so the code that trains our nets with batch normalisation can compute it. Weight
normalisation gives every unit weights of length g and a gradient at right angles to v. Spectral normalisation
gives a largest singular value of 1, so no distance between two inputs grows.

Each identity has its condition. One group is layer normalisation only up to gain and shift, which one has for
each channel and the other for each unit. Where a channel has a single position, as in a fully connected net,
instance normalisation puts out the shift and forgets its input. And libraries do not compute the singular
value but approach it by a step or so of the power iteration for each update: the table shows how far that is
from 1.

The rule holds if every identity agrees to a relative error below one in a million.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from folklore.claims._exact import check, relative_error, slope
from folklore.claims.base import Claim, Criterion, Formula

if TYPE_CHECKING:
    from collections.abc import Callable

    import torch
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from folklore.stats.findings import Finding, Table

    Norm = Callable[[torch.Tensor], torch.Tensor]

CLAIM = Claim(
    kind="E",
    family="normalisation",
    lectures=(1,),
    paper="Salimans & Kingma 2016, arXiv:1602.07868; Ulyanov et al. 2016, arXiv:1607.08022; Wu & He 2018, "
    "arXiv:1803.08494; Miyato et al. 2018, arXiv:1802.05957",
    reported="Wu and He name the two limits of group normalisation; Salimans and Kingma derive the gradient; "
    "Miyato and colleagues approach the singular value by one step of the power iteration an update.",
    limits="It says what the four compute, not whether any of them helps: none is trained here.",
    headline=False,
    formulas=(
        Formula(
            "right",
            '"GN"_(G=1) = "LN", quad "GN"_(G=C) = "IN"',
            "group normalisation with one group is layer normalisation, and with a group for each of C channels it is "
            "instance normalisation",
        ),
        Formula(
            "right",
            "w = g frac(v, norm(v))",
            "weight normalisation: the weights of a unit are the length g times v over the norm of v",
        ),
        Formula(
            "right",
            "overline(W) = frac(W, sigma_1 (W))",
            "spectral normalisation: the weight matrix is divided by its largest singular value",
        ),
        Formula(
            "derived",
            "v dot frac(partial L, partial v) = 0, quad sigma_1 (overline(W)) = 1",
            "under weight normalisation the gradient by v is at right angles to v, and under spectral normalisation the "
            "largest singular value is one",
        ),
    ),
)
DESIGN = None
CRITERION = Criterion(
    text="Every identity, evaluated in float64 on tensors of 3 samples x 4 channels x 6 positions and on "
    "weights of 8 x 5, has a relative error of at most 1e-6.",
    metric="relative error",
    unit="",
    delta=0.0,
    settings={"tolerance": 1e-6, "samples": 3, "channels": 4, "positions": 6, "inputs": 8, "outputs": 5},
)
_EPS = 1e-5
STEPS = (1, 2, 5, 10, 20, 50, 100)


def judge(runs: None, criterion: Criterion) -> Finding:
    """All identities, the reach of each norm, and the power iteration."""
    from folklore.stats.findings import Finding

    tolerance = criterion.settings["tolerance"]
    errors = _averages(criterion) | _weight_norm(criterion) | _spectral_norm(criterion)
    return Finding(
        checks=tuple(check(name, error, tolerance, "right") for name, error in errors.items()),
        tables=(_reach(criterion), _power_iteration()),
    )


def plot(runs: None, finding: Finding) -> tuple[Figure, str]:
    """Which entries one entry acts on under each norm, and the power iteration's approach."""
    import matplotlib.pyplot as plt

    from folklore.figures import style

    style.apply()
    fig = plt.figure(figsize=(style.WIDTH_CM / 2.54, 7 / 2.54), layout="constrained")
    places = fig.subplot_mosaic(
        [["batch", "layer", "right"], ["instance", "group", "right"]], width_ratios=(1, 1, 1.3)
    )
    for name, norm in _norms(CRITERION).items():
        _shade(places[name], _moved(norm, CRITERION), name, CRITERION)
    steps, below = zip(*((row[0], row[1]) for row in finding.tables[1].rows), strict=True)
    places["right"].plot(steps, below, "s-", color=style.INK)
    places["right"].set(xscale="log", yscale="log", xlabel="steps of the power iteration")
    places["right"].set_ylabel("largest singular value minus 1")
    reach = ", ".join(f"{name} {count}" for name, _, count, _ in finding.tables[0].rows)
    return fig, (
        "Left: outputs that change when one entry of the input does, for each norm, samples downwards, channels "
        f"and their positions across; numbers of outputs: {reach}. Right: how far spectral normalisation by the "
        f"power iteration is from a largest singular value of 1: {below[0]:.1g} after one step, "
        f"{below[-1]:.0e} after {steps[-1]}."
    )


# ------------------------------------------------------------------------------------------- over parts of the data


def _data(criterion: Criterion) -> torch.Tensor:
    """Samples x channels x positions, off centre, each channel with a scale of its own."""
    import numpy as np
    import torch

    shape = tuple(int(criterion.settings[name]) for name in ("samples", "channels", "positions"))
    x = np.random.default_rng(0).standard_normal(shape)
    return torch.from_numpy(1 + x * (1 + np.arange(shape[1]))[:, None])


def _by_hand(x: torch.Tensor, over: tuple[int, ...]) -> torch.Tensor:
    """The definition: centred and scaled by the moments over some axes."""
    centred = x - x.mean(dim=over, keepdim=True)
    return centred / ((centred**2).mean(dim=over, keepdim=True) + _EPS).sqrt()


def _core(norm: str, h: torch.Tensor) -> torch.Tensor:
    """A level of the project's core on (networks, rows, units), gains 1 and shifts 0."""
    import torch

    from folklore.core import norms

    gain = torch.ones(len(h), 1, h.shape[2], dtype=h.dtype)
    return getattr(norms, norm)(h, gain, torch.zeros_like(gain), None)[0]


def _averages(criterion: Criterion) -> dict[str, float]:
    """Errors of the identities between batch, layer, instance and group normalisation."""
    from torch.nn import functional

    x, channels = _data(criterion), int(criterion.settings["channels"])
    instance, layer = _by_hand(x, (2,)), _by_hand(x, (1, 2))
    pairs = {
        "group norm with one group is layer norm": (functional.group_norm(x, 1, eps=_EPS), layer),
        "group norm with a group a channel is instance norm": (
            functional.group_norm(x, channels, eps=_EPS),
            instance,
        ),
        "group norm with two groups is its definition": (
            functional.group_norm(x, 2, eps=_EPS),
            _by_hand(x.unflatten(1, (2, -1)), (2, 3)).view_as(x),
        ),
        "instance norm is its definition": (functional.instance_norm(x, eps=_EPS), instance),
        "instance norm is our batch norm of one sample, positions as rows": (
            _core("batch", x.mT).mT,
            instance,
        ),
        "group norm with one group is our layer norm": (
            _core("layer", x.flatten(1)[None])[0].view_as(x),
            layer,
        ),
    }
    errors = {name: relative_error(found, truth) for name, (found, truth) in pairs.items()}
    return errors | {"instance norm of a single position is 0": float(_by_hand(x[..., :1], (2,)).abs().max())}


def _norms(criterion: Criterion) -> dict[str, Norm]:
    """The four that average over data, on samples x channels x positions."""
    from torch.nn import functional

    return {
        "batch": lambda x: _core("batch", x.mT.flatten(0, 1)[None])[0].view_as(x.mT).mT,
        "layer": lambda x: _core("layer", x.flatten(1)[None])[0].view_as(x),
        "instance": lambda x: functional.instance_norm(x, eps=_EPS),
        "group": lambda x: functional.group_norm(x, 2, eps=_EPS),
    }


def _moved(norm: Norm, criterion: Criterion) -> torch.Tensor:
    """Where the output changes when the first sample's first entry does."""
    x = _data(criterion)
    other = x.clone()
    other[0, 0, 0] += 1
    return (norm(other) - norm(x)).abs() > 1e-9


def _reach(criterion: Criterion) -> Table:
    from folklore.stats.findings import Table

    words = {
        "batch": "samples, positions",
        "layer": "channels, positions",
        "instance": "positions",
        "group": "half the channels, positions",
    }
    moved = {name: _moved(norm, criterion) for name, norm in _norms(criterion).items()}
    return Table(
        "What each norm averages over, how many outputs change when one entry of the input does, and how many "
        "of them belong to other samples.",
        ("norm", "averages over", "outputs changed", "in other samples"),
        tuple((name, words[name], int(m.sum()), int(m[1:].sum())) for name, m in moved.items()),
    )


def _shade(ax: Axes, moved: torch.Tensor, name: str, criterion: Criterion) -> None:
    """Samples downwards, channels and positions across."""
    positions = int(criterion.settings["positions"])
    ax.imshow(moved.flatten(1).numpy(), cmap="Greys", vmin=0, vmax=1.6, aspect="auto")
    for edge in range(positions, moved[0].numel(), positions):
        ax.axvline(edge - 0.5, color="#9A9A9A", linewidth=0.7)
    for edge in range(1, len(moved)):
        ax.axhline(edge - 0.5, color="#9A9A9A", linewidth=0.7)
    ax.plot(0, 0, "o", color="white", markersize=3)
    ax.set_title(name)
    ax.set_xticks([positions * (c + 0.5) - 0.5 for c in range(moved.shape[1])], range(1, moved.shape[1] + 1))
    ax.set_yticks(range(len(moved)), range(1, len(moved) + 1))
    ax.set(xlabel="channel", ylabel="sample")
    ax.grid(visible=False)


# ------------------------------------------------------------------------------------------------ over weights alone


def _linear(criterion: Criterion) -> torch.nn.Linear:
    """A linear layer in float64 without bias, and always the same."""
    import numpy as np
    import torch

    fans = tuple(int(criterion.settings[name]) for name in ("inputs", "outputs"))
    layer = torch.nn.Linear(*fans, bias=False, dtype=torch.float64)
    layer.weight.data.copy_(torch.from_numpy(np.random.default_rng(1).standard_normal(fans[::-1])))
    return layer


def _weight_norm(criterion: Criterion) -> dict[str, float]:
    """Length of the weights, and the gradient by v against autograd of PyTorch's layer and central differences."""
    import numpy as np
    import torch
    from torch.nn.utils.parametrizations import weight_norm

    layer, rng = weight_norm(_linear(criterion)), np.random.default_rng(2)
    held = layer.parametrizations.weight
    g, v = held.original0, held.original1
    g.data.copy_(torch.from_numpy(rng.uniform(0.5, 2, g.shape)))
    x = torch.from_numpy(rng.standard_normal((6, layer.in_features)))

    def loss() -> torch.Tensor:
        return torch.tanh(layer(x)).sum()

    w = layer.weight.detach()
    by_v, by_w = torch.autograd.grad(loss(), v)[0], ((1 - torch.tanh(x @ w.T) ** 2).T @ x)
    g, v = g.detach(), v.detach()
    length = v.norm(dim=1, keepdim=True)
    across = by_w - (by_w * v).sum(dim=1, keepdim=True) / length**2 * v
    with torch.no_grad():
        sampled = slope(loss, v)
    return {
        "weight norm: every unit has weights of length g": relative_error(w.norm(dim=1, keepdim=True), g),
        "weight norm: gradient by v, formula": relative_error(g / length * across, by_v),
        "weight norm: gradient by v, central differences": relative_error(sampled, by_v),
        "weight norm: gradient at right angles to v": float((by_v * v).sum(dim=1).abs().max()),
    }


def _spectral_norm(criterion: Criterion) -> dict[str, float]:
    """Division by the largest singular value: by decomposition, by PyTorch's layer, its slope, and the bound on distances."""
    import numpy as np
    import torch

    w = _linear(criterion).weight.detach()
    u, values, vt = torch.linalg.svd(w)
    divided, one = w / values[0], torch.ones(1, dtype=w.dtype)
    sampled = slope(lambda: torch.linalg.matrix_norm(w, 2), w)
    directions = torch.from_numpy(np.random.default_rng(3).standard_normal((w.shape[1], 1000)))
    stretch = ((divided @ directions).norm(dim=0) / directions.norm(dim=0)).max()
    return {
        "spectral norm: largest singular value is 1": relative_error(torch.linalg.svdvals(divided)[:1], one),
        "spectral norm: power iteration of many steps": relative_error(_by_torch(criterion), divided),
        "spectral norm: slope of the singular value is u v^T": relative_error(
            sampled, torch.outer(u[:, 0], vt[0])
        ),
        "spectral norm: no distance grows": max(0.0, float(stretch) - 1),
    }


def _by_torch(criterion: Criterion) -> torch.Tensor:
    """Weights of PyTorch's layer, whose start is random and, after so many steps, forgotten."""
    import torch
    from torch.nn.utils.parametrizations import spectral_norm

    with torch.random.fork_rng(devices=[]):
        return spectral_norm(_linear(criterion), n_power_iterations=500).weight.detach()


def _power_iteration() -> Table:
    """The estimate u^T W v is never above the singular value, so what is divided by it stays above 1."""
    import numpy as np

    from folklore.core.initializers import he_normal
    from folklore.stats.findings import Table

    rng = np.random.default_rng(3)
    w, v = he_normal(rng, 100, 100), rng.standard_normal(100)
    largest, rows = np.linalg.svd(w, compute_uv=False)[0], []
    for step in range(1, max(STEPS) + 1):
        u = w @ v / np.linalg.norm(w @ v)
        v = w.T @ u / np.linalg.norm(w.T @ u)
        rows += [(step, largest / (u @ w @ v) - 1)] if step in STEPS else []
    return Table(
        "Largest singular value of 100 x 100 weights by He after division, minus 1, by steps of the power iteration "
        "from a random start.",
        ("steps", "above 1"),
        tuple((step, float(above)) for step, above in rows),
    )
