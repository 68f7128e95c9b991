"""Stacks in temporary folders, and tests that need root."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.local.least_commands import least_commands
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
    """The running server."""
    return own_postgres.start()


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[EmbeddedStack]:
    """A stack that is not started, and whose own commands are replaced by minimal ones."""
    made = EmbeddedStack(tmp_path / "stack", durable=False, run_command=least_commands)
    try:
        yield made
    finally:
        made.reset()


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedStack]:
    """A running stack, for tests that do not change it. A start takes seconds."""
    made = EmbeddedStack(
        tmp_path_factory.mktemp("started") / "stack", durable=False, run_command=least_commands
    )
    try:
        made.start()
        yield made
    finally:
        made.reset()
