"""`keys destroy --unused` and `keys list` through the real command, over the keys of many short runs."""

from __future__ import annotations

from typing import Any

import pytest

from tests.kit.events import events
from tests.kit.generations import KEPT, reveal_all
from tests.kit.processes import fails, terminal
from tests.kit.vault import Vault
from vault_etl.keys.destroy import PAGE_KEYS

MADE = """
INSERT INTO data_keys (key_id, field, kms_key_arn, wrapped_key, fingerprint, expires_at)
SELECT %s::bigint + n, 'quarantine', 'arn:x', 'wrapped', '8 bytes!', now() + interval '1 second' * %s
FROM generate_series(1, %s) AS n
"""
OUTCOMES = """
SELECT action, split_part(reason, ':', 1) FROM audit_log
WHERE seq > %s AND phase = 'outcome' AND action LIKE 'keys %%' ORDER BY seq
"""


def listed(vault: Vault, *args: str) -> set[int]:
    """The ids that `keys list` shows."""
    keys: list[dict[str, Any]] = vault.ok("audit", "keys", "list", *args).lines
    return {key["key_id"] for key in keys}


def test_all_unneeded_keys_end_in_one_run(quick: Vault) -> None:
    """Retired and expired keys of any number end; no key ends that is needed, or may be written under."""
    quick.send([*events(2), "not json"])
    quick.ok("ingest", "ingest")
    old, revealed = listed(quick, "--state", "active"), reveal_all(quick)
    quick.ok("re-encrypt", "keys", "rotate", "--yes")
    quick.sql(MADE, 10**9, -1, PAGE_KEYS + 1)  # no process used these
    quick.sql(MADE, 2 * 10**9, 3600, 2)  # a worker may use these
    unused = listed(quick, "--unused")
    assert unused == {k for k in old if k in listed(quick, "--state", "decrypt_only")} | {
        10**9 + n for n in range(1, PAGE_KEYS + 2)
    }

    shown_unused = quick.ok("audit", "keys", "list", "--unused", "--output", "table")
    assert f"{PAGE_KEYS + 1} keys" in shown_unused.stdout
    assert "--each shows one line for each" in shown_unused.stderr
    assert len(shown_unused.stdout.splitlines()) < 10
    active = quick.ok("audit", "keys", "list", "--state", "active", "--each", "--output", "table")
    assert str(2 * 10**9 + 1) in active.stdout
    assert (active.stderr, "decrypt_only" in active.stdout) == ("", False)

    fails(quick.run("rotate", "keys", "destroy", "--unused"), 2, "no terminal")
    entries = quick.count("audit_log")
    planned = quick.ok("rotate", "keys", "destroy", "--unused", "--dry-run").json
    assert planned == {"destroyed": sorted(unused), "rows_cleared": 0}
    shown = quick.ok("rotate", "keys", "destroy", "--unused", "--dry-run", "--output", "table")
    assert f"{len(unused)} keys" in shown.stdout  # and no page of ids
    assert quick.count("audit_log") == entries

    with terminal(quick, "rotate", "keys", "destroy", "--unused", "--output", "json") as asked:
        asked.expect(f"Destroy {len(unused)} data keys that nothing needs for good?")
        asked.type("y")
        ended = asked.finish()
    assert ended.code == 0
    assert KEPT in " ".join(ended.stdout.split())
    assert listed(quick, "--state", "destroyed") == unused
    assert quick.sql("SELECT count(*) FROM data_keys WHERE wrapped_key IS NULL") == [(len(unused),)]
    assert quick.sql(OUTCOMES, entries) == [
        *[("keys change", "retired after the lease")] * 2,
        *[("keys change", "destroyed")] * 2,
        ("keys destroy", f"{len(unused)} data keys that nothing needs"),
    ]
    assert reveal_all(quick) == revealed
    assert quick.ok("audit", "audit", "verify").json["ok"]

    again = quick.ok("rotate", "keys", "destroy", "--unused", "--yes")
    assert (again.json["destroyed"], "nothing left to destroy" in again.stderr) == ([], True)


@pytest.mark.parametrize(
    ("args", "message"),
    [((), "give a KEY_ID or --unused"), (("1", "--unused"), "--unused takes no KEY_ID")],
)
def test_destroy_takes_one_key_or_the_unused_keys(
    loaded: Vault, args: tuple[str, ...], message: str
) -> None:
    """Naming no key, and naming a key beside `--unused`, are usage errors."""
    fails(loaded.run("rotate", "keys", "destroy", "--yes", *args), 2, message)
