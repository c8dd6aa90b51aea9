"""What claims of kind E share: central differences, relative errors, and checks made of them. float64 throughout."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    import torch

    from folklore.stats.findings import Check


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

    return Check(name, error, tolerance, error <= tolerance, form)


# Initial weights without chance, and signals through random nets. A level of `folklore.core.initializers` is given numbers of our
# choice in place of a random generator, so that what is examined is the code that trains.


def evenly(init: str, fan_in: int, fan_out: int) -> torch.Tensor:
    """Weights (in, out) of a uniform level whose draws lie at even distances: their moments are those of its law to 1/(in out)^2."""
    import numpy as np

    return _from(init, fan_in, fan_out, lambda shape: ((np.arange(np.prod(shape)) + 0.5) / np.prod(shape)).reshape(shape))


def all_nets(init: str, widths: Sequence[int]) -> list[torch.Tensor]:
    """Every net whose weights are either of the two Gauss nodes of the level's law: a (nets, in, out) for each layer.

    A mean over these nets is the exact expectation of whatever has degree 3 or less in each single weight.
    """
    import numpy as np
    import torch

    fans = list(pairwise(widths))
    sizes = [a * b for a, b in fans]
    high = torch.from_numpy(np.arange(2 ** sum(sizes))[:, None] >> np.arange(sum(sizes)) & 1 == 1)
    parts = high.split(sizes, dim=1)
    return [
        torch.where(part.view(-1, *fan), *(_from(init, *fan, _node(sign)) for sign in (1, -1)))
        for part, fan in zip(parts, fans, strict=True)
    ]


def random_powers(init: str, widths: Sequence[int], activation: str | None, nets: int, seed: int) -> np.ndarray:
    """Mean square (layers, nets) of the pre-activations of random nets, each with an input of its own from N(0, 1)."""
    import numpy as np
    import torch

    from folklore.core import activations, initializers

    rng, level = np.random.default_rng(seed), getattr(initializers, init)
    bend = getattr(activations, activation) if activation else torch.Tensor.clone
    x, powers = torch.from_numpy(rng.standard_normal((nets, 1, widths[0]))), []
    for fan_in, fan_out in pairwise(widths):
        h = x @ torch.from_numpy(np.stack([level(rng, fan_in, fan_out) for _ in range(nets)]))
        powers.append((h**2).mean(dim=(1, 2)).numpy())
        x = bend(h)
    return np.stack(powers)


def _node(sign: int) -> Callable[[tuple[int, int]], np.ndarray]:
    """One of the two Gauss nodes in place of random numbers: of the uniform law on (0, 1) if asked for those, else of N(0, 1)."""
