"""`ingest` under another declaration: its events are counted, and its workers and a queue of no event are refused."""

from __future__ import annotations

import json

from tests.kit.declarations import TWO_EVENTS_TOML
from tests.kit.vault import Vault

SIGN_UP = {"type": "sign-up", "client": {"ip": "::1", "user": "p"}, "is_new": "true"}
ORDER = {"type": "order", "buyer": "b", "ip": "198.51.100.7", "extra": 1}


def declared(vault: Vault, text: str) -> dict[str, str | None]:
    """The setting that names a file with this declaration."""
    path = vault.home / "vault-etl.schema.toml"
    path.write_text(text, encoding="utf-8")
    return {"VAULT_ETL_SCHEMA_FILE": str(path)}


def test_a_dry_run_counts_the_declared_events(vault: Vault) -> None:
    """Both events count; a message of neither is named by its reason, and each fault by its declared path."""
    bad = SIGN_UP | {"client": {"ip": "x", "user": "p"}}
    lines = [SIGN_UP, ORDER, bad, {"type": "other"}]
    (vault.home / "f").write_text("\n".join(map(json.dumps, lines)))
    extra = declared(vault, TWO_EVENTS_TOML)
    found = vault.run("ingest", "ingest", "--file", "f", "--dry-run", "-o", "json", extra=extra)
    assert found.code == 0, found.stderr
    shown = found.json
    assert (shown["records"], shown["events"], shown["quarantined"]) == (4, 2, 2)
    assert shown["extra_field_names"] == {"extra": 1}
    assert [(row["reason_code"], row["path"], row["first"]) for row in shown["reasons"]] == [
        ("not_an_address", "$.client.ip", [3]),
        ("no_event", "$", [4]),
    ]


def test_a_header_row_has_the_names_of_one_event(vault: Vault) -> None:
    """The cells are texts. The error names what the nearest event requires."""
    extra = declared(vault, TWO_EVENTS_TOML)
    (vault.home / "f.csv").write_text("type,buyer,ip\norder,b,::1\norder,c,\n")
    arguments = ("ingest", "--file", "f.csv", "--dry-run", "-o", "json")
    found = vault.run("ingest", *arguments, extra=extra)
    assert (found.code, found.json["events"]) == (0, 2), found.stderr
    (vault.home / "f.csv").write_text("type,ip\norder,::1\n")
    refused = vault.run("ingest", *arguments, extra=extra)
    assert refused.code == 65
    assert "has no buyer" in refused.stderr
    assert "type, buyer" in refused.stderr


def test_workers_with_another_declaration_are_refused(vault: Vault) -> None:
    """Behind the fence: the parent ends with 78 instead of starting them again, and the message stays on the queue."""
    vault.send([json.dumps(ORDER)])
    refused = vault.run(
        "ingest", "ingest", "--workers", "2", extra=declared(vault, TWO_EVENTS_TOML)
    )
    assert (refused.code, "is not the one in force" in refused.stderr) == (78, True), refused.stderr
    assert (sum(vault.depth()), vault.count("quarantine"), vault.count("user_logins")) == (1, 0, 0)


def test_a_queue_that_no_event_takes_is_refused(vault: Vault) -> None:
    """Every message would be quarantined: `ingest` says so before it receives one."""
    text = TWO_EVENTS_TOML.replace('subject = "person"', 'subject = "person"\nqueue = "sign-ups"')
    text = text.replace('subject = "buyer"', 'subject = "buyer"\nqueue = "orders"')
    refused = vault.run("ingest", "ingest", extra=declared(vault, text))
    assert refused.code == 78
    assert "no event of the declaration takes messages of the queue" in refused.stderr
