"""Differences of a database from the migrations, and members of its roles that hold more than they need."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tests.kit.declarations import DEFAULT
from tests.kit.scratch import Scratch
from vault_etl.declaration.model import Declaration
from vault_etl.doctor.postgres import PostgresFacts
from vault_etl.platform.resources import resource_dir
from vault_etl.schema.online import Statement
from vault_etl.schema.postgres_schema import PostgresSchema

FOLDER = resource_dir("migrations")


def differences(
    database: Scratch,
    role: str = "analyst",
    left: Iterable[Statement] = (),
    declaration: Declaration = DEFAULT,
) -> Sequence[str]:
    """Differences as a login sees them, while this online work is left."""
    with database.database(role) as opened:
        return PostgresSchema(opened, FOLDER, declaration).differences(left)


def odd_members(scratch: Scratch) -> dict[str, tuple[str, bool]]:
    """Odd members of roles, as an analyst sees them."""
    with scratch.database("analyst") as opened:
        return {odd.name: (odd.what, odd.is_fault) for odd in PostgresFacts(opened).odd_members()}
