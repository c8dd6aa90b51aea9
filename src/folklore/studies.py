"""All studies of a profile: those of the claims, and the six-factor grid of `conf/study`; scaled to the profile and cut into cells."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from folklore import config as configuration
from folklore import criteria, levels
from folklore.claims.base import LoadedClaim, discover
from folklore.config import central_rate
from folklore.errors import UsageError
from folklore.grid import CONFIRM, FIELDS, PILOT, TUNE, Cell, Rates, Run, Study, Variant, arm_label, digest
from folklore.schema import CONF, Config, ProfileConfig
from folklore.study_files import read_placebo, read_study
from folklore.validation import check_kinds, check_run, one_line, suggest

LAPTOP_IMAGES, ALL_IMAGES = (
    8192,
    58_000,
)  # training rows of an image set that a run draws: in the laptop profile, and all of them
PLACEBO_SAMPLES = 16_384
_BY_EFFECT = ("S", "E+S")  # kinds of claims
_CELL_WORDS = {"label", "lr_of", "lr_times"}


def studies(
    profile: ProfileConfig, claims: Iterable[LoadedClaim] | None = None, conf: Path = CONF
) -> list[Study]:
    """The studies to train, by name: each claim's own, and the files of `conf/study`."""
    claims = discover() if claims is None else claims
    _check_names(claims)
    own = [c.design for c in claims if isinstance(c.design, Study) and _wanted(profile, c.id, c.design.name)]
    shared = [
        _named(c, claims) for c in claims if isinstance(c.design, str) and _wanted(profile, c.id, c.study)
    ]
    filed = [read_study(path, profile) for path in sorted((conf / "study").glob("*.yaml"))]
    taken = {c.design.name: c.file for c in claims if isinstance(c.design, Study)}
    for study in filed:
        if study.name in taken:
            raise UsageError(
                f"conf/study: name={study.name}: allowed is a name of its own; {taken[study.name]} has this one"
            )
    found = {s.name: s for s in [*own, *shared, *(s for s in filed if _wanted(profile, s.name))]}
    return [scaled(found[name], profile) for name in sorted(found)]


def look_of(study: Study, profile: ProfileConfig) -> int:
    """Replicates after which the study is looked at: where it has at least twice as many, and every claim that it serves is decided by an effect.

    Of all claims, not only those that a command asks for: which runs there are does not hang on that.
    """
    served = claims_of(study.name)
    by_effect = served and all(claim.claim.kind in _BY_EFFECT for claim in served)
    return profile.first_look if by_effect and study.replicates >= 2 * profile.first_look else 0


def look_identity(study: Study) -> str:
    """Of what the look at a study asks: its claims, their code, and the levels of their families."""
    asked = [
        (c.id, levels.file_hash(Path(str(c.module.__file__))), criteria.family_size(c))
        for c in claims_of(study.name)
    ]
    return digest(asked, 16)


def claims_of(study: str) -> list[LoadedClaim]:
    """All claims that a study serves, whichever are wanted."""
    return [claim for claim in discover() if claim.study == study]


def wanted_claims(profile: ProfileConfig) -> list[LoadedClaim]:
    """Claims of this profile: all, or those that its `only` names."""
    check_only(profile)
    return [c for c in discover() if _wanted(profile, c.id)]


def check_only(profile: ProfileConfig) -> None:
    """UsageError when `only` names what there is not."""
    known = sorted({c.id for c in discover()} | {path.stem for path in (CONF / "study").glob("*.yaml")})
    for name in profile.only:
        if name not in known:
            hint = suggest(name, known)
            raise UsageError(
                f"only={one_line(name)}: no such claim or study; {hint}allowed are {', '.join(known)}"
            )


def cells(study: Study, base: Config) -> list[Cell]:
    """Every arm of a study and its variants, validated."""
    profile, found = base.profile, []
    start = replace(configuration.run_of(base), lr=0.0, seed=0)
    for label, version in study.versions():
        _check_numbers(version)
        found += [_cell(version, label, levels, start, profile) for levels in version.levels_of_cells()]
    if not found:
        raise UsageError(f"study {study.name}: cells=(): allowed is a study with at least one arm")
    followers = {(c.variant, c.label): bool(c.leader) for c in found}
    for cell in found:
        if followers.get((cell.variant, cell.leader)):
            raise UsageError(
                f"study {study.name}: lr_of={one_line(cell.leader)}: this arm follows another one; "
                "allowed is the label of an arm with a rate of its own"
            )
        if cell.leader and (cell.variant, cell.leader) not in followers:
            raise UsageError(
                f"study {study.name}: lr_of={one_line(cell.leader)}: no such arm; allowed is the label of an arm of the study"
            )
    if len({c.key for c in found}) != len(found):
        raise UsageError(
            f"study {study.name}: two arms of profile {profile.name} are the same; give each its own label or levels"
        )
    return found


def placebo(base: Config, family: str | None = None) -> Cell:
    """The cell whose seeds stand for two arms that do not differ, of a family of `conf/placebo.yaml` or of no one in particular."""
    levels = {}
    if family is not None:
        known = read_placebo()
        if family not in known:
            raise UsageError(
                f"--family={family}: no such family in conf/placebo.yaml; known are {', '.join(known)}"
            )
        levels = known[family]
    study = Study("placebo", cells=({"label": "placebo", **levels},), samples=PLACEBO_SAMPLES)
    return cells(scaled(study, base.profile), base)[0]


def _check_numbers(study: Study) -> None:
    """UsageError for a number of the design that is of no use."""
    rates = study.rates
    for key, value, fine, allowed in (
        ("rates.count", rates.count, rates.count >= 1, "1 or more"),
        ("rates.octaves", rates.octaves, 0 < rates.octaves <= 100, "a number above 0, at most 100"),
        ("rates.widen", rates.widen, 0 <= rates.widen <= 100, "0 to 100"),
        ("rates.center", rates.center, rates.center is None or 0 < rates.center < 1e300, "a finite number above 0"),
        ("tuning_seeds", study.tuning_seeds, 1 <= study.tuning_seeds <= PILOT - TUNE, f"1 to {PILOT - TUNE}"),
        ("replicates", study.replicates, 2 <= study.replicates <= TUNE - CONFIRM, f"2 to {TUNE - CONFIRM}"),
        ("half_replicates", study.half_replicates, study.half_replicates >= 0, "0 or more"),
        ("samples", study.samples, study.samples >= 0, "0 or more"),
        ("updates", study.updates, study.updates >= 0, "0 or more"),
    ):  # fmt: skip
        if not fine:
            raise UsageError(f"study {study.name}: {key}={one_line(value)}: allowed is {allowed}")


def scaled(study: Study, profile: ProfileConfig) -> Study:
    """The study as this profile trains it: replicates, rates and seeds capped, variants too."""
    if profile.full_data and study.printed_updates:
        study = _as_printed(study)
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


def _as_printed(study: Study) -> Study:
    """With the source's number of updates, and a loss curve as fine as before."""
    points = int(study.fixed.get("loss_points", Run().loss_points))
    finer = -(-points * study.printed_updates // study.updates)
    return replace(study, updates=study.printed_updates, fixed={**study.fixed, "loss_points": finer})


def cap(value: int, most: int | None) -> int:
    return value if most is None else min(value, most)


def _capped_rates(rates: Rates, profile: ProfileConfig) -> Rates:
    return replace(rates, count=cap(rates.count, profile.rates), widen=cap(rates.widen, profile.widen))


def _further_grounds(study: Study) -> tuple[Variant, ...]:
    """Twice the width and twice the budget, for claims. (A study of steps to a target has a target of its own for each ground.)

    What a cell sets is doubled, too: nets that match in parameters, or in updates, would not match beside others of twice as many.
    """

    def twice(name: str) -> dict[str, object]:
        return {"cells": tuple(dict(c) | {name: 2 * c[name]} if name in c else c for c in study.cells)}

    wide = {"width": 2 * int(study.fixed.get("width", Run().width))}
    longer = {"samples": 2 * study.samples, "updates": 2 * study.updates}
    return (
        Variant("twice the width", fixed=wide, study=twice("width")),
        Variant("twice the budget", study=longer | twice("updates")),
    )


def _cell(study: Study, variant: str, levels: dict[str, object], start: Run, profile: ProfileConfig) -> Cell:
    words = {k: levels[k] for k in _CELL_WORDS & levels.keys()}
    changes = {**study.fixed, **{k: v for k, v in levels.items() if k not in _CELL_WORDS}}
    unknown = set(changes) - set(FIELDS)
    if unknown:
        raise UsageError(
            f"study {study.name}: {one_line(sorted(unknown)[0])}: no such factor; allowed are {', '.join(FIELDS)}"
        )
    try:
        run = _run(replace(start, **changes), study, profile, changes)
    except UsageError as error:
        place = f"study {study.name}, arm {one_line(arm_label(levels))!r}, in profile {profile.name}"
        raise UsageError(f"{error} ({place}, whose data, n_train and budget it takes)") from None
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
        times=_times(words.get("lr_times", 1.0), study),
    )


def _run(run: Run, study: Study, profile: ProfileConfig, changes: Mapping[str, object]) -> Run:
    """The run of an arm under the study's budget and the profile's, validated."""
    check_kinds(run)
    if "updates" not in changes:
        run = replace(run, updates=max(study.samples // run.batch_size, study.updates, 1))
    if profile.full_data and changes.get("n_train") == LAPTOP_IMAGES:
        run = replace(run, n_train=ALL_IMAGES)
    run = _replaced(_budgeted(run, profile), profile)
    check_run(run)
    return run


def _times(value: object, study: Study) -> float:
    if isinstance(value, int | float) and 0 < value < 1e300:
        return float(value)
    raise UsageError(f"study {study.name}: lr_times={value!r}: allowed is a finite number above 0")


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


def _check_names(claims: Iterable[LoadedClaim]) -> None:
    """UsageError where two claims define a study of one name: one of them would be trained for both."""
    first: dict[str, LoadedClaim] = {}
    for claim in claims:
        if isinstance(claim.design, Study) and first.setdefault(claim.design.name, claim) is not claim:
            other = first[claim.design.name].file
            raise UsageError(
                f"{claim.file}: DESIGN.name={claim.design.name}: allowed is a name of its own; {other} has this one (share it by its name)"
            )


def _named(claim: LoadedClaim, claims: Iterable[LoadedClaim]) -> Study:
    known = {c.design.name: c.design for c in claims if isinstance(c.design, Study)}
    if claim.study not in known:
        hint = suggest(str(claim.study), sorted(known))
        raise UsageError(
            f"{claim.file}: DESIGN={claim.design!r}: no claim defines a study of this name; {hint}allowed is an existing one or a Study"
        )
    return known[claim.study]
