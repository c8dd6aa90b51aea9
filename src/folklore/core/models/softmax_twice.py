"""A bug on purpose: a fully connected net that ends in a softmax, before a loss that takes one itself."""

from __future__ import annotations

import torch
from torch import Tensor

from folklore.core.models import mlp
from folklore.core.models.mlp import anatomy
from folklore.core.networks import Pass

__all__ = ["anatomy", "forward"]


def forward(net: Pass, x: Tensor) -> Tensor:
    return torch.softmax(mlp.forward(net, x), dim=2)
