"""Sessions of the tests, which find the vault's tables without the schema, as a person in psql may have it."""

from __future__ import annotations

import psycopg2
from psycopg2.extensions import connection

PATH = "-c search_path=vault_etl,public"


def connect(url: str) -> connection:
    """A session of psycopg2 that looks names up in the vault's schema first."""
    return psycopg2.connect(url, options=PATH)
