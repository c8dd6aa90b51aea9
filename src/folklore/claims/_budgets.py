"""What claims about the batch size share: the budget of each batch size, and whether its training loss had levelled off."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from folklore.stats.findings import Table


def budgets(runs: pd.DataFrame, share: float = 0.1) -> Table:
    """Updates and epochs of each batch size on the main ground, beside what became of its training loss.

    Where all made equally many updates, the last column is the fall over the last `share` of them; else the loss after as many updates
    as the largest batch made.
    """
    from folklore.stats.findings import Table

    main = runs[(runs["variant"] == "main") & (runs["phase"] == "confirm")]
    common, equal = int(main["updates"].min()), main["updates"].nunique() == 1
    rows = []
    for batch, group in main.groupby("batch_size"):
        updates, losses = int(group["updates"].iloc[0]), _finite_curves(group)
        epochs = updates * batch / group["n_train"].iloc[0]
        told = fall(group, share) if equal else _loss_after(common, group["loss_step"].iloc[0], losses)
        rows.append((f"batch {batch}", f"{updates:,}", f"{epochs:.0f}", _median(losses[:, -1:]), told))
    budget = "Equally many updates" if equal else "Equally many epochs, hence equally many operations"
    last = f"fall over the last {100 * share:.0f} %" if equal else f"loss after {common:,}"
    how = f"its {last}" if equal else f"after the {common:,} updates that the largest batch made"
    how += "" if all(row[-1] for row in rows) else " (empty where its curve is too coarse to tell)"
    return Table(
        f"{budget}. Median training loss at the end, and {how}.",
        ("arm", "updates", "epochs", "loss at the end", last),
        tuple(rows),
    )


def fall(runs: pd.DataFrame, share: float) -> str:
    """How far the training loss fell over the last `share` of training: the median over runs, in percent of the loss at its start."""
    import numpy as np

    losses = _finite_curves(runs)
    start = losses[:, -max(2, int(share * losses.shape[1]))]
    falls = 1 - losses[start > 0, -1] / start[start > 0]
    return f"{100 * np.median(falls):.0f} %" if len(falls) else "not measurable"


def _finite_curves(runs: pd.DataFrame) -> np.ndarray:
    """Training losses (runs, points) of the runs that did not diverge."""
    import numpy as np

    curves = np.stack([np.asarray(curve, dtype=float) for curve in runs["loss_curve"]])
    return curves[np.isfinite(curves).all(axis=1)]


def _loss_after(update: int, steps: list[int], losses: np.ndarray) -> str:
    """Median loss in the stretch of the curve that holds this update; nothing where the first stretch reaches far beyond it."""
    import numpy as np

    place = int(np.searchsorted(steps, update))
    return _median(losses[:, place : place + 1]) if steps[0] <= update else ""


def _median(values: np.ndarray) -> str:
    import numpy as np

    return f"{np.median(values):.2f}" if values.size else ""
