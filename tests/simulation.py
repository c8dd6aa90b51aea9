"""Simulated studies: frames as a claim's judge gets them, with an effect planted that the judge has to find.

Every run has a latent number, "how well it did, as the claim measures it". Runs of a group (an arm, or a level of the factor that
the claim is about) share a shift. A model of `simulated_claims` writes the columns that follow from the latents: accuracies, loss
curves, losses, gradient norms. A claim that is not listed there is simulated, too, where its measure is one of the general model's, with
the direction that its judge takes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from functools import cache, cached_property

import numpy as np
import pandas as pd

from folklore.claims.base import LoadedClaim
from folklore.config import compose
from folklore.frames import plain_texts
from folklore.grid import CONFIRM, TUNE, Cell
from folklore.schema import Config
from folklore.stats.findings import Finding
from folklore.studies import cells, studies
from simulated_claims import MODELS, POINTS, Model, Signs

FEW = 3  # replicates


class Simulator:
    """Studies of one claim: its main ground alone, or `everything`: all grounds of the `full` profile, other rates and the halved grid."""

    def __init__(
        self, claim: LoadedClaim, *, replicates: int | None = None, everything: bool = False
    ) -> None:
        self.claim, self.model = claim, MODELS.get(claim.id, Model())
        self.target = float(claim.criterion.settings.get("main", claim.criterion.settings.get("target", 1.0)))
        mine = [
            c
            for c in _cells(claim.study, "full" if everything else "laptop")
            if everything or c.variant == "main"
        ]
        self.template = plain_texts(template(mine, replicates, everything))
        self.groups = sorted(set(self.template[self.model.group]), key=str)
        self._unit()
        self.sigma = 0.0

    def _unit(self) -> None:
        """Which runs share a latent."""
        frame = self.template
        if not self.model.shared:
            frame["unit"] = np.arange(len(frame))
            return
        keys = [frame["variant"], frame[self.model.group], frame["phase"], frame["replicate"]]
        frame["unit"] = pd.Series(zip(*keys, strict=True)).factorize()[0]

    def frame(self, shifts: Signs, rng: np.random.Generator) -> pd.DataFrame:
        """One study; shifts by group, in units of the latent."""
        frame = self.template.copy(deep=False)
        noise = self.sigma * rng.standard_normal(int(frame["unit"].max()) + 1)
        z = noise[frame["unit"]] + frame[self.model.group].map(shifts).fillna(0.0).to_numpy(dtype=float)
        self.model.write(frame, z, self.target, rng)
        return frame.copy()  # columns of a kind side by side again, of which rows are taken at once

    def judge(self, frame: pd.DataFrame) -> Finding:
        return self.claim.module.judge(frame, self.claim.criterion)

    def effect(self, shifts: Signs) -> float:
        """The effect that the judge finds without any noise."""
        kept, self.sigma = self.sigma, 0.0
        finding = self.judge(self.frame(shifts, np.random.default_rng(0)))
        self.sigma = kept
        return finding.estimate.effect

    @cached_property
    def sensitivities(self) -> dict[object, float]:
        """By group. Without noise a few replicates say as much as all, unless a model of the claim's own draws numbers besides."""
        sim = self if self.claim.id in MODELS else Simulator(self.claim, replicates=FEW)
        return dict(sim.moved())

    def moved(self) -> Iterator[tuple[object, float]]:
        """How the judge's effect moves with each group's latent, one at a time, where it does."""
        step = 2.0 if self.model.shared else 0.02
        base = self.effect({})
        for group in self.groups:
            slope = (self.effect({group: step}) - base) / step
            if abs(slope) > 1e-6:
                yield group, slope

    def shifts(self, effect: float) -> dict[object, float]:
        """Shifts by group that plant an effect, in raw units of the claim's criterion."""
        weights = self.sensitivities
        signs = self.model.favoured or weights
        if self.model.shared:  # counted in whole octaves: right on average, not in one noiseless study
            slope = sum(weights[g] * signs[g] for g in signs)
        else:
            step = 0.02
            slope = (self.effect({g: step * s for g, s in signs.items()}) - self.effect({})) / step
        return {g: effect * s / slope for g, s in signs.items()}

    def spread_to(self, sd: float) -> Simulator:
        """Set the noise so that the replicates of the effect spread by `sd`."""
        self.sigma = sd
        for attempt in range(4):
            rng = np.random.default_rng(attempt)
            found = np.mean([self.judge(self.frame({}, rng)).estimate.sd ** 2 for _ in range(6)]) ** 0.5
            self.sigma *= min(max(sd / found, 0.3), 3.0)
        return self


def plants(claim: LoadedClaim) -> bool:
    """Whether the general model can plant an effect of a claim that MODELS does not know, a user's own for instance."""
    return any(Simulator(claim, replicates=FEW).moved())


@cache
def composed(profile: str) -> Config:
    """Half a second of Hydra's, and the same for all claims."""
    return compose([f"profile={profile}"])


@cache
def _cells(study: str, profile: str) -> tuple[Cell, ...]:
    config = composed(profile)
    (mine,) = [s for s in studies(config.profile) if s.name == study]
    return tuple(cells(mine, config))


def template(mine: Sequence[Cell], replicates: int | None, everything: bool) -> pd.DataFrame:
    """All rows of a study without its results."""
    rows = [row for cell in mine for row in _rows(cell, replicates, everything)]
    frame = pd.DataFrame(rows)
    frame["run_key"] = [f"{i:024x}" for i in range(len(frame))]
    frame["status"], frame["diverged_step"] = "ok", np.nan
    for name in ("val_loss", "test_loss"):
        frame[name] = 1.0
    steps = {u: [round(u * (i + 1) / POINTS) for i in range(POINTS)] for u in set(frame["updates"])}
    frame["loss_step"] = [steps[u] for u in frame["updates"]]
    frame["val_step"], frame["val_curve"] = [[1]] * len(frame), [[0.5]] * len(frame)
    frame["grad_norms"] = [[0.1] * (d + 1) for d in frame["depth"]]
    frame["measures"] = [{}] * len(frame)
    return frame


def _rows(cell: Cell, replicates: int | None, everything: bool) -> list[dict]:
    """Tuning runs at the chosen rate (and its neighbours), confirmed runs, and those of the halved grid."""
    chosen = cell.center if cell.tuned else cell.run.lr or 0.02 * cell.times
    count = min(replicates or cell.replicates, cell.replicates)
    rows = []
    if cell.tuned:
        rates = (chosen / 2, chosen, 2 * chosen) if everything else (chosen,)
        rows += [_row(cell, "tune", i, lr, lr == chosen) for lr in rates for i in range(cell.tuning_seeds)]
    rows += [_row(cell, "confirm", i, chosen, True) for i in range(count)]
    if everything and cell.tuned:
        rows += [_row(cell, "half", i, 2 * chosen, False) for i in range(min(count, cell.half_replicates))]
    return rows


def _row(cell: Cell, phase: str, replicate: int, lr: float, chosen: bool) -> dict:
    first = TUNE if phase == "tune" else CONFIRM
    run = replace(cell.run, lr=lr, seed=first + replicate, score_test=phase != "tune")
    labels = {"phase": phase, "variant": cell.variant, "arm": cell.label, "cell": cell.key}
    return asdict(run) | labels | {"replicate": replicate, "chosen": chosen, "edge": ""}
