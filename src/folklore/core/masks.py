"""What dropout drops, one function a level: factors for the sites of a net, for a block of updates.

(draws, batch size, anatomy of the net) -> factor by site, each (S, R, ...) and 0 or 1/(1 - rate), or None where nothing is dropped.
Sites: ("input", 0), factor (.., B, F); ("unit", i) after the activation of hidden layer i, factor (.., B * positions, H);
("weight", i), factor (.., in, out). Adding a level is adding a public function here.
"""

from __future__ import annotations

from torch import Tensor

from folklore.core.draws import Draws
from folklore.core.networks import Anatomy

Site = tuple[str, int]


def units(draws: Draws, batch: int, anatomy: Anatomy) -> dict[Site, Tensor | None]:
    """Hidden units, for every row anew (Srivastava et al. 2014)."""
    return {
        ("unit", i): draws.keep(f"dropout/{i}", (batch * positions, width))
        for i, (positions, width) in enumerate(anatomy.dropped)
    }
