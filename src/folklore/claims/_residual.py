"""What the three claims about depth and skips share: the arms of their study, contrasts over both kinds of net, and a figure by kind."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from folklore.stats.findings import Finding, Measure

    Weights = dict[str, float]

KINDS = {"MLP": "fully connected", "CNN": "convolutional"}
DEPTHS = (9, 33)
SHALLOW, DEEP = DEPTHS
LONGER, NO_NORM = "four times the updates", "without normalisation"
SPEED = {kind: f"tuned for speed, {kind}" for kind in KINDS}
TARGETS = {"MLP": 1.45, "CNN": 0.6}  # training losses
_MODELS = {"MLP": ("mlp", "residual"), "CNN": ("cnn", "residual_cnn")}
_SIZES = {"MLP": {"width": 32, "updates": 2048}, "CNN": {"width": 16, "updates": 1024}}


def arm(kind: str, skips: bool, depth: int) -> str:
    return f"{'residual' if skips else 'plain'} {kind}, {depth} layers"


def cells(
    kinds: tuple[str, ...] = tuple(KINDS), depths: tuple[int, ...] = DEPTHS, times: float = 1
) -> tuple[dict[str, object], ...]:
    """Plain and residual nets of these kinds and depths, with `times` the updates."""
    return tuple(
        {
            "label": arm(kind, skips, depth),
            "model": _MODELS[kind][skips],
            "depth": depth,
            "width": _SIZES[kind]["width"],
            "updates": int(times * _SIZES[kind]["updates"]),
        }
        for kind in kinds
        for depth in depths
        for skips in (False, True)
    )


def over_kinds(
    runs: pd.DataFrame,
    weights: Callable[[str], Weights],
    delta: float,
    *,
    measure: Measure | str = "test_accuracy",
    equivalence: bool = False,
) -> Finding:
    """The mean over both kinds of net of a contrast (kind -> weights), on every ground over the kinds that it has; each kind as a row.

    p is 1 where the kinds do not agree: in sign or, under equivalence, where one of them differs by delta or more.
    """
    from dataclasses import replace

    from folklore.stats.findings import Robust, contrast

    present = {
        ground: [kind for kind in KINDS if set(weights(kind)) <= set(mine["arm"])]
        for ground, mine in runs.groupby("variant", sort=False)
    }
    by_ground = {
        ground: {a: w / len(kinds) for kind in kinds for a, w in weights(kind).items()}
        for ground, kinds in present.items()
        if kinds
    }

    def test(mine: pd.DataFrame) -> float:
        kinds = present[mine["variant"].iloc[0]]
        return _agree([mean(mine, weights(kind)) for kind in kinds], delta if equivalence else None)

    finding = contrast(runs, by_ground, delta, measure=measure, equivalence=equivalence, test=test)
    main, rows = runs[runs["variant"] == "main"], []
    for kind, words in KINDS.items():
        alone = contrast(main, weights(kind), delta, measure=measure, equivalence=equivalence)
        rows.append(Robust(f"{words} nets alone", alone.verdict(delta, None), alone.estimate))
    return replace(finding, robustness=(*rows, *finding.robustness))


def _agree(effects: list[float], within: float | None) -> float:
    """0 where these agree, else 1."""
    if within is not None:
        return float(any(abs(effect) >= within for effect in effects))
    return float(min(effects) < 0 < max(effects))


def mean(runs: pd.DataFrame, weights: Mapping[str, float]) -> float:
    """Mean contrast of the column `measure`; 0 where no replicate is complete."""
    from folklore.stats.findings import differences

    d = differences(runs, weights)
    return float(d.mean()) if len(d) else 0.0


def confirmed(runs: pd.DataFrame, ground: str, values: pd.Series) -> pd.DataFrame:
    """Confirmed runs of a ground with these values as `measure`."""
    return runs.assign(measure=values)[(runs["variant"] == ground) & (runs["phase"] == "confirm")]


def by_kind(draw: Callable[[Axes, str], None]) -> Figure:
    """A panel for each kind of net, with one legend."""
    from folklore.figures import claims, style

    style.apply()
    figure, axes = style.new(7.6, ncols=len(KINDS))
    for ax, (kind, words) in zip(axes, KINDS.items(), strict=True):
        draw(ax, kind)
        ax.set_title(f"{words} nets")
    claims.legend_on_top(axes[0], columns=4)
    return figure
