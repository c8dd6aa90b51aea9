"""The prose of a report, read with its numbers in place: what an editor would mark in any text."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

COUNTED = (
    "networks|points|runs|claims|seeds|octaves|replicates|layers|rates|cells|checks|rows|arms|units|updates"
)
RULES = {
    "a word twice": r"\b([A-Za-z]+) \1\b(?!/)",
    "a space before a mark": r"\w [,;:.](?:\s|$)",
    "two spaces": r"\S  +\S",
    "two marks": r"[,;:][,;:.]|(?<!\.)\.\.(?!\.)",
    "a value of the code": r"(?<![\w.`\"“])(nan|NaN|inf|None|True|False)(?![\w`\"”]| of)",
    "a hyphen for a minus": r"(?:^|[\s(\[])-\d| - |\(-\w\)",
    "a typewriter's quotation mark": r"['\"]",
    "a decimal without its zero": r"(?<![\w.\]])\.\d",
    "one of many": rf"(?<![\d.,\u2212+])\b1 ({COUNTED})\b",
    "nothing in brackets": r"\(\s*\)|\[\s*\]",
    "a power or a root as code": r"\w\^\w|\bsqrt\b",
    "an article": r"\ba (?!and|instead|one|is|in|of|or|at|on|if|as)[aeio][a-z]+|\ban (?:[bcdfgjkpqtvwz][a-z]+)",
}
PAIRS = ("()", "[]", "“”")
LITERAL = frozenset({"typst", "path", "query", "colour", "id", "mark", "run_query"})  # not prose


def faults(data: Mapping[str, object]) -> list[str]:
    """One line for each fault in the strings of a report's data: where, what, and the words around it."""
    return [f"{place}: {what}: …{near}…" for place, text in _strings(data) for what, near in _marked(text)]


def _strings(value: object, place: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(value, str):
        yield place, value
    elif isinstance(value, Mapping):
        named = f"{place} {value['id']}" if "id" in value else place
        for key, part in value.items():
            if key not in LITERAL:
                yield from _strings(part, f"{named} {key}".strip())
    elif isinstance(value, Sequence):
        for part in value:
            yield from _strings(part, place)


def _marked(text: str) -> Iterator[tuple[str, str]]:
    for what, pattern in RULES.items():
        for found in re.finditer(pattern, text):
            yield what, text[max(0, found.start() - 20) : found.end() + 20]
    for opening, closing in PAIRS:
        if text.count(opening) != text.count(closing):
            yield f"{opening} without {closing}", text[:60]
