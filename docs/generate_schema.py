#!/usr/bin/env python3
"""Writes migrations/schema.json: the facts of a database that the migrations have just made.

.venv/bin/python docs/generate_schema.py
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

from vault_etl.local.postgres import EmbeddedPostgres
from vault_etl.platform.postgres import Database
from vault_etl.platform.resources import resource_dir
from vault_etl.schema.postgres_migrations import PostgresMigrations
from vault_etl.schema.postgres_schema import FILE, PostgresSchema


def schema_json(facts: object) -> str:
    """The content of the file."""
    return json.dumps(facts, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def main() -> None:
    """Migrate an empty database of a server that is made for it, and write what is there."""
    folder = resource_dir("migrations")
    with tempfile.TemporaryDirectory() as place:
        embedded = EmbeddedPostgres(Path(place) / "postgres", durable=False)
        try:
            database = Database(embedded.start().admin_url)
            PostgresMigrations(database, folder).apply()
            facts = PostgresSchema(database, folder).facts()
        finally:
            embedded.destroy()
    (folder / FILE).write_text(schema_json(facts), encoding="utf-8")


if __name__ == "__main__":
    main()
