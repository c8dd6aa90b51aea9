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
