"""How the updates of blocks are made: by one compiled function where the net's trace is known, else step by step, on a GPU by a recording."""

from __future__ import annotations

import torch
from torch import Tensor

from folklore.core.blocks import Block, one_by_one
from folklore.core.networks import Layout, Parameters
from folklore.core.recorded import Recorded, Updates, as_graph
from folklore.core.steps import Hyper, Rule, State, make_step
from folklore.core.traced_updates import make_updates
from folklore.core.traces import fits, trace_of


def updating(layout: Layout, rule: Rule, device: torch.device) -> Updates:
    """A function that makes the updates of a block, of many blocks."""
    if device.type == "cuda":
        return Recorded(make_step(layout, rule), as_graph)
    return unrecorded(layout, rule)


def unrecorded(layout: Layout, rule: Rule) -> Updates:
    """A function that makes the updates of a block."""
    trace, step = trace_of(layout, rule), make_step(layout, rule)

    def updates(parameters: Parameters, state: State, hyper: Hyper, block: Block) -> list[Tensor]:
        if trace and fits(trace, parameters, block):
            return make_updates(trace, rule, parameters, state, hyper, block)
        return one_by_one(step, parameters, state, hyper, block)

    return updates
