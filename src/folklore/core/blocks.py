"""Blocks of updates: what is drawn ahead for several updates, and the updates made one after the other."""

from __future__ import annotations

from dataclasses import dataclass, replace

from torch import Tensor

from folklore.core.networks import Parameters
from folklore.core.steps import Hyper, State, Step

Site = tuple[str, int]


@dataclass(frozen=True)
class Block:
    """Inputs x (S, R, B, F) and labels y (S, R, B) of S updates; factors by site (S, R, ...), `fixed` ones (R, ...); what the schedule
    multiplies the rate by in each update, and the number of the first of them, from 1.
    """

    x: Tensor
    y: Tensor
    factors: dict[Site, Tensor]
    fixed: dict[Site, Tensor]
    rates: list[float]
    first: int

    def __len__(self) -> int:
        return len(self.rates)

    def cut(self, start: int, stop: int) -> Block:
        """The updates start .. stop - 1 of these."""
        part = slice(start, stop)
        factors = {site: factor[part] for site, factor in self.factors.items()}
        first = self.first + start
        return replace(
            self, x=self.x[part], y=self.y[part], factors=factors, rates=self.rates[part], first=first
        )


def one_by_one(step: Step, parameters: Parameters, state: State, hyper: Hyper, block: Block) -> list[Tensor]:
    """The losses (R,) of every update."""
    losses = []
    for i, rate in enumerate(block.rates):
        now = hyper | {"lr": hyper["lr"] * rate}
        factors = block.fixed | {site: factor[i] for site, factor in block.factors.items()}
        losses.append(step(parameters, state, now, block.x[i], block.y[i], factors, float(block.first + i)))
    return losses
