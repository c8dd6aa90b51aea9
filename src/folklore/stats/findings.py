"""From the frame of a study to a finding: contrasts of arms, replicate by replicate, on the main ground and on every other one.

A frame has one row a run with the columns of the store and `phase`, `variant`, `arm`, `replicate`, `edge`, `lr`. Nearly every claim is
a linear contrast of a per-run measure: +1 and -1 on two arms, a difference of differences, a slope over the logarithm of a factor.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from scipy import stats

from folklore.stats.curves import steps_to
from folklore.stats.estimates import Estimate, equivalence_p, estimate, t_interval
from folklore.stats.verdicts import Verdict, decide, decide_equivalence

# of the columns of a frame, those that a contrast and its notes need beside the measure
_NEEDED = ["variant", "phase", "arm", "replicate", "status", "lr", "edge"]

Weights = Mapping[str, float]
Measure = Callable[[pd.DataFrame], pd.Series]


def measured(name: str) -> Measure:
    """What a run's procedure or probe has measured under this name; NaN where it has not."""
    return lambda runs: runs["measures"].map(lambda found: found.get(name, np.nan)).astype(float)


@dataclass(frozen=True)
class Row:
    """One arm of the table: mean of its measure with a 95 % interval."""

    arm: str
    mean: float | None
    lo: float | None
    hi: float | None
    n: int
    diverged: int
    lr: float | None
    edge: str
    variant: str


@dataclass(frozen=True)
class Robust:
    """The same question on other ground."""

    label: str
    verdict: Verdict
    estimate: Estimate


@dataclass(frozen=True)
class Check:
    """An exact check. form: "printed" as the lecture has it, "right" the corrected form, "derived" something that must follow."""

    name: str
    error: float
    tolerance: float
    holds: bool
    form: str = "right"


@dataclass(frozen=True)
class Table:
    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple, ...]


@dataclass(frozen=True)
class Finding:
    """What `judge` returns. estimate is None for purely exact claims; p: of the primary test, which need not be the estimate's.

    undecidable: why these runs can decide nothing, whatever the numbers are (all diverged, none reached the target); else empty.
    charge: what p-values of an effect are multiplied by for looks at the study before; no claim's own business, see `folklore.looks`.
    """

    estimate: Estimate | None = None
    p: float | None = None
    equivalence: bool = False
    rows: tuple[Row, ...] = ()
    robustness: tuple[Robust, ...] = ()
    checks: tuple[Check, ...] = ()
    tables: tuple[Table, ...] = ()
    notes: tuple[str, ...] = ()
    diverged: int = 0
    undecidable: str = ""
    charge: float = 1.0

    @property
    def p_charged(self) -> float | None:
        """p with what looks have spent. They have nothing to do with a test of equivalence, which is made at the end only."""
        return self.p if self.p is None or self.equivalence else min(1.0, self.p * self.charge)

    def verdict(self, delta: float, p_corrected: float | None, p_apart: float | None = None) -> Verdict:
        """The verdict with a corrected p-value (None: the finding's own); p_apart: where no difference is predicted, that of one."""
        if self.estimate is None:
            return self.exact()
        if self.undecidable:
            return Verdict("inconclusive")
        p = self.p if p_corrected is None else p_corrected
        found = self.estimate.interval, self.estimate.interval90, delta, p
        verdict = decide_equivalence(*found, p_apart or 0.0) if self.equivalence else decide(*found)
        exact = self.exact()
        if self.checks and verdict.verdict == "supported" and exact.verdict == "fails":
            return Verdict("refuted", "formula")
        return verdict

    def exact(self) -> Verdict:
        """Holds when every check of what the claim says holds: all but what follows where there are printed forms, else all."""
        printed = any(c.form == "printed" for c in self.checks)
        said = [c for c in self.checks if c.form != "derived"] if printed else self.checks
        return Verdict("holds" if said and all(c.holds for c in said) else "fails")


def contrast(
    runs: pd.DataFrame,
    weights: Weights | Mapping[str, Weights],
    delta: float,
    *,
    measure: Measure | str = "test_accuracy",
    equivalence: bool = False,
    test: Callable[[pd.DataFrame], float] | None = None,
    diverged: str = "count at chance",
) -> Finding:
    """A finding from a contrast of arms (sum of weight x measure, replicate by replicate), positive as the claim predicts.

    weights: arm -> weight, or variant -> weights where the arms differ. test: a p-value from a variant's runs that must be small, too
    (the larger of it and the t-test's is used). Variants other than "main", and the rates of a halved grid, become robustness rows.
    diverged: what runs do that have, in a note. Where most runs of all the arms have, the ground can decide nothing.
    """
    measures = runs[measure] if isinstance(measure, str) else measure(runs)
    whole, runs = (
        runs,
        runs[_NEEDED].assign(measure=measures),
    )  # rows of few columns are taken in a quarter of the time
    tested = whole.assign(measure=measures) if test else runs
    by_variant = (
        weights
        if isinstance(next(iter(weights.values())), Mapping)
        else {v: weights for v in runs["variant"].unique()}
    )

    def judged(variant: str, phase: str) -> tuple[Estimate, float] | None:
        mine = _ground(half_grid(tested) if phase == "half" else tested, variant, phase)
        d = differences(mine, by_variant[variant])
        if len(d) < 2:
            return None
        found = estimate(d)
        p = equivalence_p(d, delta) if equivalence else found.p
        return found, max(p, test(mine)) if test else p

    main = judged("main", "confirm")
    if main is None:
        raise ValueError("fewer than two complete replicates of the main contrast")
    rule = decide_equivalence if equivalence else decide
    lost = bool((runs["status"] == "diverged").any())  # judging asks hundreds of times, and seldom has any
    robust = []
    for label, variant, phase in _other_grounds(runs):
        result = judged(variant, phase) if variant in by_variant else None
        if result is not None:
            found, p = result
            void = lost and _void(_ground(runs, variant, phase), by_variant[variant])
            said = Verdict("inconclusive") if void else rule(found.interval, found.interval90, delta, p)
            robust.append(Robust(label, said, found))
    confirmed = _ground(runs, "main", "confirm")
    used = confirmed[confirmed["arm"].isin(by_variant["main"])]
    return Finding(
        main[0],
        main[1],
        equivalence,
        arm_rows(runs),
        tuple(robust),
        notes=_divergence_note(used, by_variant["main"], diverged) + _edge_note(runs),
        diverged=int((confirmed["status"] == "diverged").sum()),
        undecidable=_void(used, by_variant["main"]) if lost else "",
    )


def _ground(runs: pd.DataFrame, variant: str, phase: str) -> pd.DataFrame:
    """The runs of a variant and phase."""
    return runs[(runs["variant"].to_numpy() == variant) & (runs["phase"].to_numpy() == phase)]


def _void(runs: pd.DataFrame, weights: Weights) -> str:
    """Why runs of compared arms can decide nothing: pairs that both diverged agree to the last digit, and say nothing."""
    used = runs[runs["arm"].isin(weights)]
    lost = used["status"].eq("diverged").groupby(used["arm"]).mean().min()
    how = "Every run" if lost == 1 else "Most runs" if lost > 0.5 else ""
    return how and f"{how} of the compared arms diverged."


def differences(runs: pd.DataFrame, weights: Weights) -> np.ndarray:
    """Per replicate, the weighted sum of the arms' measures (n,); replicates that miss an arm are left out, of doubles the first counts.

    Judging asks for it hundreds of times, on small frames: a table filled by index takes a tenth of the time of a pivot.
    """
    places = {arm: place for place, arm in enumerate(weights)}
    column = np.array([places.get(arm, -1) for arm in runs["arm"].tolist()], dtype=int)
    mine = column >= 0
    replicates, row = np.unique(runs["replicate"].to_numpy()[mine], return_inverse=True)
    wide = np.full((len(replicates), len(weights)), np.nan)
    wide[row[::-1], column[mine][::-1]] = runs["measure"].to_numpy(dtype=float)[mine][::-1]
    return wide[~np.isnan(wide).any(axis=1)] @ np.array(list(weights.values()))


def half_grid(runs: pd.DataFrame) -> pd.DataFrame:
    """The confirmed runs as they would be with half as many rates: phase "half" where the rate differs, else the confirmed ones."""
    half = runs[runs["phase"] == "half"]
    if half.empty:
        return half
    other = set(zip(half["variant"], half["arm"], strict=True))
    same = runs[
        (runs["phase"] == "confirm")
        & ~pd.Series(list(zip(runs["variant"], runs["arm"], strict=True)), index=runs.index).isin(other)
    ]
    return pd.concat([half, same]).assign(phase="half")


def speed_contrast(
    runs: pd.DataFrame, slow: str, fast: str, targets: Mapping[str, float], delta: float
) -> Finding:
    """log2 of the updates to the target of `slow` minus those of `fast`; the log-rank test must agree, in its sign, too. targets: by variant."""
    parts = [
        steps_measure(target)(runs[runs["variant"] == variant])
        for variant, target in targets.items()
        if (runs["variant"] == variant).any()
    ]
    steps = pd.concat(parts).reindex(runs.index)
    tests = {variant: log_rank(target, slow, fast) for variant, target in targets.items()}

    def test(mine: pd.DataFrame) -> float:
        return tests[mine["variant"].iloc[0]](mine)

    finding = contrast(
        runs,
        {slow: 1.0, fast: -1.0},
        delta,
        measure=lambda frame: steps.loc[frame.index],
        test=test,
        diverged="count with the whole budget unless they came to the target before",
    )
    note, silent = _censored(runs, steps, (slow, fast), "main")
    rows = tuple(
        replace(row, verdict=Verdict("inconclusive"))
        if row.label in targets and _censored(runs, steps, (slow, fast), row.label)[1]
        else row
        for row in finding.robustness
    )
    return replace(
        finding, robustness=rows, notes=(note, *finding.notes), undecidable=finding.undecidable or silent
    )


def _censored(runs: pd.DataFrame, steps: pd.Series, arms: tuple[str, str], ground: str) -> tuple[str, str]:
    """Restricted means of both arms with the number that never arrived, and why the comparison is void if most of both did not."""
    mine = runs[(runs["phase"] == "confirm") & (runs["variant"] == ground) & runs["arm"].isin(arms)]
    words, shares = [], []
    for arm, group in mine.groupby("arm", sort=False):
        updates = 2 ** steps.loc[group.index]
        never = updates > group["updates"] - 0.5  # the logarithm and back may lose the last bit
        shares.append(never.mean())
        words.append(
            f"{arm} {updates.mean():,.0f}"
            + (f" ({never.sum()} of {len(group)} never arrived)" if never.any() else "")
        )
    note = f"Mean updates to the target, restricted to the budget: {', '.join(words)}."
    return note, "Most runs of both arms never reached the target within the budget." if min(
        shares, default=0.0
    ) > 0.5 else ""


def steps_measure(target: float) -> Measure:
    """log2 of the updates to the training loss `target`, censored at the budget."""

    def measure(runs: pd.DataFrame) -> pd.Series:
        return np.log2(np.minimum(pd.Series(_arrivals(target, runs), index=runs.index), runs["updates"]))

    return measure


def _arrivals(target: float, runs: pd.DataFrame) -> np.ndarray:
    """Updates to the target of each run (n,), inf where it never comes; of those with the same marks at once."""
    together = defaultdict(list)
    for place, marks in enumerate(runs["loss_step"]):
        together[tuple(marks)].append(place)
    found, curves = np.empty(len(runs)), runs["loss_curve"].tolist()
    for marks, places in together.items():
        losses = np.array([curves[place] for place in places], dtype=float)
        found[places] = steps_to(target, np.array(marks), losses)
    return found


def log_rank(target: float, slow: str, fast: str) -> Callable[[pd.DataFrame], float]:
    """p-value of the log-rank test between the times to the target of two arms, runs that never reach it censored at the budget.

    1 where the test and the mean of the logarithms point in different directions, and where there is no variance.
    """

    def test(runs: pd.DataFrame) -> float:
        times, late = [], []
        for arm in (fast, slow):
            mine = runs[runs["arm"] == arm]
            if mine.empty:
                return 1.0
            reached = _arrivals(target, mine)
            spent = np.minimum(reached, mine["updates"].to_numpy(dtype=float))
            times.append(stats.CensoredData.right_censored(spent, ~np.isfinite(reached)))
            late.append(np.log2(spent).mean())
        with np.errstate(all="ignore"):
            found = stats.logrank(*times)
        # above 0 where more of the fast ones arrive than would by chance
        agree = found.statistic * (late[1] - late[0]) > 0
        return float(found.pvalue) if agree else 1.0

    return test


def arm_rows(runs: pd.DataFrame) -> tuple[Row, ...]:
    """The table of arms: confirmed runs, main ground first."""
    confirmed = runs[runs["phase"] == "confirm"]
    rows = []
    for (variant, arm), group in confirmed.groupby(["variant", "arm"], sort=False):
        values = group["measure"].dropna().to_numpy(dtype=float)
        mean = float(values.mean()) if len(values) else None
        low, high = _interval(values)
        lr, edge = group["lr"].iloc[0], group["edge"].iloc[0]
        diverged = int((group["status"] == "diverged").sum())
        rows.append(Row(arm, mean, low, high, len(values), diverged, float(lr), str(edge), variant))
    return tuple(sorted(rows, key=lambda row: row.variant != "main"))


def _interval(values: np.ndarray) -> tuple[float | None, float | None]:
    if len(values) < 2:
        return None, None
    if np.ptp(values) == 0:
        return float(values[0]), float(values[0])
    return t_interval(values, 0.95)


def _other_grounds(runs: pd.DataFrame) -> list[tuple[str, str, str]]:
    """What the report calls it, its variant and its phase."""
    grounds = [(label, label, "confirm") for label in runs["variant"].unique() if label != "main"]
    halved = (runs["phase"].to_numpy() == "half").any()
    return [*grounds, *[("half as many rates", "main", "half")] * bool(halved)]


def _divergence_note(used: pd.DataFrame, weights: Weights, how: str) -> tuple[str, ...]:
    """The effect without the diverged runs, where there are any."""
    bad = used["status"] == "diverged"
    if not bad.any():
        return ()
    d = differences(used[~bad], weights)
    shown = (
        f"the mean effect without them is {d.mean():.4g} (raw units, n = {len(d)})"
        if len(d)
        else "no replicate is complete without them"
    )
    return (f"{int(bad.sum())} of {len(used)} runs diverged and {how}; {shown}.",)


def _edge_note(runs: pd.DataFrame) -> tuple[str, ...]:
    flagged = runs[(runs["edge"] != "") & (runs["phase"] == "confirm")][
        ["variant", "arm", "edge"]
    ].drop_duplicates()
    if flagged.empty:
        return ()
    arms = ", ".join(
        f"{r.arm} ({r.edge} end{'' if r.variant == 'main' else ', ' + r.variant})"
        for r in flagged.itertuples()
    )
    return (f"The best learning rate still sat at an end of its widened grid for {arms}.",)
