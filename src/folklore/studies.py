"""All studies of a profile: those of the claims, and the six-factor grid of `conf/study`; scaled to the profile and cut into cells."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from omegaconf import OmegaConf

from folklore import config as configuration
from folklore.claims.base import LoadedClaim, discover
from folklore.config import central_rate
from folklore.errors import UsageError
from folklore.grid import FIELDS, Cell, Rates, Run, Study, Variant, arm_label
from folklore.schema import CONF, Config, ProfileConfig
from folklore.validation import check_run

LAPTOP_IMAGES, ALL_IMAGES = (
    8192,
    58_000,
)  # training rows of an image set that a run draws: in the laptop profile, and all of them
_CELL_WORDS = {"label", "lr_of", "lr_times"}


def studies(
    profile: ProfileConfig, claims: Iterable[LoadedClaim] | None = None, conf: Path = CONF
) -> list[Study]:
    """The studies to train, by name: each claim's own, and the files of `conf/study`."""
    claims = discover() if claims is None else claims
    own = [c.design for c in claims if isinstance(c.design, Study) and _wanted(profile, c.id, c.design.name)]
    shared = [
        _named(c.study, claims)
        for c in claims
        if isinstance(c.design, str) and _wanted(profile, c.id, c.study)
    ]
    filed = [read_study(path, profile) for path in sorted((conf / "study").glob("*.yaml"))]
    found = {s.name: s for s in [*own, *shared, *(s for s in filed if _wanted(profile, s.name))]}
    return [scaled(found[name], profile) for name in sorted(found)]


def wanted_claims(profile: ProfileConfig) -> list[LoadedClaim]:
    """Claims of this profile: all, or those that its `only` names."""
    known = {c.id for c in discover()} | {path.stem for path in (CONF / "study").glob("*.yaml")}
    for name in profile.only:
        if name not in known:
            raise UsageError(f"only={name}: no such claim or study; known are {', '.join(sorted(known))}")
    return [c for c in discover() if _wanted(profile, c.id)]


def read_study(path: Path, profile: ProfileConfig) -> Study:
    """A study written as a file; `cells_from` names a CSV of cells beside it, `factors_from` a file of factors to cross."""
    raw = OmegaConf.to_container(OmegaConf.load(path))
    table, factors = raw.pop("cells_from", None), raw.pop("factors_from", None)
    if "rates" in raw:
        raw["rates"] = Rates(**raw["rates"])
    levels = {k: tuple(v) for k, v in OmegaConf.to_container(OmegaConf.load(path.parent / factors)).items()}
    if profile.grid_cells == 0:
        return Study(**raw, factors=levels)
    cells = [_typed(row) for row in csv.DictReader((path.parent / table).read_text().splitlines())]
    _check_covers(cells, levels, path.parent / table)
    return Study(**raw, cells=tuple(_fraction(cells, profile.grid_cells)))


def cells(study: Study, base: Config) -> list[Cell]:
    """Every arm of a study and its variants, validated."""
    profile = base.profile
    found = [
        _cell(version, label, levels, base)
        for label, version in study.versions()
        for levels in version.levels_of_cells()
    ]
    labels = {(c.variant, c.label) for c in found}
    for cell in found:
        if cell.leader and (cell.variant, cell.leader) not in labels:
            raise UsageError(
                f"study {study.name}: lr_of={cell.leader}: no such arm; name the label of an arm of the study"
            )
    if len({c.key for c in found}) != len(found):
        raise UsageError(
            f"study {study.name}: two arms of profile {profile.name} are the same; give each its own label or levels"
        )
    return found


def scaled(study: Study, profile: ProfileConfig) -> Study:
    """The study as this profile trains it: replicates, rates and seeds capped, variants too."""

    rates = _capped_rates(study.rates, profile)
    capped = {
        "replicates": profile.replicates,
        "half_replicates": profile.half_replicates,
        "tuning_seeds": profile.tuning_seeds,
    }

    def capped_variant(variant: Variant) -> Variant:
        changed = {k: cap(n, capped[k]) if k in capped else n for k, n in variant.study.items()}
        if "rates" in changed:
            changed["rates"] = _capped_rates(changed["rates"], profile)
        return replace(variant, study=changed)

    variants = tuple(capped_variant(v) for v in study.variants)
    numbers = {name: cap(getattr(study, name), most) for name, most in capped.items()}
    further = profile.further_grounds and study.target is None and study.tuning_seeds > 1
    grounds = (*variants, *_further_grounds(study)) if further else variants
    return replace(study, rates=rates, variants=grounds, **numbers)


def cap(value: int, most: int | None) -> int:
    return value if most is None else min(value, most)


def _capped_rates(rates: Rates, profile: ProfileConfig) -> Rates:
    return replace(rates, count=cap(rates.count, profile.rates), widen=cap(rates.widen, profile.widen))


def _further_grounds(study: Study) -> tuple[Variant, ...]:
    """Twice the width and twice the budget, for claims. (A study of steps to a target has a target of its own for each ground.)"""
    wide = {"width": 2 * int(study.fixed.get("width", Run().width))}
    longer = {"samples": 2 * study.samples, "updates": 2 * study.updates}
    return Variant("twice the width", fixed=wide), Variant("twice the budget", study=longer)


def _cell(study: Study, variant: str, levels: dict[str, object], base: Config) -> Cell:
    words = {k: levels[k] for k in _CELL_WORDS & levels.keys()}
    changes = {**study.fixed, **{k: v for k, v in levels.items() if k not in _CELL_WORDS}}
    unknown = set(changes) - set(FIELDS)
    if unknown:
        raise UsageError(
            f"study {study.name}: {sorted(unknown)[0]}: no such factor; allowed are {', '.join(FIELDS)}"
        )
    start = replace(configuration.run_of(base), lr=0.0, seed=0)
    run = replace(start, **changes)
    if "updates" not in changes:
        run = replace(run, updates=max(study.samples // run.batch_size, study.updates, 1))
    if base.profile.full_data and changes.get("n_train") == LAPTOP_IMAGES:
        run = replace(run, n_train=ALL_IMAGES)
    run = _replaced(_budgeted(run, base.profile), base.profile)
    check_run(run)
    center = study.rates.center or central_rate(run.optimizer, run.batch_size, run.norm)
    return Cell(
        study=study.name,
        variant=variant,
        label=arm_label(levels),
        run=run,
        rates=study.rates,
        center=center,
        tuning_seeds=study.tuning_seeds,
        replicates=study.replicates,
        half_replicates=min(study.half_replicates, study.replicates),
        tune_on=study.tune_on,
        target=study.target,
        leader=str(words.get("lr_of", "")),
        times=float(words.get("lr_times", 1.0)),
    )


def _replaced(run: Run, profile: ProfileConfig) -> Run:
    """The run on the profile's own data set, where it has one."""
    if profile.data is None:
        return run
    return replace(run, data=profile.data, n_train=cap(run.n_train, profile.n_train))


def _budgeted(run: Run, profile: ProfileConfig) -> Run:
    if profile.budget == 1.0:
        return run
    return replace(
        run, updates=max(min(profile.least_updates, run.updates), round(run.updates * profile.budget))
    )


def _wanted(profile: ProfileConfig, *names: str | None) -> bool:
    return not profile.only or any(name in profile.only for name in names)


def _named(name: str | None, claims: Iterable[LoadedClaim]) -> Study:
    for claim in claims:
        if isinstance(claim.design, Study) and claim.design.name == name:
            return claim.design
    raise UsageError(
        f"DESIGN={name!r}: no claim defines a study of this name; name an existing one or write a Study"
    )


def _typed(row: dict[str, str]) -> dict[str, object]:
    return {k: type(getattr(Run(), k))(v) for k, v in row.items()}


def _check_covers(cells: list[dict], levels: dict[str, tuple], path: Path) -> None:
    for factor, wanted in levels.items():
        missing = [level for level in wanted if level not in {cell[factor] for cell in cells}]
        if missing:
            raise UsageError(
                f"{factor}={missing[0]}: in conf/factors.yaml but not in {path.name}; `make design` adds cells for it"
            )
    for cell in cells:
        gone = [f for f, level in cell.items() if level not in levels[f]]
        if gone:
            raise UsageError(
                f"{gone[0]}={cell[gone[0]]}: in {path.name} but not in conf/factors.yaml; `make design` drops its cells"
            )


def _fraction(cells: list[dict], n: int) -> list[dict]:
    if n >= len(cells):
        return cells
    return [cells[i * len(cells) // n] for i in range(n)]
