"""`findings.json`: what the claims' `judge` functions found, of which the verdicts and the figures are made."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from pydantic import ConfigDict, TypeAdapter, ValidationError

from folklore.errors import UsageError
from folklore.files import write_result
from folklore.stats.findings import Finding

NAME = "findings.json"
_REMEDY = "snakemake --cores all makes it"
# every number comes back as it was; what has no value is NaN, which JSON proper does not have, but its readers know
_FILE = TypeAdapter(dict[str, Finding], config=ConfigDict(ser_json_inf_nan="constants", extra="forbid"))


def write_findings(out: Path, findings: Mapping[str, Finding]) -> None:
    """Of all claims of a profile, by id; numpy's numbers as Python's."""
    # a judge may give them where the type is another: no warning, as long as there is a number
    content = _FILE.dump_json(dict(findings), indent=1, fallback=np.generic.item, warnings=False)
    write_result(out / NAME, content + b"\n")


def read_findings(out: Path) -> dict[str, Finding]:
    """UsageError where there is no such file, or where it is not one of this version."""
    path = out / NAME
    try:
        return _FILE.validate_json(path.read_bytes())
    except FileNotFoundError:
        raise UsageError(f"{path}: no such file; {_REMEDY}") from None
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(map(str, first["loc"]))
        raise UsageError(f"{path}: {place or 'the file'}: {first['msg']}; remove it, {_REMEDY}") from None
