"""Events while a month is archived: made by a trigger, in the transaction that commits the intent."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Final

from tests.kit.vault import Vault
from vault_etl.declaration.model import DeclaredEvent

CHANGE: Final = """
    UPDATE vault_etl_detached.MONTH SET COLUMN = 'xx'
    WHERE record_id = (SELECT record_id FROM vault_etl_detached.MONTH LIMIT 1);
"""
ATTACHED: Final = """
    PERFORM vault_etl.partition_prepare('MONTH');
    PERFORM vault_etl.partition_attach('MONTH');
    UPDATE vault_etl.EVENT SET COLUMN = 'xx' WHERE record_id >= month.first AND record_id < month.until;
    ALTER TABLE vault_etl.EVENT DETACH PARTITION vault_etl.MONTH;
    INSERT INTO vault_etl.closed_months (event, first, until, partition)
    VALUES (month.event, month.first, month.until, 'MONTH');
    PERFORM vault_etl.partition_move_detached('MONTH');
"""
"""Changed while it was attached, and detached again."""
OTHER_ARCHIVE: Final = f"""
    {CHANGE}
    PERFORM vault_etl.archive_record(
        'MONTH', vault_etl.archive_begin('MONTH'), '/other/archive', sha256('manifest')
    );
    {CHANGE}
"""
"""Changed, archived by another run, and changed again."""


@contextlib.contextmanager
def meanwhile(vault: Vault, event: DeclaredEvent, name: str, done: str) -> Iterator[None]:
    """Have this done to a month of the event, after its rows are counted and before they are read."""
    for word, meant in (("MONTH", name), ("EVENT", event.name), ("COLUMN", event.details[0])):
        done = done.replace(word, meant)
    vault.sql(
        f"""
        CREATE FUNCTION vault_etl.meanwhile() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
        DECLARE
            month vault_etl.closed_months;
        BEGIN
            SELECT m.* INTO STRICT month FROM vault_etl.closed_months AS m WHERE m.partition = '{name}';
            {done}
            RETURN NULL;
        END $$;
        CREATE TRIGGER meanwhile AFTER INSERT ON audit_log FOR EACH ROW
        WHEN (NEW.action = 'partitions archive' AND NEW.phase = 'intent') EXECUTE FUNCTION meanwhile()
        """  # noqa: S608
    )
    try:
        yield
    finally:
        vault.sql("DROP FUNCTION meanwhile() CASCADE")
