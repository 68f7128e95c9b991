"""The texts of statements, which Postgres shows and logs: no user id and no token is in one."""

from __future__ import annotations

import re

from tests.kit.events import event
from tests.kit.vault import Vault

ADDRESS = "203.0.113.77"
USER = "canary-user-3141"


def test_no_statement_of_an_access_or_an_erasure_names_its_user(vault: Vault) -> None:
    """Nor the reason of an entry: all are sent beside the text. So is a list, whatever its length."""
    vault.sql(f"ALTER DATABASE \"{vault.database}\" SET log_statement = 'all'")
    vault.sql(f'ALTER DATABASE "{vault.database}" SET log_parameter_max_length = 0')
    vault.send([event(ip=ADDRESS, user_id=USER), event(ip=ADDRESS)])
    before = vault.server.log.stat().st_size
    vault.ok("ingest", "ingest", extra={"VAULT_ETL_DRAIN_WAIT": "0"})
    asked = ("--reason", "canary-reason")
    tokens = {token for (token,) in vault.sql("SELECT masked_ip::text FROM user_logins")}
    vault.ok("reveal", "find", "--field", "ip", *asked, stdin=f"{ADDRESS}\n")
    vault.ok("reveal", "find", "--field", "ip", *asked, stdin=f"{ADDRESS}\n203.0.113.0/28\n")
    vault.ok("reveal", "find", "--user-id", USER, *asked)
    vault.ok("erase", "erase", "--user-id", USER, "--dry-run", *asked)
    vault.ok("erase", "erase", "--user-id", USER, "--yes", *asked)
    with vault.server.log.open(encoding="utf-8") as log:
        log.seek(before)
        logged = log.read()
    for text in ("audit_find($1", "audit_find_user($1", "erase_preview($1", "commit_erase("):
        assert text in logged
    for value in (USER, "canary-reason", *tokens):
        assert value not in logged
    assert not re.search(r"ARRAY\['|ARRAY\[\d", logged)
