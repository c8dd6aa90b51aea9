"""Changes of training inputs that should not change their label, one function a level: (x (S, R, B, F), draws) -> the same shape.

Validation and test rows stay as they are. Adding a level is adding a public function here.
"""

from __future__ import annotations

from torch import Tensor

from folklore.core.draws import Draws


def none(x: Tensor, draws: Draws) -> Tensor:
    """The rows as they are."""
    return x
