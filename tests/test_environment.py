"""One list of pins: requirements.in, the lock, environment.yml, the Makefile and the package agree."""

from __future__ import annotations

import re
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name


def pins(path: Path) -> dict[str, Requirement]:
    """The pins of requirements.in by canonical name."""
    lines = [line.split("#")[0].strip() for line in path.read_text().splitlines()]
    found = [Requirement(line) for line in lines if line]
    return {canonicalize_name(pin.name): pin for pin in found}


def locked(path: Path) -> list[tuple[Requirement, list[str]]]:
    """Every entry of the lock with its hashes; an entry may hold for some platforms only."""
    entries = path.read_text().replace("\\\n", " ").splitlines()
    pairs = [
        (entry.split("--hash=")[0], re.findall(r"--hash=(\S+)", entry)) for entry in entries if entry.strip()
    ]
    return [(Requirement(text), hashes) for text, hashes in pairs]


@pytest.fixture(scope="module")
def wanted(repository: Path) -> dict[str, Requirement]:
    return pins(repository / "requirements.in")


@pytest.fixture(scope="module")
def lock(repository: Path) -> list[tuple[Requirement, list[str]]]:
    return locked(repository / "requirements.lock")


def test_every_requirement_is_pinned(wanted: dict[str, Requirement]) -> None:
    assert all([s.operator for s in pin.specifier] == ["=="] for pin in wanted.values())


def test_every_locked_entry_is_pinned_and_hashed(lock: list[tuple[Requirement, list[str]]]) -> None:
    assert len(lock) > 100
    for pin, hashes in lock:
        assert [s.operator for s in pin.specifier] == ["=="] and pin.url is None
        assert hashes and all(re.fullmatch(r"sha256:[0-9a-f]{64}", value) for value in hashes)


def test_the_lock_covers_the_requirements_but_torch(
    wanted: dict[str, Requirement], lock: list[tuple[Requirement, list[str]]]
) -> None:
    found = {(canonicalize_name(pin.name), str(pin.specifier)) for pin, _ in lock}
    assert {(name, str(pin.specifier)) for name, pin in wanted.items() if name != "torch"} <= found


def test_the_lock_leaves_torch_and_its_drivers_out(lock: list[tuple[Requirement, list[str]]]) -> None:
    names = {canonicalize_name(pin.name) for pin, _ in lock}
    assert not [
        name for name in names if name in ("torch", "triton") or name.startswith(("nvidia-", "cuda-"))
    ]


@pytest.mark.parametrize("name", ["requirements.in", "requirements.lock", "environment.yml"])
def test_no_file_of_pins_knows_a_machine(name: str, repository: Path) -> None:
    assert not re.search(r"://|file:|(^|\s)/|index-url|find-links", (repository / name).read_text())


def test_conda_gets_the_same_pins(
    repository: Path, wanted: dict[str, Requirement], lock: list[tuple[Requirement, list[str]]]
) -> None:
    environment = yaml.safe_load((repository / "environment.yml").read_text())
    *conda, last = environment["dependencies"]
    assert "python=3.11" in conda and "pip" in conda
    *listed, package = last["pip"]
    assert package == "-e ."
    assert sorted(map(str, map(Requirement, listed))) == sorted(
        [str(wanted["torch"]), *(str(pin) for pin, _ in lock)]
    )


def test_the_package_takes_the_same_list(repository: Path) -> None:
    project = tomllib.loads((repository / "pyproject.toml").read_text())
    assert project["tool"]["setuptools"]["dynamic"]["dependencies"] == {"file": "requirements.in"}
    assert "torch==" not in re.sub(
        r"grep '\^torch=='|sed '/\^torch==/d'", "", (repository / "Makefile").read_text()
    )


def test_what_is_installed_is_what_is_pinned(wanted: dict[str, Requirement]) -> None:
    for name, pin in wanted.items():
        if pin.marker is None or pin.marker.evaluate():
            assert version(name).split("+")[0] in pin.specifier, (
                f"{pin} is wanted, {version(name)} is installed"
            )


def test_every_target_that_make_names_does_something(repository: Path) -> None:
    makefile = (repository / "Makefile").read_text()
    (named,) = re.findall(r"^\.PHONY: (.*)$", makefile, re.M)
    has_recipe = set(re.findall(r"^([a-z-]+):.*\n\t", makefile, re.M)) | {"env"}
    assert set(named.split()) == has_recipe


def test_documented_targets_exist(repository: Path) -> None:
    """`make register` was told of in the README and in error messages, and had no recipe."""
    (listed,) = re.findall(r"^\.PHONY: (.*)$", (repository / "Makefile").read_text(), re.M)
    texts = [repository / "README.md", *sorted((repository / "src").rglob("*.py"))]
    told = {
        target
        for text in texts
        for target in re.findall(r"[`\n]make ([a-z][a-z-]*)", text.read_text("utf-8"))
    }
    assert told >= {"register", "design", "report"}
    assert told <= set(listed.split())
