"""The contract of `base.py`, checked when a claim file is read: what is missing or of the wrong kind is one line with file and remedy."""

from __future__ import annotations

import importlib
import inspect
import re
import traceback
from collections.abc import Iterator, Mapping
from dataclasses import fields
from pathlib import Path
from types import ModuleType

from folklore.claims.base import FAMILIES, KINDS, LECTURES, Claim, Criterion, Formula
from folklore.errors import UsageError
from folklore.grid import Rates, Study, Variant

FORMS = ("printed", "right", "derived")
SEE = "see src/folklore/claims/base.py for the contract"
IDENTITY = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")


def imported(stem: str) -> ModuleType:
    """The module of a claim file. UsageError for whatever goes wrong while it is read."""
    file = f"src/folklore/claims/{stem}.py"
    if not IDENTITY.fullmatch(stem.replace("_", "-")):
        raise UsageError(
            f"{file}: id={_line(stem)}: allowed are file names of lower-case letters, digits and single underscores"
        )
    try:
        return importlib.import_module(f"folklore.claims.{stem}")
    except Exception as error:
        raise UsageError(
            f"{file}: cannot be read: {told(error, file)}; mend the file or take it away"
        ) from error


def told(error: BaseException, file: str) -> str:
    """An exception of a claim's own code: what, and where in its file."""
    frames, name = traceback.extract_tb(error.__traceback__), Path(file).name
    own = [frame.lineno for frame in frames if Path(frame.filename).name == name]
    line = f" (line {own[-1]})" if own else ""
    return f"{type(error).__name__}: {_line(error)}{line}"


def check(module: ModuleType, file: str) -> None:
    """UsageError for the first thing that is not as the contract says."""
    for said in _wrong(module):
        raise UsageError(f"{file}: {said}; {SEE}")


def _wrong(module: ModuleType) -> Iterator[str]:
    if not inspect.cleandoc(module.__doc__ or "").strip():
        yield "docstring: missing; allowed is one whose first line is the title and whose next paragraphs are the rule"
    for name, kinds in {"CLAIM": Claim, "DESIGN": Study | str | None, "CRITERION": Criterion}.items():
        if not hasattr(module, name):
            yield f"{name}: missing; allowed is {name} = {_words(kinds)}"
        elif not isinstance(getattr(module, name), kinds):
            yield f"{name}={_line(repr(getattr(module, name)))}: allowed is {_words(kinds)}"
    for name, arguments in {"judge": "runs, criterion", "plot": "runs, finding"}.items():
        if not inspect.isfunction(getattr(module, name, None)):
            yield f"{name}: missing; allowed is def {name}({arguments})"
        elif len(inspect.signature(getattr(module, name)).parameters) != 2:
            yield f"{name}{inspect.signature(getattr(module, name))}: allowed is def {name}({arguments})"
    yield from _claim(module.CLAIM)
    yield from _criterion(module.CRITERION, module.CLAIM.kind)
    yield from _design(module.DESIGN, module.CLAIM.kind)


def _claim(claim: Claim) -> Iterator[str]:
    yield from _named("CLAIM.kind", claim.kind, KINDS)
    yield from _named("CLAIM.family", claim.family, FAMILIES)
    lectures = claim.lectures
    fine = (
        isinstance(lectures, tuple)
        and lectures
        and all(isinstance(n, int) and n in LECTURES for n in lectures)
    )
    yield from _fits("CLAIM.lectures", lectures, fine, f"a tuple of some of {', '.join(map(str, LECTURES))}")
    for name in ("paper", "reported", "limits"):
        yield from _text(f"CLAIM.{name}", getattr(claim, name))
    fine = isinstance(claim.formulas, tuple) and all(isinstance(one, Formula) for one in claim.formulas)
    yield from _fits("CLAIM.formulas", claim.formulas, fine, "a tuple of Formula(form, typst, words)")
    for one in claim.formulas:
        yield from _named("CLAIM.formulas: form", one.form, FORMS)
        for name in ("typst", "words"):
            yield from _text(f"CLAIM.formulas: {name}", getattr(one, name))
    yield from _fits("CLAIM.headline", claim.headline, isinstance(claim.headline, bool), "True or False")


def _criterion(criterion: Criterion, kind: str) -> Iterator[str]:
    for name in ("text", "metric"):
        yield from _text(f"CRITERION.{name}", getattr(criterion, name))
    yield from _fits("CRITERION.unit", criterion.unit, isinstance(criterion.unit, str), "a text")
    measured = kind in ("S", "E+S")
    delta, scale, spread = criterion.delta, criterion.scale, criterion.pilot_sd
    fine = _number(delta) and (delta > 0 if measured else delta >= 0)
    yield from _fits("CRITERION.delta", delta, fine, "a finite number above 0" if measured else "0 or more")
    yield from _fits("CRITERION.scale", scale, _number(scale) and scale > 0, "a finite number above 0")
    yield from _fits(
        "CRITERION.equivalence",
        criterion.equivalence,
        isinstance(criterion.equivalence, bool),
        "True or False",
    )
    fine = spread is None or (_number(spread) and spread > 0)
    yield from _fits("CRITERION.pilot_sd", spread, fine, "None or a finite number above 0")
    settings = criterion.settings
    fine = isinstance(settings, dict) and all(isinstance(k, str) and _number(v) for k, v in settings.items())
    yield from _fits("CRITERION.settings", settings, fine, "names with finite numbers")
    needed = {"E": "tolerance", "Q": "allowed"}.get(kind)
    if needed and needed not in settings:
        yield f"CRITERION.settings={_line(settings)}: allowed with kind {kind} is one with {needed!r}"


def _design(design: Study | str | None, kind: str) -> Iterator[str]:
    if (design is None) != (kind == "E"):
        yield f"DESIGN={_line(repr(design))}: allowed with kind {kind} is {'None' if kind == 'E' else 'a Study or the name of one'}"
    if isinstance(design, Study):
        yield from _study(design, "DESIGN")
        labels = ["main", *(getattr(variant, "label", variant) for variant in design.variants)]
        for variant in design.variants:
            known = {field.name for field in fields(Study)} - {"name", "fixed", "variants"}
            fine = (
                isinstance(variant, Variant)
                and isinstance(variant.label, str)
                and labels.count(variant.label) == 1
            )
            fine = fine and isinstance(variant.fixed, Mapping) and isinstance(variant.study, Mapping)
            fine = fine and set(variant.study) <= known
            yield from _fits(
                "DESIGN.variants", variant, fine, "a Variant with a label of its own and fields of Study"
            )
        for label, version in list(design.versions())[1:]:
            yield from _study(version, f"DESIGN.variants: {_line(label)}")


# the kinds of a study's fields that are neither names nor checked where the study is planned
_COUNTS = ("tuning_seeds", "replicates", "half_replicates", "samples", "updates")


def _study(study: Study, key: str) -> Iterator[str]:
    fine = isinstance(study.name, str) and re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]*", study.name) is not None
    yield from _fits(
        f"{key}.name", study.name, fine, "a name of letters, digits, dashes, dots and underscores"
    )
    fine = isinstance(study.factors, Mapping) and all(
        isinstance(k, str) and isinstance(v, tuple) and v for k, v in study.factors.items()
    )
    yield from _fits(f"{key}.factors", study.factors, fine, "factors, each with a tuple of levels")
    fine = isinstance(study.cells, tuple) and all(isinstance(cell, Mapping) for cell in study.cells)
    yield from _fits(f"{key}.cells", study.cells, fine, "a tuple of mappings")
    yield from _fits(f"{key}.fixed", study.fixed, isinstance(study.fixed, Mapping), "a mapping")
    yield from _fits(f"{key}.rates", study.rates, isinstance(study.rates, Rates), "Rates(...)")
    rates = study.rates
    fine = isinstance(rates.count, int) and isinstance(rates.widen, int) and _number(rates.octaves)
    yield from _fits(
        f"{key}.rates", rates, fine and (rates.center is None or _number(rates.center)), "Rates of numbers"
    )
    for name in _COUNTS:
        value = getattr(study, name)
        yield from _fits(
            f"{key}.{name}", value, isinstance(value, int) and not isinstance(value, bool), "a whole number"
        )
    yield from _text(f"{key}.tune_on", study.tune_on)
    yield from _fits(
        f"{key}.target",
        study.target,
        study.target is None or _number(study.target),
        "None or a finite number",
    )
    if study.tune_on != "val_accuracy":
        from folklore.validation import wrong_tuning  # not light: it loads Hydra

        yield from (f"{key}.{said}" for said in wrong_tuning(study.tune_on, study.target))
    yield from _fits(f"{key}.seconds", study.seconds, _number(study.seconds), "a finite number")
    yield from _fits(f"{key}.title", study.title, isinstance(study.title, str), "a text")
    yield from _fits(
        f"{key}.variants", study.variants, isinstance(study.variants, tuple), "a tuple of Variants"
    )


def _named(key: str, value: object, allowed: tuple[str, ...]) -> Iterator[str]:
    yield from _fits(key, value, isinstance(value, str) and value in allowed, f"one of {', '.join(allowed)}")


def _text(key: str, value: object) -> Iterator[str]:
    yield from _fits(key, value, isinstance(value, str) and bool(value.strip()), "a text")


def _fits(key: str, value: object, fine: object, allowed: str) -> Iterator[str]:
    if not fine:
        yield f"{key}={_line(repr(value))}: allowed is {allowed}"


def _number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e300


def _words(kinds: object) -> str:
    return {Claim: "Claim(...)", Criterion: "Criterion(...)"}.get(
        kinds, "Study(...), the name of one, or None"
    )


def _line(value: object) -> str:
    text = " ".join("".join(c if c.isprintable() else " " for c in str(value)).split())
    return text if len(text) <= 200 else f"{text[:200]}..."
