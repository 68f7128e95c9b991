"""`keys destroy` through the real command: refused while a value or a lease needs the key, and final afterwards."""

from __future__ import annotations

import pytest

from tests.keys.key_rows import GONE, LEFT, STATE, data_key, expired_key, token_keys
from tests.kit.denials import denied
from tests.kit.generations import KEPT, reveal_all
from tests.kit.processes import fails, terminal
from tests.kit.vault import Vault


@pytest.mark.parametrize("role", ["rotate", "re-encrypt"])
def test_an_unneeded_key_is_destroyed(filled: Vault, role: str) -> None:
    """Its bytes are deleted, its entry stays, and the values that it sealed before open under another key."""
    key_id, revealed = data_key(filled, "ip"), reveal_all(filled)
    filled.ok("re-encrypt", "keys", "rotate", "--yes")
    result = filled.ok(role, "keys", "destroy", str(key_id), "--yes")
    assert result.json == {"destroyed": [key_id], "rows_cleared": 0}
    assert KEPT in result.stderr
    assert filled.sql(STATE, key_id) == [GONE]
    assert reveal_all(filled) == revealed
    (intent, outcome) = filled.sql(
        "SELECT phase, decision, reason, fields::text, login FROM audit_log"
        " WHERE action = 'keys destroy' ORDER BY seq"
    )
    said = (f"data key {key_id} of ip", "{ip}", f"test_{role.replace('-', '_')}")
    assert (intent, outcome) == (("intent", "allowed", *said), ("outcome", "done", *said))
    assert filled.ok("audit", "audit", "verify").json["ok"]


def test_the_end_is_on_disk_when_it_is_reported(filled: Vault) -> None:
    """The server's own setting does not matter: a crash must not bring the bytes back."""
    key_id = data_key(filled, "ip")
    filled.ok("re-encrypt", "keys", "rotate", "--yes")
    filled.sql(f'ALTER DATABASE "{filled.database}" SET synchronous_commit = off')
    filled.sql(
        "CREATE FUNCTION told() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        " NEW.destroyed_at := CASE current_setting('synchronous_commit') WHEN 'on' THEN now() END;"
        " RETURN NEW; END $$"
    )
    filled.sql(
        "CREATE TRIGGER told BEFORE UPDATE ON data_keys FOR EACH ROW EXECUTE FUNCTION told()"
    )
    filled.ok("rotate", "keys", "destroy", str(key_id), "--yes")
    assert filled.sql(STATE, key_id) == [GONE]


def test_a_second_destroy_has_nothing_to_do(filled: Vault) -> None:
    """Exit 0 with a message, and without an entry; --quiet prints no message."""
    key_id = data_key(filled, "ip")
    filled.ok("re-encrypt", "keys", "rotate", "--yes")
    first = filled.ok("rotate", "keys", "destroy", str(key_id), "--yes", "--quiet")
    assert KEPT not in first.stderr
    entries = filled.count("audit_log")
    again = filled.ok("rotate", "keys", "destroy", str(key_id))
    assert again.json == {"destroyed": [], "rows_cleared": 0}
    assert "already destroyed" in again.stderr
    assert filled.count("audit_log") == entries


@pytest.mark.parametrize(
    ("field", "count"), [("ip", "3 values of records"), ("quarantine", "1 quarantined bodies")]
)
@pytest.mark.parametrize("args", [("--yes",), ("--dry-run",)], ids=lambda args: args[0])
def test_a_sealed_value_keeps_its_key(
    filled: Vault, field: str, count: str, args: tuple[str, ...]
) -> None:
    """Exit 78 with the count and the remedy, for a retired key, which keeps its bytes."""
    key_id = data_key(filled, field)
    filled.ok("rotate", "keys", "rotate", "--lazy", "--yes")
    result = filled.run("rotate", "keys", "destroy", str(key_id), *args)
    fails(result, 78, f"data key {key_id} of {field} is needed: {count}")
    assert "keys rotate" in result.stderr.splitlines()[-1]
    assert filled.sql(STATE, key_id) == [LEFT]
    failed = filled.sql("SELECT error_code FROM audit_log WHERE decision = 'failed'")
    assert failed == ([] if args == ("--dry-run",) else [("failed",)])


def test_a_value_in_the_place_of_another_field_keeps_its_key(filled: Vault) -> None:
    """A moved value does not open, but the key that sealed it is still needed."""
    key_id = data_key(filled, "quarantine")
    filled.ok("rotate", "keys", "rotate", "--lazy", "--yes")
    filled.sql(
        "WITH body AS (UPDATE quarantine AS q SET body_ciphertext = NULL FROM quarantine AS old"
        " WHERE old.record_id = q.record_id RETURNING old.body_ciphertext)"
        " UPDATE user_logins SET device_id_ciphertext = body.body_ciphertext FROM body"
    )
    fails(filled.run("rotate", "keys", "destroy", str(key_id), "--yes"), 78, "3 values of records")
    assert filled.sql(STATE, key_id) == [LEFT]


def test_a_running_lease_keeps_its_key(filled: Vault) -> None:
    """An active key may gain a row at any time, though it has none now."""
    key_id = data_key(filled, "ip")
    filled.sql("UPDATE user_logins SET ip_ciphertext = NULL")
    for args in ("--yes", "--dry-run"):
        result = filled.run("rotate", "keys", "destroy", str(key_id), args)
        fails(result, 78, "is needed: 1 running lease")
    assert filled.sql(STATE, key_id) == [("active", False, True)]


def test_an_expired_lease_keeps_no_key(filled: Vault) -> None:
    """The database's clock decides. The key is retired first, which its rows' count depends on."""
    key_id = expired_key(filled)
    planned = filled.ok("rotate", "keys", "destroy", str(key_id), "--dry-run").json
    assert filled.sql(STATE, key_id) == [("active", False, True)]
    assert filled.ok("rotate", "keys", "destroy", str(key_id), "--yes").json == planned
    assert planned == {"destroyed": [key_id], "rows_cleared": 0}
    assert filled.sql(STATE, key_id) == [GONE]


def test_an_expired_key_that_is_needed_stays_retired(filled: Vault) -> None:
    """No process may write under the key any more; the values that it sealed still need it."""
    key_id = expired_key(filled)
    stored = b"\x01" + key_id.to_bytes(4, "big") + bytes(44)
    filled.sql("UPDATE user_logins SET device_id_ciphertext = %s", stored)
    fails(filled.run("rotate", "keys", "destroy", str(key_id), "--yes"), 78, "3 values")
    assert filled.sql(STATE, key_id) == [LEFT]


def test_an_unknown_key_is_not_found(filled: Vault) -> None:
    """Exit 66; a malformed id is a usage error."""
    fails(filled.run("rotate", "keys", "destroy", "1", "--yes"), 66, "there is no key 1")
    for bad in ("0", "-1", str(2**32), "x", ""):
        assert filled.run("rotate", "keys", "destroy", bad, "--yes").code == 2


def test_a_row_under_a_destroyed_key_is_not_revealed(filled: Vault) -> None:
    """The row is made by hand, past every check: exit 65, and no value."""
    key_id = data_key(filled, "ip")
    filled.ok("rotate", "keys", "rotate", "--lazy", "--yes")
    filled.sql(
        "UPDATE data_keys SET state = 'destroyed', wrapped_key = NULL WHERE key_id = %s", key_id
    )
    ((record_id,),) = filled.sql("SELECT record_id::text FROM user_logins LIMIT 1")
    result = filled.run("reveal", "reveal", record_id, "--reason", "a test")
    assert (result.code, result.stdout) == (65, "")
    assert f"vault-etl: error: key {key_id} is destroyed" in result.stderr


@pytest.mark.parametrize("role", ["reveal", "ingest", "audit", "erase", "analyst"])
def test_other_roles_may_not_destroy_keys(filled: Vault, role: str) -> None:
    """Exit 77 for any id, on the record where the login may write it."""
    key_id = data_key(filled, "ip")
    filled.ok("re-encrypt", "keys", "rotate", "--yes")
    for asked in (key_id, 1):
        entries = filled.count("audit_log")
        fails(filled.run(role, "keys", "destroy", str(asked), "--yes"), 77, "login")
        expected = [("keys destroy", "role")] if role == "reveal" else []
        assert denied(filled, entries) == expected
    assert filled.sql(STATE, key_id) == [LEFT]


def test_destroy_asks_first(filled: Vault) -> None:
    """Without a terminal the command needs --yes; on a terminal it names the keys, and the answer no is exit 75."""
    key_id = token_keys(filled, 1)[0]
    fails(filled.run("rotate", "keys", "destroy", str(key_id)), 2, "no terminal")
    with terminal(filled, "rotate", "keys", "destroy", str(key_id), columns=200) as shown:
        ids = " and ".join(map(str, token_keys(filled, 1)))
        shown.expect(f"Destroy generation 1 of the token keys ({ids}) and its old tokens for good?")
        shown.type("n")
        assert shown.finish().code == 75
    assert filled.sql("SELECT count(*) FROM audit_log WHERE action = 'keys destroy'") == [(0,)]
