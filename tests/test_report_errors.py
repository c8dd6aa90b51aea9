"""Verdicts and examples that are missing, foreign or broken: one line each."""

from __future__ import annotations

from pathlib import Path

import pytest

from folklore.errors import UsageError
from folklore.report.build import read_verdicts
from folklore.stages import explain, render, summary, verify


def test_missing_or_foreign_verdicts_are_one_line(tmp_path: Path) -> None:
    for main in (render.main, summary.main):
        with pytest.raises(UsageError, match="no verdicts yet") as caught:
            main(["--out", str(tmp_path)])
        assert len(str(caught.value).splitlines()) == 1
    (tmp_path / "verdicts.json").write_text('{"schema": 7}', encoding="utf-8")
    with pytest.raises(UsageError, match="schema is 7"):
        read_verdicts(tmp_path)


@pytest.mark.parametrize("content", [b"", b'{"schema": 1, "cl', b"\xff\xfe", b"[" * 100_000, b"[1]", b"null"])
def test_verdicts_that_are_broken_are_one_line_with_the_remedy(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "verdicts.json").write_bytes(content)
    for main in (
        render.main,
        summary.main,
        verify.main,
        lambda arguments: explain.explain(["overview", *arguments]),
    ):
        with pytest.raises(UsageError, match="make them with `snakemake --cores all`") as caught:
            main(["--out", str(tmp_path)])
        said = str(caught.value)
        assert said.isprintable() and said.startswith(f"{tmp_path}/verdicts.json: ")


def test_an_example_that_is_broken_or_gone_is_one_line(tmp_path: Path) -> None:
    for content in (None, "{"):
        if content is not None:
            (tmp_path / "example.json").write_text(content)
        with pytest.raises(UsageError, match=r"example\.json: .*git checkout"):
            verify.main(["--out", str(tmp_path), "--example", str(tmp_path / "example.json")])
