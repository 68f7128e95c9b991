"""A command imports what it works with and nothing else, and is not searched for garbage: both take most of a start."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from tests.kit.vault import Vault

RUN = """
import gc, sys
searches = lambda: sum(each["collections"] for each in gc.get_stats())
before = searches()
from vault_etl.cli.main import main
sys.argv = ["vault-etl", *sys.argv[1:]]
try:
    main()
finally:
    print("searched", searches() - before, "searched at the end", gc.get_count()[0], file=sys.stderr)
    print("imported", *sys.modules, file=sys.stderr)
"""
NEVER = {"asyncio", "boto3", "pydantic", "rich", "s3transfer"}
"""Modules that are installed, and that no short command needs in a pipe."""
FEW = 1_000
"""Objects that Python searches for garbage when it ends; a command has made 30,000 and more."""
ASKS_NO_AWS = NEVER | {"botocore", "importlib.resources", "urllib3", "vault_etl.platform.aws"}
ASKS_NOTHING = ASKS_NO_AWS | {"psycopg2", "jinja2", "vault_etl.platform.postgres"}
OPENS_NOTHING = ASKS_NO_AWS | {"cachetools", "vault_etl.audit", "vault_etl.keys.ring"}
RENDERS_NOTHING = NEVER | {"jinja2", "vault_etl.declaration.sql_render"}


@pytest.mark.parametrize(
    ("role", "words", "absent"),
    [
        ("analyst", ("config",), ASKS_NOTHING | {"cryptography", "vault_etl.declaration.model"}),
        ("analyst", ("schema", "show"), ASKS_NOTHING),
        ("analyst", ("duplicates", "--field", "ip"), OPENS_NOTHING),
        ("reveal", ("find", "--user-id", "4711", "--reason", "x"), RENDERS_NOTHING),
        ("audit", ("audit", "list"), RENDERS_NOTHING),
    ],
    ids=lambda value: "-".join(value[:2]) if isinstance(value, tuple) else "",
)
def test_a_command_imports_what_it_works_with(
    loaded: Vault, role: str, words: tuple[str, ...], absent: set[str]
) -> None:
    """An upgrade of a library may import more, or use pydantic where it did not. Nor is it searched for garbage."""
    done = subprocess.run(
        [sys.executable, "-c", RUN, *words],
        env=loaded.environment(role),
        cwd=loaded.home,
        capture_output=True,
        text=True,
        check=True,
    )
    *_, searched, told = done.stderr.splitlines()
    assert told.startswith("imported ")
    assert not absent & set(told.split())
    times, left = map(int, re.findall(r"\d+", searched))
    assert times <= 1
    assert left < FEW
