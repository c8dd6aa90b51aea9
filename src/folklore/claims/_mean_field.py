"""The gradient in very wide layers, where pre-activations are normal: what one layer takes away, by the scale of its weights."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np

    Function = Callable[[np.ndarray], np.ndarray]


def decades_lost(activation: Function, slope: Function, scale: float, start: float) -> float:
    """-log10 of scale * sqrt(E[f'(h)^2]), h ~ N(0, q), where q, from `start` on, settles at scale^2 E[f(h)^2].

    slope: f' as a function of f. scale: standard deviation of the weights times sqrt n. The normal law is an even fine grid: where
    large weights make the slope a narrow peak, the nodes of Gauss's rule lie too far apart to see it.
    """
    import numpy as np

    z = np.linspace(-10, 10, 8001)
    density = np.exp(-(z**2) / 2)
    density, q = density / density.sum(), start
    for _ in range(300):
        f = activation(np.sqrt(q) * z)
        q = scale**2 * density @ f**2
    return float(-np.log10(scale * np.sqrt(density @ slope(f) ** 2))) + 0.0  # no -0
