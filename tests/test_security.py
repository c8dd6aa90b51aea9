"""What a stranger's file, text or network must not be able to do."""

from __future__ import annotations

import ast
import copy
import os
import pickle
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from folklore.report.build import PAGE, render
from folklore.store import Store
from hostile import as_a_user_has_it
from invented_report import flat, read_pages, verdicts, write_grid, write_results
from test_fuzz_data import Trap
from test_report_web import Page

ROOT = Path(__file__).resolve().parents[1]
SOURCES = sorted((ROOT / "src" / "folklore").rglob("*.py"))
GUARD = ROOT / "tests" / "guard"

# Nothing is unpickled, and no text becomes code

UNSAFE_MODULES = {
    "pickle",
    "cPickle",
    "_pickle",
    "dill",
    "cloudpickle",
    "joblib",
    "shelve",
    "marshal",
    "jsonpickle",
}
UNSAFE_CALLS = {"eval", "exec", "compile", "__import__"}
UNSAFE_ATTRIBUTES = {
    *(
        "os.system",
        "os.popen",
        "pd.read_pickle",
        "pandas.read_pickle",
        "yaml.load",
        "yaml.unsafe_load",
        "yaml.full_load",
    ),
    *("tempfile.mktemp", "torch.hub", "subprocess.getoutput"),
}


def unsafe(source: str) -> list[str]:
    """What a module does that could run what it reads."""
    return [said for node in ast.walk(ast.parse(source)) for said in _unsafe(node)]


def _unsafe(node: ast.AST) -> Iterator[str]:
    names = [alias.name for alias in node.names] if isinstance(node, ast.Import | ast.ImportFrom) else []
    names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
    yield from (f"import {name}" for name in names if name.split(".")[0] in UNSAFE_MODULES)
    if isinstance(node, ast.Attribute) and ast.unparse(node) in UNSAFE_ATTRIBUTES:
        yield ast.unparse(node)
    if isinstance(node, ast.Call):
        named = {word.arg: ast.unparse(word.value) for word in node.keywords}
        called = ast.unparse(node.func)
        if called in UNSAFE_CALLS:
            yield f"{called}()"
        if called == "torch.load" and named.get("weights_only") != "True":
            yield "torch.load without weights_only=True"
        if called in ("np.load", "numpy.load") and named.get("allow_pickle") != "False":
            yield "np.load without allow_pickle=False"
        if named.get("shell", "False") != "False" or named.get("autoescape", "True") != "True":
            yield f"{called}({named})"


@pytest.mark.parametrize("file", SOURCES, ids=lambda path: path.relative_to(ROOT / "src").as_posix())
def test_no_source_unpickles_or_evaluates(file: Path) -> None:
    assert unsafe(file.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "from joblib import load",
        "torch.load(f)",
        "torch.load(f, weights_only=False)",
        "np.load(f)",
        "np.load(f, allow_pickle=True)",
        "yaml.load(f)",
        "eval(x)",
        "exec(x)",
        "run(x, shell=True)",
        "os.system(x)",
        "pd.read_pickle(f)",
        "Environment(autoescape=False)",
    ],
)
def test_the_search_finds(source: str) -> None:
    assert unsafe(source)


def test_a_pickle_in_the_place_of_results_is_set_aside(tmp_path: Path) -> None:
    """Under the name that its bytes deserve, too."""
    import hashlib

    (tmp_path / "runs").mkdir()
    content = pickle.dumps(Trap(tmp_path / "sprung"))
    names = ["0" * 24, hashlib.sha256(content).hexdigest()[:24]]
    for name in names:
        (tmp_path / "runs" / f"{name}.parquet").write_bytes(content)
    assert Store(tmp_path).keys() == set()
    assert sorted(p.name for p in (tmp_path / "runs").iterdir()) == sorted(
        f"{name}.damaged" for name in names
    )
    assert not (tmp_path / "sprung").exists()


def test_no_shell_command_of_the_workflow_holds_text_of_others() -> None:
    """Only these go into commands: names that the plan made, digests, and overrides that were checked and quoted."""
    inserted = set(
        re.findall(
            r"{([a-z_.]+)}",
            "".join(re.findall(r'"(python -m [^"]*|[^"]*2>&1[^"]*)"', (ROOT / "Snakefile").read_text())),
        )
    )
    assert inserted <= {
        *("log", "output", "output.pdf", "input.pdf", "wildcards.data", "wildcards.job", "wildcards.chunk"),
        "wildcards.family",  # letters and dashes, as the Snakefile constrains it
        *("params.identity", "params.overrides", "params.claims"),
    }


# Text stays text

HOSTILE = r'</script><script>alert(1)</script><img src=x onerror="alert(2)"> #eval("1") $x$ *b* _i_ @ref <lab> \u{41} // {{ 7*7 }} ${x}'
SPARED = {
    "id",
    "verdict",
    "refuted_how",
    "kind",
    "family",
    "figure",
    "form",
    "run_keys_sha256",
    "status",
    "edge",
    "variant",
    "hash",
    "commit",
}


def planted(value: object, key: str = "") -> object:
    """The same with hostile text behind every text that is not one of a few words."""
    if isinstance(value, dict):
        return {k: planted(v, k) for k, v in value.items()}
    if isinstance(value, list):
        return [planted(one, key) for one in value]
    return f"{value} {HOSTILE}" if isinstance(value, str) and key not in SPARED else value


@pytest.fixture(scope="module")
def hostile_report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _rendered(tmp_path_factory.mktemp("hostile"), hostile=True)


@pytest.fixture(scope="module")
def plain_report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _rendered(tmp_path_factory.mktemp("plain"), hostile=False)


def _rendered(folder: Path, *, hostile: bool) -> Path:
    """Reports of three claims: a measured one, one with robustness rows, an exact one."""
    held = copy.deepcopy(verdicts())
    held["claims"] = [*held["claims"][1:3], held["claims"][-3]]
    held["data"] = {"mnist1d": "0" * 64}
    if hostile:
        top = {
            k: planted(v, k)
            for k, v in held.items()
            if k not in ("schema", "claims", "profile", "data", "commit")
        }
        held |= top | {"claims": planted(held["claims"])}
    out = write_results(folder / "results", held)
    write_grid(out)
    render(out, folder / "reports" / "folklore.pdf")
    return folder / "reports"


def typed(text: str) -> str:
    """With the quotation marks of a typewriter again: the report sets a printer's."""
    return text.translate(str.maketrans("“”’", '""\''))


def test_hostile_text_is_text_in_the_page(hostile_report: Path, plain_report: Path) -> None:
    html, usual = ((place / PAGE).read_text(encoding="utf-8") for place in (hostile_report, plain_report))
    page, other = Page(html), Page(usual)
    assert (
        Counter(tag for tag, _ in page.elements)["script"]
        == Counter(tag for tag, _ in other.elements)["script"]
    )
    assert {tag for tag, _ in page.elements} <= {tag for tag, _ in other.elements} | {"code"}
    assert not [a for _, attributes in page.elements for a in attributes if a.startswith("on")]
    assert "<script>alert(1)" not in html and "<img src=x" not in html
    assert typed(page.text).count(HOSTILE) >= 20
    assert "49" not in {found.strip() for found in re.findall(r"//(.*?)\$\{x\}", page.text)}


def test_hostile_text_is_text_in_the_pdf(hostile_report: Path) -> None:
    for name, least in (("folklore.pdf", 20), ("cheatsheet.pdf", 2)):
        text = typed("".join(read_pages(hostile_report / name)))
        assert text.count(flat(HOSTILE)) >= least, name


def test_the_chart_holds_no_markup_of_others(hostile_report: Path) -> None:
    """Plotly draws a little HTML in what it is given to show: it gets entities."""
    scripts = re.findall(
        r"<script[^>]*>(.*?)</script>", (hostile_report / PAGE).read_text(encoding="utf-8"), re.S
    )
    (chart,) = [script for script in scripts if '"customdata":' in script]
    assert "alert(1)" in chart
    assert not re.search(r"(<|\\u003c)(script|img)", chart)


def test_a_terminal_gets_no_markup_of_others(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    from folklore.stages import summary

    held = copy.deepcopy(verdicts())
    for claim in held["claims"]:
        claim["unit"] = "[bold red]u[/]"
    write_results(tmp_path / "results", held)
    summary.main(["--out", str(tmp_path / "results")])
    assert "[bold red]u[/]" in capsys.readouterr().out.replace("\n", "")


# Nothing is sent anywhere, nothing listens to others


def guarded(code: str, folder: Path, **more: str) -> list[str]:
    """Attempts of this code to leave the machine."""
    log = folder / "connections"
    path = os.pathsep.join(map(str, (GUARD, ROOT / "src")))
    environment = as_a_user_has_it()
    environment |= {"PYTHONPATH": path, "CONNECTIONS": str(log), **more}
    subprocess.run([sys.executable, "-c", code], env=environment, cwd=folder, check=True, timeout=120)
    return log.read_text().splitlines() if log.exists() else []


def test_the_guard_sees_who_leaves(tmp_path: Path) -> None:
    code = """
import socket, subprocess, sys
for attempt in (lambda: socket.create_connection(("192.0.2.1", 80), 1), lambda: socket.getaddrinfo("example.org", 80),
                lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x", ("192.0.2.1", 53))):
    try:
        attempt()
    except OSError as error:
        assert "guarded" in str(error), error
    else:
        raise SystemExit("it got out")
with socket.create_server(("127.0.0.1", 0)) as server:
    socket.create_connection(server.getsockname()).close()
"""
    assert len(guarded(code, tmp_path)) == 3


def test_mlflows_telemetry_would_leave(tmp_path: Path) -> None:
    """Left to itself it has a client: else the tests below would show nothing."""
    code = "import mlflow; from mlflow.telemetry import get_telemetry_client; assert get_telemetry_client() is not None"
    guarded(code, tmp_path)


@pytest.mark.parametrize("module", ["folklore.tracking", "folklore.bench.hydra_sweep"])
def test_whoever_imports_mlflow_has_switched_its_telemetry_off(module: str, tmp_path: Path) -> None:
    """Whatever the shell said."""
    code = f"import {module}; from mlflow.telemetry import get_telemetry_client; assert get_telemetry_client() is None"
    assert guarded(code, tmp_path) == []


def test_every_import_of_mlflow_is_behind_a_switch() -> None:
    """By these two packages alone; and a child of theirs gets the variable with its environment."""
    importing = {
        path.relative_to(ROOT / "src/folklore").as_posix()
        for path in SOURCES
        if re.search(r"^\s*(import|from) mlflow", path.read_text(), re.M)
    }
    assert all(name.startswith("tracking/") or name == "bench/hydra_sweep.py" for name in importing), (
        importing
    )


def test_plain_snakemake_switches_telemetry_off(tmp_path: Path) -> None:
    """For every job, by the environment that it inherits."""
    code = "import os; from folklore import workflow; workflow.prepare_environment(); print(os.environ['MLFLOW_DISABLE_TELEMETRY'])"
    environment = {k: v for k, v in os.environ.items() if k != "MLFLOW_DISABLE_TELEMETRY"} | {
        "PYTHONPATH": str(ROOT / "src")
    }
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "true"
    assert "folklore_workflow.prepare_environment()" in (ROOT / "Snakefile").read_text()


def test_servers_listen_to_this_machine_alone() -> None:
    makefile = (ROOT / "Makefile").read_text()
    servers = re.findall(r"mlflow (?:server|ui)\b[^\n]*", makefile)
    assert servers and all("--host 127.0.0.1" in line for line in servers)
    for path in [*SOURCES, ROOT / "Makefile", ROOT / "Snakefile"]:
        assert "0.0.0.0" not in path.read_text(encoding="utf-8"), path


def test_what_is_installed_is_checked_against_hashes() -> None:
    """(tests/test_environment.py holds that every locked entry has them.)"""
    installs = [
        line
        for line in (ROOT / "Makefile").read_text().splitlines()
        if "-r requirements.lock" in line and "install" in line
    ]
    assert installs and all(
        line.count("install") + line.count("$(PIP)") == line.count("--require-hashes") for line in installs
    )
