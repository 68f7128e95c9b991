"""After the whole job no address and no device id of the samples is stored anywhere but in the queue."""

from __future__ import annotations

import base64

from tests.attacks.leaks.search import found
from tests.kit.dumps import dump
from tests.kit.samples import sample_values
from tests.kit.vault import Vault, sample_events

CANARY = "203.0.113.250"


def test_no_sample_is_readable_in_dump_logs_or_output(vault: Vault) -> None:
    """No sample is in a full dump, the server's log, or the output of a command, where canaries are found."""
    values = sample_values()
    vault.send(sample_events())
    printed = ""
    record_id = ""
    for role, *args in (
        ("ingest", "ingest", "--verbose"),
        ("analyst", "duplicates", "--field", "ip", "--limit", "1000", "--verbose"),
        ("analyst", "duplicates", "--field", "device_id", "--limit", "1000", "--verbose"),
        ("re-encrypt", "keys", "rotate", "--yes", "--verbose"),
        ("audit", "keys", "list", "--verbose"),
        ("reveal", "reveal", "ID", "--reason", f"canary {CANARY}", "--verbose"),
        ("audit", "audit", "list", "--verbose"),
    ):
        done = vault.ok(role, *(record_id if arg == "ID" else arg for arg in args))
        printed += done.stderr
        if args[0] != "reveal":  # what it is for
            printed += done.stdout
        ((record_id,),) = vault.sql("SELECT max(record_id::text) FROM user_logins")
    plant(vault)
    dumped, logged = dump(vault), vault.server.log.read_bytes()

    assert found([CANARY], dumped) == {(CANARY, "text"), (CANARY, "hex"), (CANARY, "base64")}
    assert found([CANARY], logged) == {(CANARY, "text")}
    assert found([CANARY], printed.encode()) == {(CANARY, "text")}
    assert dumped.count(record_id.encode()) >= 1
    assert found(values, dumped) == set()
    assert found(values, logged) == set()
    assert found(values, printed.encode()) == set()


def test_the_search_would_find_the_samples_in_their_own_file() -> None:
    """Every one of the values searched for is found in the bodies that were sent."""
    values = sample_values()
    assert len(values) > 150
    assert {value for value, _ in found(values, "\n".join(sample_events()).encode())} == values


def plant(vault: Vault) -> None:
    """Put canaries into the database: as text, as bytes (dumped as hex), as base64; and into the log."""
    vault.sql("CREATE TABLE canary (as_text text, as_bytes bytea, as_base64 text)")
    sealed = f"before {CANARY} behind"
    encoded = base64.b64encode(sealed.encode()).decode()
    vault.sql("INSERT INTO canary VALUES (%s, %s, %s)", sealed, sealed.encode(), encoded)
    vault.sql(f"DO $$ BEGIN RAISE LOG 'canary {CANARY}'; END $$")
