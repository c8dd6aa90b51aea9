"""What the fuzzing tests share: how many cases and from which seed, text and values that do harm, and what a refusal has to look like.

`make test` tries about a thousand cases from one seed; `make fuzz N=5000 SEED=7` as many as one likes, from another.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from folklore.errors import UsageError

CASES = int(os.environ.get("FUZZ_CASES", "1000"))
SEED = int(os.environ.get("FUZZ_SEED", "20261120"))
LONGEST = 4000  # a line that lists all claims


def fuzz(share: float, **strategies: st.SearchStrategy) -> Callable[[Callable], Callable]:
    """This share of all cases, the same ones every time."""
    chosen = settings(
        max_examples=max(1, round(share * CASES)),
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=(Phase.explicit, Phase.generate, Phase.shrink),
    )
    return lambda test: seed(SEED)(chosen(given(**strategies)(test)))


SCRIPT = "<script>alert(1)</script>"
TEXTS = [
    *("", " ", "null", "true", "false", "nan", "-inf", ".nan", "1e999", "-1e-999", "0x10", "1_0", "08", "+08", "1e5", "-0"),
    *("9" * 19, "9" * 400, "9" * 5000, "1" + "0" * 308 + ".5", "0." + "3" * 90, "1\u0663", "\u00bd", "\u0667", "ñ", "日本", "\u202ex", "\ufeff"),
    *("\ud800", "\udcff", "\0", "a\nb", "a\r\nerror: b", "\x1b[31m", "'", '"', "\\", "`id`", "$(id)", "; id", "a'b", "${seed}", "${oc.env:HOME}"),
    *("${nowhere}", "${", "???", "[1,2]", "[]", "{}", "{a: 1}", "1,2", "a=b", "../x", "/etc/passwd", "-", "--", "relu-", "ghost-0", "ghost-x"),
    *("ghost-1\u0663", "prune-101", "transfer-2", "noise_inputs-999999", "x" * 3000, SCRIPT, "#eval", "%s", "{0}", "*", "@", "!!python/object:x"),
]  # fmt: skip


def texts() -> st.SearchStrategy[str]:
    return st.one_of(
        st.sampled_from(TEXTS), st.text(max_size=12), st.integers().map(str), st.floats().map(repr)
    )


def values() -> st.SearchStrategy[object]:
    """What a YAML file could hold in the place of a value."""
    plain = st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-3, 300),
        st.sampled_from([2**31, 2**63, 10**18, -(10**30), 10**400]),
        st.floats(),
        texts(),
    )
    return st.one_of(
        plain, st.lists(plain, max_size=3), st.dictionaries(st.sampled_from("ab"), plain, max_size=2)
    )


def refused(error: UsageError, *named: str) -> str:
    """The message: one printable line with a remedy, which names at least one of these keys."""
    said = str(error)
    assert said.isprintable(), said[:200]
    assert len(said) <= LONGEST, said[:200]
    assert re.search(r"allowed|did you mean|make design|give|make it by|By hand: put|mend", said), said
    assert not named or any(name and name in said for name in named), (said, named)
    return said


def as_a_user_has_it() -> dict[str, str]:
    """The environment without what switches MLflow's telemetry off, or tells MLflow that it is being tested and should keep still."""
    signs = (
        "MLFLOW_DISABLE_TELEMETRY",
        "DO_NOT_TRACK",
        "PYTEST_",
        "CI",
        "GITHUB_",
        "GITLAB_",
        "RUNBOT_",
        "BUILDKITE",
        "TF_BUILD",
        "TRAVIS",
        "JENKINS_",
    )
    return {name: value for name, value in os.environ.items() if not name.startswith(signs)}


@pytest.fixture
def nothing_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """An empty working directory that has to stay empty."""
    monkeypatch.chdir(tmp_path)
    yield
    assert not list(tmp_path.iterdir())
