"""The project of docs/how-to/dbt.md works: its macro by Jinja over two generations, and the whole of it by dbt."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jinja2
import pytest

from tests.kit.integrations import run_program
from tests.kit.pages import DOCS, documented
from tests.kit.sessions import new_session
from tests.kit.vault import Vault

PAGE = "how-to/dbt.md"
FILE = re.compile(r"`([\w./]+)`[^`\n]*:\n\n```(?:yaml|jinja)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
"""A file of the project: the sentence before its block has its name."""
IN_FORCE = "device_days_have_tokens_in_force"
GENERATIONS = """
SELECT record_id, masked_ip, {{ as_of_generation('masked_ip', 1) }}, {{ as_of_generation('masked_ip', 2) }}
FROM vault_etl.user_logins
ORDER BY record_id
"""
ROTATE = ("keys", "rotate", "--tokens", "--yes")


def test_the_macro_names_the_tokens_of_each_generation(filled: Vault) -> None:
    """A record has the token of generation 1 before and after a rotation, and that of 2 after it.

    What doctor says of the login are its four grants.
    """
    statement = jinja2.Template(
        _files()["logins/macros/as_of_generation.sql"] + GENERATIONS
    ).render()
    with _dbt_login(filled):
        held = filled.run("audit", "doctor").lines
        before = _asked(filled, statement)
        filled.ok("re-encrypt", *ROTATE)
        after = _asked(filled, statement)
    assert len(before) == 3
    schema = [line["detail"] for line in held if line["check"] == "schema"]
    assert len(schema) == 4
    assert all(" to dbt is " in each for each in schema)
    assert [(shown, second) for _, shown, first, second in before] == [
        (first, None) for _, _, first, _ in before
    ]
    assert [(record, first) for record, _, first, _ in after] == [
        (record, first) for record, _, first, _ in before
    ]
    assert all(shown == second != first for _, shown, first, second in after)


@pytest.mark.system
@pytest.mark.timeout(400)
def test_the_project_is_built_before_and_after_a_rotation(filled: Vault) -> None:
    """Its test finds old tokens that are kept, until the model is made again; its map leads from old to new."""
    ip = filled.ok(
        "reveal", "reveal", *_ids(filled)[:1], "--field", "ip", "--reason", "a test"
    ).lines[0]["fields"]["ip"]
    project = filled.home / "logins"
    for name, content in _files().items():
        (filled.home / name).parent.mkdir(parents=True, exist_ok=True)
        (filled.home / name).write_text(content, encoding="utf-8")
    tokens = filled.ok("reveal", "tokens", "--field", "ip", "--reason", "a test", stdin=f"{ip}\n")
    (project / "seeds").mkdir()
    (project / "seeds" / "fraud_list.csv").write_text(f"token\n{tokens.stdout}", encoding="utf-8")
    with _dbt_login(filled):
        filled.sql(f'REVOKE TEMPORARY ON DATABASE "{filled.database}" FROM PUBLIC')
        filled.sql(f'GRANT TEMPORARY ON DATABASE "{filled.database}" TO dbt')
        assert _failed(filled, project) == []
        assert (
            str(filled.sql("SELECT record_id FROM analytics.fraud_logins")[0][0]) == _ids(filled)[0]
        )
        filled.ok("re-encrypt", *ROTATE)
        assert _failed(filled, project) == [IN_FORCE]
        assert filled.sql("SELECT FROM analytics.fraud_logins") == []
        mapped = filled.sql(
            "SELECT l.record_id FROM analytics.fraud_list AS f JOIN analytics.ip_map AS m ON m.old_token = f.token"
            " JOIN user_logins AS l ON l.masked_ip = m.new_token"
        )
        assert str(mapped[0][0]) == _ids(filled)[0]
        assert _failed(filled, project, "--full-refresh") == []


@contextmanager
def _dbt_login(vault: Vault) -> Iterator[None]:
    """Make the login of the page; it leaves with what it owns."""
    (statements,) = documented(PAGE, "sql")
    vault.sql(statements.replace("…", vault.server.passwords.of("dbt")))
    try:
        yield
    finally:
        vault.sql("DROP OWNED BY dbt; DROP ROLE dbt")


def _files() -> dict[str, str]:
    return dict(FILE.findall((DOCS / PAGE).read_text(encoding="utf-8")))


def _ids(vault: Vault) -> list[str]:
    return [str(each) for (each,) in vault.sql("SELECT record_id FROM user_logins ORDER BY 1")]


def _asked(vault: Vault, statement: str) -> list[tuple[Any, ...]]:
    with (
        new_session(vault.server.url("dbt", vault.database)) as session,
        session.cursor() as cursor,
    ):
        cursor.execute(statement)
        return cursor.fetchall()


def _failed(vault: Vault, project: Path, *options: str) -> list[str]:
    """Build the project, and return the names of the models and tests that failed."""
    environment = {
        "PGHOST": "127.0.0.1",
        "PGPORT": str(vault.server.port),
        "PGDATABASE": vault.database,
        "PGPASSWORD": vault.server.passwords.of("dbt"),
        "PGSSLMODE": "disable",
        "DO_NOT_TRACK": "1",
    }
    done = run_program(["dbt", "build", *options], environment, project)
    results = json.loads((project / "target" / "run_results.json").read_text(encoding="utf-8"))
    failed = [each for each in results["results"] if each["status"] not in {"success", "pass"}]
    assert (done.returncode == 0) == (not failed), done.stdout + done.stderr
    return [each["unique_id"].split(".")[2] for each in failed]
