"""Bad configurations by the thousand, in every way a user gives one: each ends in a plan or a run, or in one line that names key and remedy."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from contextlib import suppress
from dataclasses import fields, replace
from functools import cache
from pathlib import Path

import pytest
import yaml
from hypothesis import strategies as st
from omegaconf import DictConfig

from folklore import config, levels, workflow
from folklore.config import choices, completed, composed, run_of
from folklore.errors import UsageError
from folklore.grid import Run
from folklore.plan import Plan, make_plan, plan_of
from folklore.schema import CONF, ProfileConfig, leaves
from folklore.stages.train import run_by_hand
from folklore.studies import cells
from folklore.study_files import read_placebo, read_study
from folklore.workflow import overrides_of
from hostile import TEXTS, fuzz, nothing_written, refused, texts, values

pytestmark = pytest.mark.usefixtures("nothing_written")
__all__ = ["nothing_written"]

KEYS = [*choices(), *leaves(), "lr"]
NAMES = sorted(
    {level for factor in (*levels.MODULES, *levels.PACKAGES, "view") for level in levels.names(factor)}
)
NUMBERED = st.builds(
    "{}-{}".format, st.sampled_from(NAMES), st.sampled_from([0, 1, 2, 50, 101, 10**6, "x", ""])
)
WORDS = st.one_of(texts(), st.sampled_from(NAMES), NUMBERED, st.integers(-2, 5000).map(str))
OVERRIDE = st.one_of(
    st.tuples(st.sampled_from(KEYS), WORDS).map("=".join),
    st.tuples(st.sampled_from([*KEYS, *TEXTS]), WORDS).map("=".join),
    texts(),
)


def trainable(run: Run) -> None:
    """What every run that is accepted can rely on."""
    assert 1 <= run.batch_size <= run.n_train
    assert 1 <= run.updates <= 10**8
    assert 0 <= run.dropout < 1
    assert run.lr >= 0
    assert len(run.key) == 24


@fuzz(0.25, overrides=st.lists(OVERRIDE, min_size=1, max_size=3))
def test_overrides_of_one_run(overrides: list[str]) -> None:
    """As `folklore-train` reads them."""
    try:
        run, _ = run_by_hand(overrides)
    except UsageError as error:
        shown = {o.partition("=")[0] for o in overrides} | {o[:10] for o in overrides}
        said = refused(error)
        assert "=" in said or "KEY=VALUE" in said
        known = [key.rsplit(".", 1)[-1] for key in KEYS] + ["updates"]
        assert any(name and name in said for name in [*shown, *known]), (said, overrides)
    else:
        trainable(run)


@fuzz(0.15, key=st.sampled_from(KEYS), value=WORDS)
def test_a_single_override_is_named_with_its_value(key: str, value: str) -> None:
    try:
        run, _ = run_by_hand([f"{key}={value}"])
    except UsageError as error:
        said = refused(error, key.rsplit(".", 1)[-1], key.split(".")[0])
        shown = "".join(c if c.isprintable() else " " for c in value[:40])
        assert shown.lower() in said.lower() or any(word in said for word in _as_read(value)), (said, value)
    else:
        trainable(run)


def _as_read(text: str) -> set[str]:
    """As a message may show it once it was read: -0 is 0 where whole numbers are asked for."""
    found = {text}
    for kind in (float, int):
        with suppress(ValueError):
            found.add(str(kind(text)))
    return found


@cache
def base(*overrides: str) -> DictConfig:
    """Composed once: a case only changes values."""
    return composed(overrides)


def nested(key: str, value: object) -> dict[str, object]:
    for part in reversed(key.split(".")):
        value = {part: value}
    return value


@fuzz(
    0.3,
    changes=st.lists(
        st.tuples(st.sampled_from([*leaves(), "surplus", "data.surplus", *choices()]), values()),
        min_size=1,
        max_size=2,
    ),
)
def test_values_in_the_files_of_conf(changes: list[tuple[str, object]]) -> None:
    """Any value in the place of any other, as an edit of `conf/*.yaml` could put it there."""
    merged: dict = {}
    for key, value in changes:
        merged |= nested(key, value)
    try:
        run = run_of(completed(base(), merged))
    except UsageError as error:
        refused(error, *(part for key in merged for part in (key, "conf")), *("updates", "batch_size"))
    else:
        trainable(run)


PROFILE_KEYS = [f.name for f in fields(ProfileConfig)]


@fuzz(
    0.1,
    changes=st.dictionaries(
        st.sampled_from(PROFILE_KEYS), st.one_of(values(), st.integers(0, 40)), min_size=1, max_size=2
    ),
)
def test_profiles_make_a_plan_or_a_line(changes: dict[str, object]) -> None:
    """As the Snakefile plans them."""
    try:
        plan = plan_of(completed(base("profile=nano"), {"profile": changes}))
    except UsageError as error:
        refused(error)
    else:
        whole(plan)


def whole(plan: Plan) -> None:
    """Every job trains something, and knows where its rates come from."""
    tuning, confirming = ({job.name for job in plan.phase(phase)} for phase in ("tune", "confirm"))
    for job in plan.jobs:
        assert job.runs > 0
        assert set(job.needs) <= tuning
        assert set(job.after) <= confirming
        assert bool(job.after) == (job.phase == "extend")
        assert len(job.identity) == 16
    assert sum(map(len, plan.chunks())) == len(plan.phase("confirm")) + len(plan.phase("extend"))


GIVEN = st.one_of(
    values(),
    st.sampled_from(["nano", "smoke", "he-vs-glorot-relu", "six-factor,backprop-w1", ["six-factor"], "a b"]),
)


@fuzz(
    0.08,
    given_config=st.dictionaries(st.one_of(st.sampled_from(["profile", "only"]), texts()), GIVEN, max_size=2),
)
def test_values_of_snakemakes_config(given_config: dict[str, object]) -> None:
    os.environ.pop("PROFILE", None)
    try:
        overrides = overrides_of(given_config)
        assert all(o.isprintable() and "'" not in o for o in make_plan(overrides) and overrides), (
            "quoted for the shell"
        )
    except UsageError as error:
        refused(error, *map(str, given_config), "profile", "only")


STUDY, FACTORS, TABLE = (
    CONF / "study" / "six-factor.yaml",
    CONF / "factors.yaml",
    CONF / "study" / "six_factor.csv",
)


@st.composite
def spoilt(draw: st.DrawFn, text: str) -> str:
    """A text with a line lost, doubled, cut or replaced."""
    lines = text.splitlines()
    for _ in range(draw(st.integers(0, 2))):
        i = draw(st.integers(0, len(lines) - 1))
        how = draw(st.sampled_from(["lose", "double", "cut", "replace", "word"]))
        other = draw(
            st.one_of(texts(), st.sampled_from(["- a", "  a: [", "a: 1", "\t", "norm: []", "replicates: x"]))
        )
        words = lines[i].split(",")
        words[draw(st.integers(0, len(words) - 1))] = other
        new = {
            "lose": [],
            "double": [lines[i]] * 2,
            "cut": [lines[i][: len(lines[i]) // 2]],
            "replace": [other],
            "word": [",".join(words)],
        }
        lines[i : i + 1] = new[how] or [""]
    return "\n".join(lines) + "\n"


@cache
def _laptop() -> config.Config:
    return completed(base("profile=laptop"))


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("conf")
    (folder / "study").mkdir()
    return folder


@fuzz(
    0.1,
    study=spoilt(STUDY.read_text()),
    factors=spoilt(FACTORS.read_text()),
    grid=st.sampled_from([0, 3, 10**9]),
)
def test_study_files(workshop: Path, study: str, factors: str, grid: int) -> None:
    _read(workshop, study, factors, TABLE.read_text(), grid)


@fuzz(0.02, table=spoilt("\n".join(TABLE.read_text().splitlines())), grid=st.sampled_from([3, 10**9]))
def test_tables_of_cells(workshop: Path, table: str, grid: int) -> None:
    _read(workshop, STUDY.read_text(), FACTORS.read_text(), table, grid)


def _read(folder: Path, study: str, factors: str, table: str, grid: int) -> None:
    for name, text in (
        ("study/six-factor.yaml", study),
        ("factors.yaml", factors),
        ("study/six_factor.csv", table),
    ):
        (folder / name).write_text(text, encoding="utf-8", errors="replace")
    try:
        read = read_study(folder / "study" / "six-factor.yaml", replace(_laptop().profile, grid_cells=grid))
        found = cells(
            read if grid != 0 else replace(read, factors={k: v[:2] for k, v in read.factors.items()}),
            _laptop(),
        )
    except UsageError as error:
        refused(error)
    else:
        assert found
        for cell in found[:3]:
            trainable(cell.run)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"name": "../it's, odd"}, "name=../it's, odd: allowed are letters, digits and single dashes"),
        ({"name": "a_b"}, "name=a_b: allowed are letters"),
        ({"tune_on": "val_acuracy"}, "tune_on=val_acuracy: nothing measures it; did you mean val_accuracy?"),
        ({"tune_on": "steps"}, "target=None: allowed with tune_on=steps"),
    ],
)
def test_words_of_a_study_file_that_would_fail_later(
    changed: dict[str, str], said: str, workshop: Path
) -> None:
    text = yaml.safe_dump(yaml.safe_load(STUDY.read_text()) | changed)
    with pytest.raises(UsageError) as caught:
        _read_raw(workshop, text, FACTORS.read_text())
    assert refused(caught.value).startswith(f"{workshop}/study/six-factor.yaml: {said}")


def _read_raw(folder: Path, study: str, factors: str) -> None:
    (folder / "study" / "six-factor.yaml").write_text(study)
    (folder / "factors.yaml").write_text(factors)
    (folder / "study" / "six_factor.csv").write_text(TABLE.read_text())
    read_study(folder / "study" / "six-factor.yaml", replace(_laptop().profile, grid_cells=0))


@pytest.mark.parametrize(
    ("lost", "said"),
    [
        ("norm: [none]", "norm=['none']: allowed are two levels or more"),
        ("", "norm: missing; allowed are activation, norm, batch_size, optimizer, which make"),
    ],
)
def test_factors_that_the_analysis_would_refuse_are_refused_before_training(
    lost: str, said: str, workshop: Path
) -> None:
    factors = FACTORS.read_text().replace("norm: [none, batch]", lost)
    with pytest.raises(UsageError) as caught:
        _read_raw(workshop, STUDY.read_text(), factors)
    assert refused(caught.value).startswith(f"{workshop}/factors.yaml: {said}")


PLACEBOS = {
    "a: [": "placebo.yaml: ",
    "": "placebo.yaml: ",
    "normalisation: {norm: null}": "normalisation: norm=None: allowed is a value of kind str",
    "normalisation: {norm: batchh}": "normalisation: norm=batchh: no such level; did you mean batch?",
    "normalisation: batch": "normalisation=batch: allowed are fields of a run",
    "normalisation: {nrom: batch}": "normalisation={'nrom': 'batch'}: allowed are fields of a run",
    "normalisation2: {norm: batch}": "normalisation2: no such family; did you mean normalisation?",
    "normalisation: {batch_size: 0}": "normalisation: batch_size=0: allowed is 1 or more",
}


@pytest.mark.parametrize("text", PLACEBOS)
def test_placebo_cells_that_cannot_be_trained_are_refused_while_planning(
    text: str, workshop: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = workshop / "placebo.yaml"
    file.write_text(text)
    with pytest.raises(UsageError) as caught:
        read_placebo(file)
    assert PLACEBOS[text] in refused(caught.value, str(file))
    monkeypatch.setattr(workflow, "read_placebo", lambda: read_placebo(file))
    with pytest.raises(SystemExit):
        workflow.planned({"profile": "nano"})


@fuzz(0.1, text=spoilt((CONF / "placebo.yaml").read_text()))
def test_files_of_placebo_cells(workshop: Path, text: str) -> None:
    (workshop / "placebo.yaml").write_text(text, encoding="utf-8", errors="replace")
    try:
        found = read_placebo(workshop / "placebo.yaml")
    except UsageError as error:
        refused(error)
    else:
        assert all(set(changes) <= {f.name for f in fields(Run)} for changes in found.values())


BROKEN = {
    "config.yaml": ["", "[1, 2]", "defaults: 3", "defaults:\n  - nothing: here", "a: [1", "\t- x", "batch_size: many", "&a [*a]"],
    "optimizer/sgd.yaml": ["", "lr: .nan", "name: [1]", "lr: {a: 1}", "- 1", "lr: -1\nname: sgd"],
    "profile/nano.yaml": ["", "budget: .inf\nname: nano", "only: {a: 1}", "only: [[1]]", "name: other", "replicates: 1e9"],
}  # fmt: skip


@pytest.mark.parametrize(("file", "text"), [(f, t) for f, broken in BROKEN.items() for t in broken])
def test_a_file_of_conf_that_is_spoilt_as_a_whole(
    file: str, text: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    conf = tmp_path_factory.mktemp("spoilt") / "conf"
    shutil.copytree(CONF, conf)
    (conf / file).write_text(text)
    try:
        trainable(run_of(config.compose(["profile=nano"], conf)))
    except UsageError as error:
        refused(error)


def test_bytes_that_are_no_text(tmp_path_factory: pytest.TempPathFactory) -> None:
    conf = tmp_path_factory.mktemp("spoilt") / "conf"
    shutil.copytree(CONF, conf)
    (conf / "config.yaml").write_bytes(b"batch_size: \xff\xfe\n")
    with pytest.raises(UsageError) as caught:
        config.compose((), conf)
    refused(caught.value)


COMMANDS = [
    (["folklore.stages.train", "batch_size=" + "9" * 5000], "batch_size=999"),
    (["folklore.stages.train", "procedure=transfer-2"], "data.view=plain: allowed with procedure=transfer-2"),
    (["folklore.stages.estimate", "profile=nano", "profile.only=[no-such]"], "only=no-such: no such claim"),
    (["folklore.stages.jobs", "tune", "000", "profile=nano", "profile.job_seconds=1e-320"], "profile.job_seconds=1e-320"),
    (["snakemake", "--config", "proflie=nano"], "proflie=nano: no such key; did you mean profile?"),
    (["snakemake", "--config", "profile=nano", "only=a'; id"], "only=a'; id: allowed are names"),
]  # fmt: skip


@pytest.mark.parametrize(("command", "named"), COMMANDS, ids=[" ".join(c)[:60] for c, _ in COMMANDS])
def test_the_same_as_a_process(
    command: list[str], named: str, tmp_path_factory: pytest.TempPathFactory, repository: Path
) -> None:
    """Exit status 2, one line, nothing written (Snakemake makes its log before it reads the Snakefile)."""
    folder = tmp_path_factory.mktemp("process")
    if command[0] == "snakemake":
        command = ["snakemake", "-s", str(repository / "Snakefile"), "--cores", "1", *command[1:]]
    done = subprocess.run(
        [sys.executable, "-m", *command],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(repository / "src"), "PROFILE": ""},
        capture_output=True,
        text=True,
        timeout=120,
    )
    said = [
        line for line in done.stderr.splitlines() if not line.startswith("Using workflow specific profile")
    ]
    assert (done.returncode, done.stdout) == (2, "")
    assert len(said) == 1, done.stderr
    assert said[0].startswith(f"error: {named}")
    left = {path.relative_to(folder).parts[:2] for path in folder.rglob("*")}
    assert left <= ({(".snakemake",), (".snakemake", "log")} if "Snakefile" in str(command) else set())


def test_a_number_beyond_all_bounds_is_named_by_its_key() -> None:
    """Found by fuzzing: a file of `conf` could hold it, and the message called a whole number no whole number."""
    with pytest.raises(
        UsageError, match=r"^data\.n_train=9223372036854775808: allowed is a number of at most 18 digits$"
    ):
        run_of(completed(base(), {"data": {"n_train": 2**63}}))
