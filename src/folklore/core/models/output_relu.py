"""A bug on purpose: a fully connected net with one ReLU too many, after its outputs, which can then not be negative."""

from __future__ import annotations

import torch
from torch import Tensor

from folklore.core.models import mlp
from folklore.core.models.mlp import anatomy
from folklore.core.networks import Pass

__all__ = ["anatomy", "forward"]


def forward(net: Pass, x: Tensor) -> Tensor:
    return torch.relu(mlp.forward(net, x))
