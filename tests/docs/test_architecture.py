"""docs/architecture.md names files and names that exist, and the contracts that it states hold."""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

REPOSITORY: Final = Path(__file__).parents[2]
PACKAGE: Final = REPOSITORY / "vault_etl"
PAGE: Final = (REPOSITORY / "docs" / "architecture.md").read_text(encoding="utf-8")
STEPS: Final = [
    tuple(cell.strip() for cell in row.strip("|\n").split("|"))
    for row in re.findall(
        r"^\|[^|\n]+\|[^|\n]+\.(?:py|sql)`[^|\n]*\|[^|\n]*\|$", PAGE, re.MULTILINE
    )
]
VENDORS: Final = {
    "psycopg2": r"(?:platform|local)/.*|(?:.*/)?postgres\w*\.py",
    "boto3": r"(?:platform|local)/.*|(?:.*/)?(?:\w+_)?(?:kms|sqs|sts|s3|aws)\w*\.py",
    "botocore": r"(?:platform|local)/.*|(?:.*/)?(?:\w+_)?(?:kms|sqs|sts|s3|aws)\w*\.py",
    "pyarrow": r"(?:.*/)?(?:parquet|arrow)\w*\.py",
    "pyspark": r"spark/.*",
    "prometheus_client": r"ingest/metrics/.*|(?:.*/)?prometheus\.py",
    "opentelemetry": r"platform/traces\.py",
}
"""A package, and the files of vault_etl that may import it."""


def found(path: str) -> Path:
    """The file or folder that the page means."""
    return (REPOSITORY if path.startswith("migrations/") else PACKAGE) / path


def names_in(file: Path) -> set[str]:
    """The classes and functions of a module, methods too; the functions of an SQL file."""
    text = file.read_text(encoding="utf-8")
    if file.suffix == ".sql":
        return set(re.findall(r"FUNCTION vault_etl\.(\w+)", text))
    return {
        node.name
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.ClassDef | ast.FunctionDef)
    }


def test_the_page_has_its_steps() -> None:
    """The page has kept its form, so that the next test reads its rows."""
    assert len(STEPS) > 30


@pytest.mark.parametrize(("step", "files", "names"), STEPS, ids=lambda cell: str(cell)[:30])
def test_each_step_names_files_and_names_that_exist(step: str, files: str, names: str) -> None:
    """Every name of a step is defined in one of its files."""
    defined: set[str] = set()
    for path in re.findall(r"`([\w/]+\.(?:py|sql))`", files):
        assert found(path).is_file(), (step, path)
        defined |= names_in(found(path))
    assert set(re.findall(r"`(\w+)`", names)) <= defined, step


def test_each_slice_of_the_page_exists() -> None:
    """Every folder that the page names is there, and every folder of the package is on the page."""
    named = re.findall(r"`((?:\w+/)+)`", PAGE.split("## The life of a message")[0])
    assert all(found(path).is_dir() for path in named if path not in {"vault_etl/", "migrations/"})
    folders = {
        f"{folder.name}/" for folder in PACKAGE.iterdir() if (folder / "__init__.py").exists()
    }
    assert folders <= set(named)


def imports(file: Path) -> Iterator[str]:
    """The first part of each name that a module imports, at any depth."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module.partition(".")[0]


@functools.cache
def imported() -> dict[Path, set[str]]:
    """The imports of each module of the package."""
    return {file: set(imports(file)) for file in PACKAGE.rglob("*.py")}


@pytest.mark.parametrize("vendor", VENDORS)
def test_a_vendor_is_imported_only_in_files_named_after_it(vendor: str) -> None:
    """A reader finds the SQL and the calls of AWS by the names of files."""
    others = {
        str(file.relative_to(PACKAGE)) for file, names in imported().items() if vendor in names
    }
    assert not {file for file in others if not re.fullmatch(VENDORS[vendor], file)}
