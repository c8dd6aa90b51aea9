"""What claims of kind E share: central differences, relative errors, and checks made of them. float64 throughout."""

from __future__ import annotations

from itertools import pairwise
from types import SimpleNamespace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy as np
    import torch

    from folklore.stats.findings import Check

    Activation = Callable[[torch.Tensor], torch.Tensor]


def slope(loss: Callable[[], torch.Tensor], tensor: torch.Tensor, step: float = 1e-5) -> torch.Tensor:
    """Central difference of `loss` by every entry of a tensor that it reads; the tensor is left as it was."""
    import torch

    slopes, flat = torch.empty_like(tensor), tensor.view(-1)
    for i in range(flat.numel()):
        here = float(flat[i])
        flat[i] = here + step
        above = loss()
        flat[i] = here - step
        slopes.view(-1)[i] = (above - loss()) / (2 * step)
        flat[i] = here
    return slopes


def relative_error(found: torch.Tensor, truth: torch.Tensor) -> float:
    """Largest error in units of the largest true entry."""
    return float((found - truth).abs().max() / truth.abs().max())


def check(name: str, error: float, tolerance: float, form: str) -> Check:
    """Holds when the error is tolerated. form: see `folklore.stats.findings.Check`."""
    from folklore.stats.findings import Check

    return Check(name, float(error), tolerance, bool(error <= tolerance), form)


def dropped(units: int, keep: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Every pattern of dropped (0) and kept (1) units, (2^units, units), and the probability of each."""
    import torch

    patterns = torch.cartesian_prod(*[torch.tensor([0.0, 1.0], dtype=torch.float64)] * units).view(-1, units)
    kept = patterns.sum(dim=1)
    return patterns, keep**kept * (1 - keep) ** (units - kept)


# Initial weights without chance. A level of `folklore.core.initializers` is given chosen numbers in place of random ones, so that
# what is examined is the code that trains.


def even_weights(init: str, fan_in: int, fan_out: int) -> torch.Tensor:
    """Weights (in, out) of a uniform level from evenly spaced draws: its law's variance to a relative 1/(in out)^2."""
    import numpy as np

    def evenly(shape: tuple[int, int]) -> np.ndarray:
        return ((np.arange(fan_in * fan_out) + 0.5) / (fan_in * fan_out)).reshape(shape)

    return _weights(init, fan_in, fan_out, SimpleNamespace(random=evenly))


def all_nets(init: str, widths: Sequence[int]) -> list[torch.Tensor]:
    """Every net whose weights are one of the two Gauss nodes of the level's law, a tensor (nets, in, out) for each layer.

    A mean over these nets is the exact expectation of anything that has degree 3 or less in each single weight.
    """
    import torch

    fans = list(pairwise(widths))
    sizes = [fan_in * fan_out for fan_in, fan_out in fans]
    bits = (torch.arange(2 ** sum(sizes))[:, None] >> torch.arange(sum(sizes))) & 1 == 1
    return [
        torch.where(part.view(-1, *fan), *(_weights(init, *fan, _nodes(sign)) for sign in (1, -1)))
        for part, fan in zip(bits.split(sizes, dim=1), fans, strict=True)
    ]


def unit_inputs(width: int) -> torch.Tensor:
    """Eight inputs (1, 8, width), each column with mean 0 and variance 1."""
    import numpy as np
    import torch

    x = np.random.default_rng(width).standard_normal((1, 8, width))
    return torch.from_numpy((x - x.mean(axis=1)) / x.std(axis=1))


def powers(
    weights: Sequence[torch.Tensor], x: torch.Tensor, activation: Activation | None = None
) -> torch.Tensor:
    """Mean square (layers,) of the pre-activations of these nets, all nets, inputs and units together."""
    import torch

    found = []
    for w in weights:
        h = x @ w
        found.append((h**2).mean())
        x = activation(h) if activation else h
    return torch.stack(found)


def random_powers(init: str, widths: Sequence[int], activation: str | None, nets: int) -> np.ndarray:
    """Mean squares (layers, nets) of the pre-activations of random nets, each with an input of its own from N(0, 1)."""
    import numpy as np
    import torch

    from folklore.core import activations, initializers

    rng, level = np.random.default_rng(len(widths)), getattr(initializers, init)
    x, found = torch.from_numpy(rng.standard_normal((nets, 1, widths[0]))), []
    for fan_in, fan_out in pairwise(widths):
        h = x @ torch.from_numpy(np.stack([level(rng, fan_in, fan_out) for _ in range(nets)]))
        found.append((h**2).mean(dim=(1, 2)).numpy())
        x = getattr(activations, activation)(h) if activation else h
    return np.stack(found)


def _weights(init: str, fan_in: int, fan_out: int, draws: SimpleNamespace) -> torch.Tensor:
    import torch

    from folklore.core import initializers

    return torch.from_numpy(getattr(initializers, init)(draws, fan_in, fan_out))


def _nodes(sign: int) -> SimpleNamespace:
    """The upper or the lower node in place of all draws, for the uniform law on (0, 1) and for the standard normal one."""
    import numpy as np

    return SimpleNamespace(
        random=lambda shape: np.full(shape, (1 + sign / np.sqrt(3)) / 2),
        standard_normal=lambda shape: np.full(shape, float(sign)),
    )
