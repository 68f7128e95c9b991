"""One word has one meaning (docs/glossary.md), and a text for people is plain English (CONTRIBUTING.md)."""

from __future__ import annotations

import ast
import re
from collections import Counter
from pathlib import Path
from typing import Final

import pytest

REPOSITORY: Final = Path(__file__).parents[2]
PLACES: Final = (
    "*.*",
    "Makefile",
    ".ci/*",
    ".github/**/*.*",
    "benchmarks/*.*",
    "benchmarks/peers/**/*.py",
    "benchmarks/sqs/*.py",
    "docker/*.*",
    "docs/*.py",
    "docs/**/*.md",
    "keys/**/*.*",
    "tests/*.py",
    "tests/app/**/*.py",
    "tests/attacks/**/*.py",
    "tests/audit/**/*.py",
    "tests/base/**/*.py",
    "tests/benchmarks/**/*.py",
    "tests/cli/**/*.py",
    "tests/crypto/**/*.py",
    "tests/declaration/**/*.py",
    "tests/docs/**/*.py",
    "tests/doctor/**/*.py",
    "tests/endurance/**/*.py",
    "tests/erase/**/*.py",
    "tests/event/**/*.py",
    "tests/fuzz/**/*.py",
    "tests/ingest/**/*.py",
    "tests/keys/**/*.py",
    "tests/kinds/**/*.py",
    "tests/kit/**/*.py",
    "tests/local/**/*.py",
    "tests/packaging/**/*.py",
    "tests/partitions/**/*.py",
    "tests/platform/**/*.py",
    "tests/quarantine/**/*.py",
    "tests/records/**/*.py",
    "tests/reveal/**/*.py",
    "tests/rotation/**/*.py",
    "tests/schema/**/*.py",
    "tests/subject/**/*.py",
    "tests/vectors/**/*.py",
    "vault_etl/**/*.*",
)
"""Patterns of the files whose every word is held to the list."""

BANNED: Final = {
    r"anew": "again",
    r"who(?:so)?ever|whomever": "the caller, another process, an operator, a user",
    r"(?:some|any|every|no)body": "a person, a role, every login, no process",
    r"ought": "must, expected",
    r"\w*doomed\w*": "to be destroyed",
    r"(?<!there )(?:is|are|was|were) none": "is not a, has no",
    r"\w*re-?seal\w*": "re-encrypt",
    r"looks? (?:at|for|through)|looked (?:at|for|through)|looking (?:at|for|through)": (
        "check, inspect, read, find, search"
    ),
    r"(?:a|the|each|every|one|no|many|this) looks?": "an access, a search, a check",
    r"stands(?! for)": "is stored, is, holds",
    r"put away": "detached",
    r"gone? on with|goes on with": "continue",
}
"""A pattern of whole words, and the words to use instead."""
ANY_BANNED: Final = re.compile("|".join(rf"\b(?:{pattern})\b" for pattern in BANNED))

ALLOWED: Final = re.compile(r"//(?:no|some)body|[`'\"_]nobody|nobody['\"_]")
"""The user of the system that has this name, and logins in the URLs of tests."""

SUFFIXES: Final = {"", ".md", ".py", ".sql", ".toml", ".yaml", ".yml"}
EXEMPT: Final = {
    "CONTRIBUTING.md",
    "tests/docs/test_words.py",
    "tests/vectors/canonical_cases.py",
    "tests/vectors/generate.py",
}
"""The files that list the words, and the sources of frozen vectors."""

OPENINGS: Final = re.compile(r"(?:What|Who|Whether|How|It|See|Where|Nothing|That)\b")
"""Words that open no docstring: a docstring starts with a verb or a noun."""

SOURCES: Final = sorted((REPOSITORY / "vault_etl").rglob("*.py"))
OPENED: Final = (
    "benchmarks",
    "docs",
    "tests/attacks",
    "tests/docs",
    "tests/endurance",
    "tests/kit",
    "tests/packaging",
    "tests/schema",
    "vault_etl",
)
"""Folders whose every docstring is held to the openings."""


@pytest.mark.parametrize("place", PLACES)
def test_a_text_has_no_banned_word(place: str) -> None:
    """Each word that the glossary gives up has a plain one in its place."""
    found: list[str] = []
    for file in REPOSITORY.glob(place):
        name = str(file.relative_to(REPOSITORY))
        if name in EXEMPT or not file.is_file() or file.suffix not in SUFFIXES:
            continue
        text = ALLOWED.sub("", file.read_text(encoding="utf-8"))
        found += [
            f"{name}:{text.count(chr(10), 0, match.start()) + 1}: {match[0]!r}: say {instead}"
            for match in ANY_BANNED.finditer(text)
            for pattern, instead in BANNED.items()
            if re.fullmatch(pattern, match[0])
        ]
    assert not found, "\n".join(found)


def test_a_docstring_starts_with_a_verb_or_a_noun() -> None:
    """No docstring of a module, class or function opens with What, Who, Whether, How, It or See."""
    found = [
        f"{file.relative_to(REPOSITORY)}:{node.body[0].lineno}: {text.partition(chr(10))[0]}"
        for folder in OPENED
        for file in sorted((REPOSITORY / folder).rglob("*.py"))
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)
        and OPENINGS.match(text := ast.get_docstring(node) or "")
    ]
    assert not found, "\n".join(found)


def test_no_source_has_over_300_lines() -> None:
    """A file has one job, and fits into 300 lines."""
    templates = (REPOSITORY / "keys").rglob("*.jinja")
    sql = [*(REPOSITORY / "migrations").glob("0*.sql"), *(REPOSITORY / "vault_etl").rglob("*.sql")]
    deployed = [*(REPOSITORY / "deploy").rglob("*.y*ml"), *(REPOSITORY / "deploy").rglob("*.tf")]
    folders = ("benchmarks", "docs", "tests", "vault_etl")
    python = [file for folder in folders for file in (REPOSITORY / folder).rglob("*.py")]
    sources = [*python, *templates, *sql, *deployed]
    assert sql
    assert deployed
    assert not [
        file for file in sources if len(file.read_text(encoding="utf-8").splitlines()) > 300
    ]


def test_no_file_is_named_after_no_job() -> None:
    """A name says the one job of a file."""
    vague = {"utils", "util", "common", "helpers", "helper", "manager", "misc"}
    assert not [file for file in SOURCES if vague & set(file.stem.split("_"))]


def test_no_class_name_is_used_twice() -> None:
    """A name says which class it is, without its module."""
    names = Counter(
        node.name
        for file in SOURCES
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_")
    )
    assert not [name for name, count in names.items() if count > 1]
