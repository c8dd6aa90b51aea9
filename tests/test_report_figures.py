"""The overview, and figures as they are written."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
from matplotlib import pyplot
from matplotlib.layout_engine import ConstrainedLayoutEngine

from folklore.figures import overview, style
from invented_report import verdicts


def test_figures_are_whole_and_stable(tmp_path: Path) -> None:
    for name in ("one", "two"):
        style.save(
            overview.draw(verdicts()["claims"]), tmp_path / name, overview.alt_text(verdicts()["claims"])
        )
    assert (tmp_path / "one.svg").read_bytes() == (tmp_path / "two.svg").read_bytes()
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "two.png").read_bytes()
    assert "small-batch-best" in (tmp_path / "one.txt").read_text(encoding="utf-8")
    assert len(list(tmp_path.glob("[!.]*"))) == 6
    with pytest.raises(ValueError, match="no alternative text"):
        style.save(overview.draw([]), tmp_path / "three", " ")


def test_a_figure_is_laid_out_once_and_alike_in_both_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """savefig would lay it out again for each file, at the resolution of each."""
    laid_out, places = ConstrainedLayoutEngine.execute, []
    monkeypatch.setattr(
        ConstrainedLayoutEngine, "execute", lambda engine, fig: places.append(fig) or laid_out(engine, fig)
    )
    style.apply()
    fig, (left, right) = style.new(6.0, ncols=2)
    left.set_ylabel("a label that takes room")
    right.plot([1, 2], [3, 4])
    drawn = []
    fig.canvas.mpl_connect("draw_event", lambda event: drawn.append(right.get_position().bounds))
    style.save(fig, tmp_path / "one", "a line")
    assert places == [fig]
    assert len(set(drawn)) == 1, "the axes stay where the layout has put them"


def test_many_claims_stand_in_two_columns_cut_between_families_on_one_scale() -> None:
    few = verdicts()["claims"]
    assert len(overview.columns(overview.frame(few))) == 1
    many = [c | {"id": f"{c['id']}-{k}", "family": f"{c['family']}-{k}"} for k in range(4) for c in few]
    table = overview.frame(many)
    left, right = overview.columns(table)
    assert list(left["label"]) + list(right["label"]) == list(table["label"])
    assert not set(left["family"]) & set(right["family"])
    assert abs(overview._lines(left) - overview._lines(right)) <= 10
    fig = overview.draw(many)
    assert len({ax.get_xlim() for ax in fig.axes}) == 1
    assert len({ax.get_ylim() for ax in fig.axes}) == 1
    shown = [tick.get_text() for ax in fig.axes for tick in ax.get_yticklabels()]
    assert set(table["label"]) <= set(shown)
    pyplot.close(fig)


@pytest.mark.parametrize("reach", [2, 20, 900, 90_000])
def test_ticks_stand_apart_however_far_the_intervals_reach(reach: float) -> None:
    claim = verdicts()["claims"][0]
    wide = [
        claim | {"id": f"c{k}", "interval": [-reach * claim["delta"], reach * claim["delta"]]}
        for k in range(60)
    ]
    fig = overview.draw([c | {"family": f"{k // 15}"} for k, c in enumerate(wide)])
    fig.draw_without_rendering()
    for ax in fig.axes:
        boxes = [tick.get_window_extent() for tick in ax.get_xticklabels() if tick.get_text()]
        assert all(one.x1 < other.x0 for one, other in pairwise(sorted(boxes, key=lambda box: box.x0)))
    pyplot.close(fig)
