"""What dropout drops, one function a level: factors for the sites of a net, for a block of updates.

(draws, batch size, anatomy of the net) -> factor by site, each (S, R, m, n) and 0 or 1/(1 - rate), or None where nothing is dropped.
Sites: ("input", 0), factor (.., B, F); ("unit", i) after the activation of hidden layer i, factor (.., B * positions, H);
("weight", i), factor (.., in, out). Adding a level is adding a public function here.
"""

from __future__ import annotations

from folklore.core.draws import Draws
from folklore.core.networks import Anatomy
from folklore.core.sources import Given, Source

Site = tuple[str, int]


def units(draws: Draws, batch: int, anatomy: Anatomy) -> dict[Site, Source | None]:
    """Hidden units, for every row anew (Srivastava et al. 2014)."""
    return {
        ("unit", i): draws.kept(f"dropout/{i}", (batch * positions, width))
        for i, (positions, width) in enumerate(anatomy.dropped)
    }


def channels(draws: Draws, batch: int, anatomy: Anatomy) -> dict[Site, Source | None]:
    """Whole channels: a unit at all positions of a sample or at none (spatial dropout, Tompson et al. 2015)."""
    found = {}
    for i, (positions, width) in enumerate(anatomy.dropped):
        keep = draws.keep(f"dropout/{i}", (batch, width))
        found["unit", i] = None if keep is None else Given(keep.repeat_interleave(positions, dim=2))
    return found


def norm_noise(draws: Draws, batch: int, anatomy: Anatomy, *, amount: int) -> dict[Site, Source | None]:
    """Besides dropout of units, for the model `noisy_norm`: every update moves and stretches what each unit hands on, all rows alike.

    Sites ("scale", i) and ("shift", i) of hidden layer i: 1 and 0, give or take `amount` percent, uniform.
    """
    return units(draws, batch, anatomy) | _noise(draws, 1, anatomy, amount / 100)


def row_noise(draws: Draws, batch: int, anatomy: Anatomy, *, amount: int) -> dict[Site, Source | None]:
    """The same noise with a draw for every row: as strong, but what a unit hands on has the same distribution in all updates."""
    return units(draws, batch, anatomy) | _noise(draws, batch, anatomy, amount / 100)


def _noise(draws: Draws, rows: int, anatomy: Anatomy, size: float) -> dict[Site, Source | None]:
    return {
        (site, i): Given(draws.uniform(f"{site}/{i}", (rows, width)).mul_(2 * size).add_(middle - size))
        for i, width in enumerate(anatomy.normed)
        for site, middle in (("scale", 1.0), ("shift", 0.0))
    }


def batchwise(draws: Draws, batch: int, anatomy: Anatomy) -> dict[Site, Source | None]:
    """Hidden units, for every update anew, the same ones for all rows of the batch."""
    return {
        ("unit", i): draws.kept(f"dropout/{i}", (1, width)) for i, (_, width) in enumerate(anatomy.dropped)
    }


def frozen(draws: Draws, batch: int, anatomy: Anatomy) -> dict[Site, Source | None]:
    """Hidden units, the same ones for all rows and in every update: in truth a smaller net."""
    return {
        ("unit", i): draws.kept(f"dropout/{i}", (1, width), fresh=False)
        for i, (_, width) in enumerate(anatomy.dropped)
    }


def first(draws: Draws, batch: int, anatomy: Anatomy) -> dict[Site, Source | None]:
    """As `units`, at the first place only."""
    positions, width = anatomy.dropped[0]
    return {("unit", 0): draws.kept("dropout/0", (batch * positions, width))}


def last(draws: Draws, batch: int, anatomy: Anatomy) -> dict[Site, Source | None]:
    """As `units`, after the last hidden layer only."""
    i, (positions, width) = len(anatomy.dropped) - 1, anatomy.dropped[-1]
    return {("unit", i): draws.kept(f"dropout/{i}", (batch * positions, width))}


def inputs(draws: Draws, batch: int, anatomy: Anatomy) -> dict[Site, Source | None]:
    """Inputs, for every row anew, in nets whose first weight matrix reads them all at once."""
    return {("input", 0): draws.kept("dropout/input", (batch, anatomy.fans[0][0]))}


def weights(draws: Draws, batch: int, anatomy: Anatomy) -> dict[Site, Source | None]:
    """DropConnect (Wan et al. 2013): single weights of the matrices that read hidden units, for every update anew.

    The paper draws for every row, too, which would take as many numbers as there are weights times rows.
    """
    return {
        ("weight", i): draws.kept(f"dropout/weight/{i}", fans) for i, fans in enumerate(anatomy.fans) if i > 0
    }
