"""Dumps of a vault, and the definitions of all that is in it, by PostgreSQL's own programs."""

from __future__ import annotations

import os
import subprocess

from tests.kit.scratch import Scratch
from tests.kit.vault import Vault
from vault_etl.local.postgres_server import find_postgres_binaries

DEFINITIONS = """
SELECT 'function ' || oid::regprocedure::text || coalesce(prosrc, '') || coalesce(proconfig::text, '')
    || prosecdef::text || proowner::regrole::text
FROM pg_proc WHERE pronamespace = 'vault_etl'::regnamespace
UNION ALL
SELECT 'trigger ' || pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal
UNION ALL
SELECT 'constraint ' || conrelid::regclass::text || ' ' || conname || ' ' || pg_get_constraintdef(oid)
FROM pg_constraint WHERE connamespace = 'vault_etl'::regnamespace
UNION ALL
SELECT 'index ' || indexdef FROM pg_indexes WHERE schemaname = 'vault_etl'
UNION ALL
SELECT 'table ' || relname || relkind::text || relowner::regrole::text
    || coalesce(pg_get_expr(relpartbound, oid), '')
FROM pg_class WHERE relnamespace = 'vault_etl'::regnamespace
"""


def dump(vault: Vault) -> bytes:
    """The whole database as SQL, by PostgreSQL's own pg_dump."""
    server = vault.server
    where = ["--host=127.0.0.1", f"--port={server.port}", "--username=admin", vault.database]
    done = subprocess.run(
        [find_postgres_binaries().bin / "pg_dump", *where],
        env={"PATH": os.defpath, "PGPASSWORD": server.passwords.of("admin")},
        capture_output=True,
        check=True,
    )
    return done.stdout


def program(database: Scratch, name: str, *arguments: str, stdin: str | None = None) -> str:
    """Run one of PostgreSQL's programs on a database as the superuser; what it printed."""
    done = subprocess.run(
        [str(find_postgres_binaries().bin / name), *arguments],
        env={
            "PATH": os.defpath,
            "PGHOST": "127.0.0.1",
            "PGPORT": str(database.server.port),
            "PGUSER": "admin",
            "PGPASSWORD": database.server.passwords.of("admin"),
            "PGDATABASE": database.name,
        },
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
