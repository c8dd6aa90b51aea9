"""Configuration: every choice composes, and whatever a person gets wrong is said in one line that helps."""

from __future__ import annotations

import shutil
from dataclasses import asdict
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from folklore import config, levels
from folklore.config import central_rate, choices, compose, run_of
from folklore.errors import UsageError
from folklore.grid import FIELDS, Run


def named(group: str, level: str) -> str:
    """With a number where the level takes one."""
    known = group in (*levels.MODULES, *levels.PACKAGES)
    return f"{level}-4" if known and levels.takes_amount(group, level) else level


CHOICES = [(group, named(group, level)) for group, offered in choices().items() for level in offered]
NAMES_OF_GROUPS = {"data", "model", "init", "activation", "norm", "optimizer", "schedule", "profile"}


def complaint(*overrides: str) -> str:
    """The message that these overrides cause."""
    with pytest.raises(UsageError) as caught:
        run_of(compose(overrides))
    return str(caught.value)


def test_every_concern_is_a_group() -> None:
    assert set(choices()) == NAMES_OF_GROUPS
    assert {"relu", "maxout"} <= set(choices()["activation"])
    assert set(choices()["profile"]) == {"nano", "smoke", "laptop", "full"}


@pytest.mark.parametrize(("group", "level"), CHOICES, ids=[f"{g}={v}" for g, v in CHOICES])
def test_every_choice_composes_to_a_run(group: str, level: str) -> None:
    composed = compose([f"{group}={level}"])
    assert getattr(composed, group).name == level
    run = run_of(composed)
    assert run.updates >= 1
    if group != "profile":
        assert getattr(run, group) == level


def test_a_run_holds_what_was_asked_for() -> None:
    overrides = ["activation=tanh", "batch_size=8", "budget.samples=4096", "optimizer=momentum"]
    overrides += ["optimizer.lr=0.03", "optimizer.momentum=0.8", "dropout=.2", "seed=7", "model.depth=2"]
    run = run_of(compose(overrides))
    wanted = Run(activation="tanh", batch_size=8, updates=512, optimizer="momentum", lr=0.03, momentum=0.8)
    for name in ("activation", "batch_size", "updates", "optimizer", "lr", "momentum"):
        assert getattr(run, name) == getattr(wanted, name)
    assert (run.dropout, run.seed, run.depth) == (0.2, 7, 2)
    assert set(asdict(run)) == set(FIELDS)


def test_a_schedule_of_updates_and_one_of_samples_take_the_longer() -> None:
    assert run_of(compose(["budget.samples=640", "budget.updates=50"])).updates == 50
    assert run_of(compose(["budget.samples=6400", "budget.updates=50"])).updates == 200


# what is wrong -> the key, the value and the words that must stand in the message
BAD = {
    ("activation=rely",): ("activation=rely", "did you mean relu?", "sigmoid"),
    ("init=he",): ("init=he", "he_normal", "orthogonal"),
    ("norm=goast",): ("norm=goast", "batch"),
    ("optimizer=adm",): ("optimizer=adm", "did you mean adam?", "rmsprop"),
    ("schedule=cosine",): ("schedule=cosine", "constant"),
    ("model=transformer",): ("model=transformer", "mlp"),
    ("data=imagenet",): ("data=imagenet", "mnist1d"),
    ("profile=huge",): ("profile=huge", "laptop"),
    ("activation.name=sin",): ("activation=sin", "tanh"),
    ("optimizer.lr=-0.1",): ("optimizer.lr=-0.1", "above 0"),
    ("optimizer.lr=nan",): ("optimizer.lr=nan", "finite"),
    ("optimizer.lr=inf",): ("optimizer.lr=inf", "finite"),
    ("optimizer.lr=fast",): ("optimizer.lr=fast", "a number"),
    ("optimizer.lr=True",): ("optimizer.lr=True", "a number"),
    ("optimizer.momentum=1",): ("optimizer.momentum=1.0", "not including, 1"),
    ("optimizer.weight_decay=-1",): ("optimizer.weight_decay=-1.0", "0 or more"),
    ("optimizer.norm_factor=0",): ("optimizer.norm_factor=0.0", "above 0"),
    ("optimizer.batch_exponent=nan",): ("optimizer.batch_exponent=nan", "from -4 to 4"),
    ("dropout=1",): ("dropout=1.0", "not including, 1"),
    ("dropout=0.999995",): ("dropout=0.999995", "not including, 1"),
    ("procedure=prune-50", "mask=weights"): ("mask=weights", "procedure=prune-50"),
    ("procedure=grow-4", "mask=weights"): ("mask=weights", "procedure=grow-4"),
    ("procedure=thinned", "model=residual"): ("model=residual", "procedure=thinned"),
    ("procedure=fallback-5", "optimizer=adam"): ("optimizer=adam", "procedure=fallback-5"),
    ("mask=channels", "model=rnn"): ("model=rnn", "mask=channels"),
    ("norm=ghost-8", "model=cnn"): ("model=cnn", "norm=ghost-8"),
    ("dropout=-0.1",): ("dropout=-0.1", "0 up to"),
    ("dropout=nan",): ("dropout=nan", "0 up to"),
    ("batch_size=0",): ("batch_size=0", "1 or more"),
    ("batch_size=2,8",): ("batch_size=2,8", "a whole number"),
    ("batch_size=8.0",): ("batch_size=8.0", "a whole number"),
    ("batch_size=",): ("batch_size=", "a whole number"),
    ("batch_size=null",): ("batch_size=null", "a whole number"),
    ("batch_size=${seed}",): ("batch_size=${seed}", "a whole number"),
    ("batch_size=5000",): ("batch_size=5000", "at most data.n_train = 4096"),
    ("norm=batch", "batch_size=1"): ("batch_size=1", "2 or more", "norm=batch"),
    ("seed=08",): ("seed=08", "without leading zeros"),
    ("seed=-1",): ("seed=-1", "0 to 2147483647"),
    ("seed=1.5",): ("seed=1.5", "a whole number"),
    ("seed=3\nx",): ("seed=3 x", "a whole number"),
    ("data.n_train=0",): ("data.n_train=0", "from 1"),
    ("model.depth=0",): ("model.depth=0", "from 1"),
    ("model.width=x",): ("model.width=x", "a whole number"),
    ("loss_points=0",): ("loss_points=0", "from 1"),
    ("budget.samples=8",): ("budget.samples=8", "batch_size = 32 or more"),
    ("budget.updates=-5",): ("budget.updates=-5", "0 or more"),
    ("profile.replicates=1",): ("profile.replicates=1", "2 or more"),
    ("profile.rates=0",): ("profile.rates=0", "1 or more"),
    ("profile.job_seconds=0",): ("profile.job_seconds=0.0", "from 1 to"),
    ("profile.toy=maybe",): ("profile.toy=maybe", "true or false"),
    ("profile.only=small",): ("profile.only=small", "a list"),
    ("batchsize=8",): ("batchsize=8", "did you mean batch_size?", "optimizer.lr"),
    ("optimizer.beta=1",): ("optimizer.beta=1", "no such key", "optimizer.momentum"),
    ("+new=1",): ("+new=1", "KEY=VALUE"),
    ("~norm",): ("~norm", "KEY=VALUE"),
    ("batch_size",): ("batch_size", "KEY=VALUE"),
    ("--seed",): ("--seed", "KEY=VALUE"),
    ("=3",): ("=3", "KEY=VALUE"),
    ("activation=[relu,tanh]",): ("activation=[relu,tanh]", "relu"),
    ("init=null",): ("init=null", "he_normal"),
}


@pytest.mark.parametrize("overrides", BAD, ids=[" ".join(o).replace("\n", "_") for o in BAD])
def test_wrong_input_is_named_with_what_is_allowed(overrides: tuple[str, ...]) -> None:
    said = complaint(*overrides)
    assert "\n" not in said
    assert "allowed" in said
    for words in BAD[overrides]:
        assert words in said


def test_a_rate_of_zero_means_tuned_and_is_for_studies_only() -> None:
    assert run_of(compose(["optimizer.lr=0"])).lr == 0  # `folklore-train` refuses it: see test_train_cli


@pytest.fixture
def edited(tmp_path: Path) -> Path:
    """A copy of conf/ to spoil."""
    shutil.copytree(config.CONF, tmp_path / "conf")
    return tmp_path / "conf"


def test_the_schema_refuses_a_wrong_type_in_a_file(edited: Path) -> None:
    text = (edited / "config.yaml").read_text()
    (edited / "config.yaml").write_text(text.replace("batch_size: 32", "batch_size: many"))
    with pytest.raises(UsageError, match="many") as caught:
        compose(conf=edited)
    assert "\n" not in str(caught.value)


def test_the_schema_refuses_an_unknown_key_in_a_file(edited: Path) -> None:
    with (edited / "optimizer" / "adam.yaml").open("a") as file:
        file.write("warmup: 3\n")
    with pytest.raises(UsageError, match="warmup") as caught:
        compose(["optimizer=adam"], conf=edited)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("profile", ["nano", "smoke", "laptop", "full"])
def test_profiles_compose(profile: str) -> None:
    chosen = compose([f"profile={profile}"]).profile
    assert chosen.name == profile
    assert chosen.toy == (profile in ("nano", "smoke"))


def test_central_rates_follow_batch_size_and_norm() -> None:
    sgd = compose(["optimizer=sgd"]).optimizer
    assert central_rate("sgd", 32, "none") == sgd.lr
    assert central_rate("sgd", 128, "none") == pytest.approx(sgd.lr * 4**sgd.batch_exponent)
    assert central_rate("sgd", 32, "batch") == pytest.approx(sgd.lr * sgd.norm_factor)


KEYS = st.sampled_from([*choices(), "batch_size", "dropout", "seed", "optimizer.lr", "budget.updates", "x"])
LEVELS = [level for offered in choices().values() for level in offered]
VALUES = st.one_of(
    st.sampled_from(LEVELS),
    st.integers(-10, 10_000).map(str),
    st.floats(width=16).map(str),
    st.sampled_from(
        ["", "null", "true", "nan", "-inf", "1e3", "08", "[1]", "{a: 1}", "${seed}", "'1'", "1,2"]
    ),
    st.text(max_size=8),
)
OVERRIDES = st.lists(
    st.one_of(st.tuples(KEYS, VALUES).map("=".join), st.text(max_size=12), st.sampled_from(["", "=", "a=b"])),
    max_size=3,
)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(OVERRIDES)
def test_any_override_gives_a_run_or_one_line(overrides: list[str]) -> None:
    try:
        run = run_of(compose(overrides))
    except UsageError as error:
        said = str(error)
        assert said
        assert said.isprintable()
        assert len(said) < 1000
    else:
        assert run.batch_size <= run.n_train
        assert run.updates >= 1
        assert 0 <= run.dropout < 1
