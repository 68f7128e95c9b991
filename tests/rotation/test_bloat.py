"""A rotation leaves the table as large as it was."""

from __future__ import annotations

from tests.kit.vault import Vault
from tests.rotation.events import dated_events, load_file

SIZE = "SELECT sum(pg_relation_size(inhrelid)) FROM pg_inherits WHERE inhparent = 'vault_etl.user_logins'::regclass"


def test_a_rotation_needs_the_room_that_was_left(rotation_empty: Vault) -> None:
    """Rows get their new version on their own page, a fifth of the rows at a time (HOT)."""
    load_file(rotation_empty, dated_events(500, 1))
    ((before,),) = rotation_empty.sql(SIZE)
    rotation_empty.ok("re-encrypt", "keys", "rotate", "--yes")
    ((after,),) = rotation_empty.sql(SIZE)
    assert after < 1.3 * float(before)  # of whole pages; in one transaction, 1.7
