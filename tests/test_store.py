"""The results folder: whole parts or none, named by their bytes; damage is noticed, named, set aside and trained again."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from folklore import cost, datasets
from folklore import store as module
from folklore.errors import UsageError
from folklore.files import atomic_write
from folklore.grid import FIELDS, LATER_FIELDS, Run
from folklore.stages.jobs import Trainer
from folklore.store import SCHEMA, Store, row

RUN = Run(data="digits", n_train=256, width=16, updates=20, lr=0.1, score_test=True, loss_points=5)


def result(accuracy: float = 0.5, *, diverged: bool = False) -> dict:
    """What training returns of one run."""
    nan = float("nan")
    return {
        "status": "diverged" if diverged else "ok",
        "diverged_step": 7 if diverged else None,
        "train_loss": nan if diverged else 1.5,
        "val_accuracy": accuracy,
        "val_loss": nan if diverged else 1.4,
        "test_accuracy": accuracy,
        "test_loss": nan if diverged else 1.4,
        "recalibrated_accuracy": None,
        "loss_step": [10, 20],
        "loss_curve": [2.0, nan if diverged else 1.5],
        "val_step": [20],
        "val_curve": [accuracy],
        "grad_norms": [0.1, 0.2],
        "measures": {"dead_share": 0.25},
    }


def filled(root: Path, *seeds: int) -> Store:
    """A store with one part for each seed."""
    store = Store(root)
    for seed in seeds:
        run = replace(RUN, seed=seed)
        store.add([row(run, result(0.1 * seed), "digest")], {run.key: 1.0 + seed})
    return store


def key(seed: int) -> str:
    return replace(RUN, seed=seed).key


def parts(store: Store) -> list[Path]:
    return sorted(store.runs.glob("*.parquet"))


def test_what_is_added_is_read(tmp_path: Path) -> None:
    store = filled(tmp_path, 1)
    run = replace(RUN, seed=2)
    store.add([row(run, result(0.1, diverged=True), "digest")], {run.key: 3.5})
    frame = store.read()
    assert list(frame.index) == sorted([key(1), key(2)])
    assert set(FIELDS) <= set(frame.columns)
    fine, bad = frame.loc[key(1)], frame.loc[key(2)]
    assert (fine["status"], fine["lr"], fine["seed"]) == ("ok", 0.1, 1)
    assert list(fine["loss_step"]) == [10, 20]
    assert fine["measures"] == {"dead_share": 0.25}
    assert (bad["status"], bad["diverged_step"], bad["test_accuracy"]) == ("diverged", 7, 0.1)
    assert np.isnan(bad["train_loss"])
    assert store.keys() == {key(1), key(2)}
    assert list(store.read([key(2)]).index) == [key(2)]


def test_an_empty_store_is_no_error(tmp_path: Path) -> None:
    store = Store(tmp_path / "nothing")
    assert store.keys() == set()
    assert store.read().empty
    assert store.seconds().empty
    assert not (tmp_path / "nothing").exists()


def test_a_missing_run_is_one_line_with_a_remedy(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="1 runs are missing") as caught:
        filled(tmp_path, 1).read([key(1), key(2)])
    assert key(2) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_parts_are_named_by_their_bytes_and_equal_ones_are_one(tmp_path: Path) -> None:
    store = filled(tmp_path, 1)
    (part,) = parts(store)
    assert hashlib.sha256(part.read_bytes()).hexdigest().startswith(part.stem)
    before = part.stat().st_mtime_ns
    filled(tmp_path, 1)
    assert parts(store) == [part]
    assert part.stat().st_mtime_ns == before


def test_rows_are_ordered_so_that_the_stack_does_not_matter(tmp_path: Path) -> None:
    rows = [row(replace(RUN, seed=s), result(0.1 * s), "digest") for s in (1, 2, 3)]
    seconds = {r["run_key"]: 1.0 for r in rows}
    Store(tmp_path / "a").add(rows, seconds)
    Store(tmp_path / "b").add(rows[::-1], seconds)
    names = [[p.name for p in parts(Store(tmp_path / folder))] for folder in "ab"]
    assert names[0] == names[1]


def test_timings_lie_apart(tmp_path: Path) -> None:
    """The same results on a slower machine: the same bytes, other timings."""
    for folder, pace in (("fast", 1.0), ("slow", 9.0)):
        Store(tmp_path / folder).add([row(RUN, result(), "digest")], {RUN.key: pace})
    fast, slow = Store(tmp_path / "fast"), Store(tmp_path / "slow")
    assert [p.name for p in parts(fast)] == [p.name for p in parts(slow)]
    assert (fast.seconds()[RUN.key], slow.seconds()[RUN.key]) == (1.0, 9.0)
    assert "seconds" not in SCHEMA.names


def test_a_job_leaves_one_part_and_those_of_others(tmp_path: Path) -> None:
    others, store = filled(tmp_path, 1), Store(tmp_path)
    before = others.read()
    for seed in (2, 3, 4):
        run = replace(RUN, seed=seed)
        store.add([row(run, result(0.1 * seed), "digest")], {run.key: 1.0 + seed})
    expected, seconds = Store(tmp_path).read(), Store(tmp_path).seconds().sort_index()
    store.merge()
    store.merge()
    assert len(list(store.runs.glob("*.parquet"))) == len(list(store.timings.glob("*.parquet"))) == 2
    for reader in (store, Store(tmp_path)):
        pd.testing.assert_frame_equal(reader.read(), expected)
        pd.testing.assert_series_equal(reader.seconds().sort_index(), seconds)
    pd.testing.assert_frame_equal(others.read([key(1)]), before)


def test_a_damaged_part_is_not_merged(tmp_path: Path) -> None:
    store = filled(tmp_path, 1, 2, 3)
    part = next(path for path, keys in store._parts().items() if key(2) in keys)
    part.write_bytes(part.read_bytes()[:-1])
    store.merge()
    assert store.keys() == {key(1), key(3)}
    assert part.with_suffix(".damaged").exists()


def test_the_only_sound_part_outlives_the_merge_of_all(tmp_path: Path) -> None:
    """What is merged of it has its own bytes, and so its name."""
    store = filled(tmp_path, 1, 2)
    part = next(path for path, keys in store._parts().items() if key(2) in keys)
    part.write_bytes(part.read_bytes()[:-1])
    store.merge()
    assert Store(tmp_path).keys() == {key(1)}
    assert set(Store(tmp_path).seconds().index) == {key(1), key(2)}


def test_a_run_that_stands_in_two_parts_counts_once(tmp_path: Path) -> None:
    store = filled(tmp_path, 1, 2)
    both = [row(replace(RUN, seed=s), result(0.1 * s), "digest") for s in (1, 2)]
    store.add(both, {key(1): 50.0, key(2): 60.0})
    assert len(parts(store)) == 3
    assert len(store.read()) == len(store.seconds()) == 2


def truncated(part: Path) -> None:
    part.write_bytes(part.read_bytes()[:-40])


def flipped(part: Path) -> None:
    content = bytearray(part.read_bytes())
    content[len(content) // 2] ^= 1
    part.write_bytes(content)


def emptied(part: Path) -> None:
    part.write_bytes(b"")


def foreign(part: Path) -> None:
    """A sound Parquet file of something else, under the name of a part."""
    pq.write_table(pa.table({"x": [1]}), part)


DAMAGE = [truncated, flipped, emptied, foreign]


@pytest.mark.parametrize("damage", DAMAGE)
def test_damage_is_noticed_named_and_set_aside(
    damage: Callable[[Path], None], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = filled(tmp_path, 1, 2)
    sound = set(store.read([key(2)])["run_key"])
    part = next(p for p in parts(store) if pq.read_table(p)["run_key"][0].as_py() == key(1))
    damage(part)
    assert store.keys() == sound
    assert part.name in caplog.text
    assert part.with_suffix(".damaged").exists()
    assert not part.exists()
    assert set(store.read()["run_key"]) == sound  # never judged
    caplog.clear()
    store.keys()
    assert not caplog.text


@pytest.mark.parametrize("content", ["table", "text"])
def test_a_file_of_another_layout_with_a_right_name_is_set_aside(content: str, tmp_path: Path) -> None:
    """From an earlier version, or no Parquet at all."""
    store = filled(tmp_path, 1)
    old = tmp_path / "old"
    pq.write_table(pa.table({"run_key": [key(3)]}), old) if content == "table" else old.write_text("hello")
    named = store.runs / f"{hashlib.sha256(old.read_bytes()).hexdigest()[: module.NAME_DIGITS]}.parquet"
    old.rename(named)
    assert store.keys() == {key(1)}
    assert named.with_suffix(".old" if content == "table" else ".damaged").exists()


def renamed(part: Path, table: pa.Table) -> Path:
    """This table in the place of a part, under its right name."""
    pq.write_table(table, part)
    return part.rename(part.with_stem(hashlib.sha256(part.read_bytes()).hexdigest()[: module.NAME_DIGITS]))


def test_a_part_from_before_a_field_of_a_run_is_read_with_its_default(
    tmp_path: Path, data_root: Path
) -> None:
    """As its key was made, see LATER_FIELDS: a new field trains nothing again."""
    store = filled(tmp_path, 1, 2)
    expected = Store(tmp_path).read()
    for part in parts(store):
        table = pq.read_table(part)
        renamed(part, table.drop_columns(sorted(LATER_FIELDS)))
    pd.testing.assert_frame_equal(store.read(), expected)
    assert train(tmp_path, data_root, [replace(RUN, seed=1)])[0] == []
    filled(tmp_path, 3)
    assert len(Store(tmp_path).read()) == 3


@pytest.mark.parametrize(
    "change", [lambda t: t.drop_columns(["width"]), lambda t: t.append_column("x", t["seed"])]
)
def test_a_part_that_differs_in_more_than_later_fields_is_old(change: Callable, tmp_path: Path) -> None:
    store = filled(tmp_path, 1)
    (part,) = parts(store)
    old = renamed(part, change(pq.read_table(part)))
    assert store.keys() == set()
    assert old.with_suffix(".old").exists()


def test_a_reader_looks_again_where_a_job_merges_its_parts_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the reader's look at the folder and its reading of the files."""
    job, read, once = filled(tmp_path, 1, 2), module._read, iter([True])

    def late(*arguments: object) -> pa.Table:
        if next(once, False):
            job.merge()
        return read(*arguments)

    monkeypatch.setattr(module, "_read", late)
    assert set(Store(tmp_path).read([key(1), key(2)]).index) == {key(1), key(2)}
    assert len(parts(job)) == 1


def test_damaged_timings_cost_only_timings(tmp_path: Path) -> None:
    store = filled(tmp_path, 1)
    truncated(next(store.timings.glob("*.parquet")))
    assert store.seconds().empty
    assert len(store.read()) == 1


def test_a_part_that_another_job_sets_aside_meanwhile_is_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = filled(tmp_path, 1, 2)
    gone = parts(store)[0]
    read = Path.read_bytes

    def vanishing(path: Path) -> bytes:
        if path == gone and path.exists():
            path.unlink()
        return read(path)

    monkeypatch.setattr(Path, "read_bytes", vanishing)
    assert len(store.keys()) == 1


class Counted:
    """Progress that only counts the runs that were trained."""

    def __init__(self) -> None:
        self.trained: list[str] = []

    def training(self, stack: list[Run], fraction: float) -> None:
        pass

    def finished(self, stack: list[Run], *, trained: bool) -> None:
        if trained:
            self.trained += [run.key for run in stack]


def train(root: Path, data_root: Path, runs: list[Run]) -> tuple[list[str], pd.DataFrame]:
    """Keys that were trained, and the results."""
    progress = Counted()
    trainer = Trainer(root, progress)
    trainer.data_root = data_root
    trainer(runs)
    return progress.trained, Store(root).read([run.key for run in runs])


def test_what_is_stored_is_not_trained_and_what_is_damaged_is(tmp_path: Path, data_root: Path) -> None:
    first, second = replace(RUN, seed=1), replace(RUN, seed=2, width=24)  # two graphs, so two parts
    trained, before = train(tmp_path, data_root, [first, second])
    assert sorted(trained) == sorted([first.key, second.key])
    assert train(tmp_path, data_root, [first, second])[0] == []
    names = parts(Store(tmp_path))
    broken = next(p for p in names if pq.read_table(p)["run_key"][0].as_py() == first.key)
    flipped(broken)
    trained, after = train(tmp_path, data_root, [first, second])
    assert trained == [first.key]
    assert parts(Store(tmp_path)) == names  # the same numbers, so the same bytes under the same name
    pd.testing.assert_frame_equal(before, after)


def test_an_added_seed_trains_only_itself(tmp_path: Path, data_root: Path) -> None:
    runs = [replace(RUN, seed=s) for s in range(3)]
    train(tmp_path, data_root, runs[:2])
    assert train(tmp_path, data_root, runs)[0] == [runs[2].key]


def test_what_another_job_has_trained_meanwhile_is_not_trained_again(
    tmp_path: Path, data_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two jobs share runs; the store is asked before each stack."""
    monkeypatch.setattr(cost, "stack_width", lambda run: 2)
    runs = [replace(RUN, seed=s) for s in range(4)]

    class Beside(Counted):
        """While the first stack trains, a neighbour finishes a run of the second."""

        known = 0

        def training(self, stack: list[Run], fraction: float) -> None:
            train(tmp_path, data_root, runs[2:3])

        def finished(self, stack: list[Run], *, trained: bool) -> None:
            super().finished(stack, trained=trained)
            self.known += len(stack) * (not trained)

    trainer = Trainer(tmp_path, Beside())
    trainer.data_root = data_root
    assert set(trainer(runs)) == {run.key for run in runs}
    assert trainer.progress.trained == [run.key for run in (*runs[:2], runs[3])]
    assert trainer.progress.known == 1


def test_runs_of_data_with_other_bytes_are_not_used(
    tmp_path: Path, data_root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Data that are generated may come out otherwise on another machine, by the same code: no frame holds both."""
    shutil.copytree(data_root, tmp_path / "data")
    run = replace(RUN, seed=1)
    store = filled(tmp_path, 1)
    with pytest.raises(UsageError, match="1 runs are missing"):
        store.read([run.key])
    trained, frame = train(tmp_path, data_root, [run])
    assert trained == [run.key]
    assert list(frame["data_digest"]) == [datasets.digest("digits", data_root)]
    assert len(store.read()) == 1 < len(parts(store))
    assert caplog.text.count("1 runs were trained on other digits") == 3, "once by each of three stores"
    assert train(tmp_path, data_root, [run])[0] == []


def test_a_file_is_written_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "choices.json"
    atomic_write(target, "old")

    def fail(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="disk full"):
        atomic_write(target, "new")
    assert target.read_text() == "old"


WRITER = """
import sys
from pathlib import Path
sys.path[:0] = [sys.argv[2], sys.argv[3]]
from test_store import filled
print("ready", flush=True)
for seed in range(10_000):
    filled(Path(sys.argv[1]), seed)
"""


def test_a_writer_killed_at_any_moment_leaves_only_whole_parts(tmp_path: Path, repository: Path) -> None:
    places = [str(repository / "src"), str(repository / "tests")]
    writer = subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path), *places], stdout=subprocess.PIPE)
    assert writer.stdout.readline() == b"ready\n"
    deadline = time.monotonic() + 20
    while len(list(tmp_path.glob("runs/*.parquet"))) < 20 and time.monotonic() < deadline:
        time.sleep(0.01)
    writer.kill()
    writer.wait()
    store = Store(tmp_path)
    assert len(store.keys()) == len(parts(store)) >= 20
    assert not list(store.runs.glob("*.damaged"))
