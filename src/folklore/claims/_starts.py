"""What claims about initial weights and activations share: updates to a target by ground, contrasts by depth, arms that stand still."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import pandas as pd

    from folklore.stats.findings import Table

# With ten classes and 2,000 validation rows a net that has learnt nothing stays below this in every run.
CHANCE = 0.15


def octaves(runs: pd.DataFrame, targets: Mapping[str, float]) -> pd.Series:
    """log2 of the updates to the target of each run's own ground."""
    import pandas as pd

    from folklore.stats.findings import steps_measure

    parts = [steps_measure(targets[ground])(mine) for ground, mine in runs.groupby("variant", sort=False)]
    return pd.concat(parts).reindex(runs.index) if parts else pd.Series(dtype=float)


def layers(depth: int) -> str:
    return f"{depth} layer{'s' * (depth > 1)}"


def by_depth(
    runs: pd.DataFrame,
    difference: Callable[[int], Mapping[str, float]],
    depths: Sequence[int],
    caption: str,
) -> Table:
    """A contrast of test accuracy at each depth, and how much it grows from the first to the last, in points."""
    from folklore.stats.estimates import estimate
    from folklore.stats.findings import Table, differences

    main = runs[(runs["variant"] == "main") & (runs["phase"] == "confirm")]
    main = main.assign(measure=100 * main["test_accuracy"])
    first, last = depths[0], depths[-1]
    contrasts = {layers(depth): difference(depth) for depth in depths}
    grows = {arm: -weight for arm, weight in difference(first).items()}
    contrasts[f"interaction: {last} minus {first}"] = {**difference(last), **grows}
    rows = []
    for name, weights in contrasts.items():
        d = differences(main, weights)
        if len(d) < 2:
            rows.append((name, "", "", len(d)))
            continue
        found = estimate(d, sensitivity=False)
        rows.append((name, f"{found.effect:+.1f}", "{:.1f} to {:.1f}".format(*found.interval), found.n))
    return Table(caption, ("depth", "mean", "95 % interval", "pairs"), tuple(rows))


def stalled(runs: pd.DataFrame) -> tuple[str, ...]:
    """Of arms that stand still: no rate is their best."""
    best = runs[runs["phase"] == "tune"].groupby(["arm", "variant"], sort=False)["val_accuracy"].max()
    still = [
        arm if variant == "main" else f"{arm} ({variant})"
        for (arm, variant), value in best.items()
        if value < CHANCE
    ]
    if not still:
        return ()
    return (
        f"At chance at every rate tried: {'; '.join(still)}. The rate chosen there, at an end of the grid or not, means "
        "nothing.",
    )
