"""Blocks of updates: what is drawn ahead for several updates, and the updates made one after the other."""

from __future__ import annotations

from dataclasses import dataclass, replace

from torch import Tensor

from folklore.core.networks import Parameters
from folklore.core.sources import Source
from folklore.core.steps import Hyper, State, Step

Site = tuple[str, int]


@dataclass(frozen=True)
class Block:
    """Inputs x (S, R, B, F) and labels y (S, R, B) of S updates; factors by site (S, R, m, n), `fixed` ones (R, m, n); what the schedule
    multiplies the rate by in each update, and the number of the first of them, from 1.
    """

    x: Source
    y: Tensor
    factors: dict[Site, Source]
    fixed: dict[Site, Tensor]
    rates: list[float]
    first: int

    def __len__(self) -> int:
        return len(self.rates)

    def cut(self, start: int, stop: int) -> Block:
        """The updates start .. stop - 1 of these."""
        part = slice(start, stop)
        factors = {site: factor.cut(part) for site, factor in self.factors.items()}
        first = self.first + start
        return replace(
            self, x=self.x.cut(part), y=self.y[part], factors=factors, rates=self.rates[part], first=first
        )


def one_by_one(step: Step, parameters: Parameters, state: State, hyper: Hyper, block: Block) -> list[Tensor]:
    """The losses (R,) of every update."""
    losses, x = [], block.x.tensor
    own = {site: factor.tensor for site, factor in block.factors.items()}
    for i, rate in enumerate(block.rates):
        now = hyper | {"lr": hyper["lr"] * rate}
        factors = block.fixed | {site: factor[i] for site, factor in own.items()}
        losses.append(step(parameters, state, now, x[i], block.y[i], factors, float(block.first + i)))
    return losses
