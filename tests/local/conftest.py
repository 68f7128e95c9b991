"""Stacks in temporary folders, and what only root can try."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path

import psycopg2
import pytest

from vault_etl.local.postgres import EmbeddedPostgres, RunningPostgres
from vault_etl.local.stack import EmbeddedStack

# Another user id, and `nobody`, can be had by root alone: without it there is nothing to collect.
collect_ignore = [] if os.geteuid() == 0 else ["test_as_root.py"]


@pytest.fixture(scope="session")
def own_postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedPostgres]:
    """A server that tests may stop, kill and start again; they leave it running."""
    embedded = EmbeddedPostgres(tmp_path_factory.mktemp("own") / "stack", durable=False)
    try:
        embedded.start()
        yield embedded
    finally:
        embedded.destroy()


@pytest.fixture
def running(own_postgres: EmbeddedPostgres) -> RunningPostgres:
    """The server, running."""
    return own_postgres.start()


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[EmbeddedStack]:
    """A stack that is not started, and whose own commands are replaced by the least that it needs."""
    made = EmbeddedStack(tmp_path / "stack", durable=False, run_command=least_commands)
    try:
        yield made
    finally:
        made.reset()


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedStack]:
    """One that runs, for tests that leave it as it is. A start takes seconds."""
    made = EmbeddedStack(
        tmp_path_factory.mktemp("started") / "stack", durable=False, run_command=least_commands
    )
    try:
        made.start()
        yield made
    finally:
        made.reset()


def least_commands(
    arguments: Sequence[str], environment: Mapping[str, str], _directory: Path
) -> None:
    """Instead of `migrate`: the group roles, and tables for one row each. The real one takes seconds."""
    if arguments != ["migrate"]:
        return
    with (
        closing(psycopg2.connect(environment["VAULT_ETL_DATABASE_URL"])) as connection,
        connection.cursor() as cursor,
    ):
        for role in (
            "owner", "ingest", "reveal", "rotate", "re_encrypt", "erase", "audit", "analyst",
        ):  # fmt: skip
            cursor.execute("SELECT FROM pg_roles WHERE rolname = %s", (f"vault_etl_{role}",))
            if cursor.rowcount == 0:
                cursor.execute(f"CREATE ROLE vault_etl_{role} NOLOGIN")
        for table in ("data_keys", "user_logins", "quarantine"):
            cursor.execute(f"CREATE TABLE IF NOT EXISTS public.{table} (id integer)")
        connection.commit()
