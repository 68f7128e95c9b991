"""The main job of a vault in five steps, for suites that do it in several vaults in turn."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from typing import Final

from tests.kit.events import event
from tests.kit.named_vaults import NamedVault

WHY: Final = ("--reason", "a test", "--yes")


def _load(vault: NamedVault) -> None:
    vault.renew_queue()
    bodies = [
        event(user_id=user, ip=ip) for user, ip in (("ann", "203.0.113.1"), ("bob", "203.0.113.2"))
    ]
    vault.send([*bodies, event(user_id="cyd", ip="203.0.113.1"), "not json"])
    assert vault.ok("ingest", "ingest").json["stored"] == 3
    assert vault.count_of("user_logins") == 3


def _read(vault: NamedVault) -> None:
    ((record_id,),) = vault.sql("SELECT record_id FROM vault_etl.user_logins WHERE user_id = 'ann'")
    shown = vault.ok("reveal", "reveal", str(record_id), "--reason", "a test").json
    assert shown["fields"]["ip"] == "203.0.113.1"
    found = vault.ok("reveal", "find", "--field", "ip", "--reason", "a test", stdin="203.0.113.1\n")
    assert found.json["count"] == 2
    token = found.json["token"]
    asked = ("tokens", "--field", "ip", "--reason", "a test")
    assert token in vault.ok("reveal", *asked, stdin="203.0.113.1\n").stdout
    seen = "SELECT user_id FROM vault_etl.user_logins_masked WHERE masked_ip = %s::uuid ORDER BY 1"
    assert vault.sql(seen, token, role="analyst") == [("ann",), ("cyd",)]
    assert len(vault.ok("analyst", "duplicates", "--field", "ip").lines) == 1
    assert len(vault.ok("reveal", "quarantine", "list").lines) == 1


def _rotate(vault: NamedVault) -> None:
    vault.ok("re-encrypt", "keys", "rotate", "--yes")
    vault.ok("re-encrypt", "keys", "rotate", "--tokens", "--yes")
    vault.ok("rotate", "keys", "list")
    assert vault.sql("SELECT DISTINCT token_generation FROM vault_etl.user_logins") == [(2,)]


def _erase(vault: NamedVault) -> None:
    vault.ok("erase", "erase", "--user-id", "bob", *WHY)
    assert vault.sql("SELECT user_id FROM vault_etl.user_logins WHERE masked_ip IS NULL") == [
        ("bob",)
    ]


def _archive(vault: NamedVault) -> None:
    ((month,),) = vault.sql("SELECT to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM')")
    place = vault.home / "archives"
    place.mkdir()
    for words in (
        ("detach", month, *WHY),
        ("archive", month, "--to", str(place), *WHY[:2]),
        ("drop", month, *WHY),
    ):
        vault.ok("owner", "partitions", *words)
    assert vault.count_of("user_logins") == 0
    shutil.copytree(place, vault.home / "kept")  # the archive goes when its month is attached
    vault.ok("owner", "partitions", "restore", month, *WHY)
    assert vault.count_of("closed_months") == 1
    vault.ok("re-encrypt", "partitions", "retoken", month, *WHY)
    vault.ok("owner", "partitions", "attach", month, *WHY)
    assert vault.count_of("user_logins") == 3


MAIN_JOB: Final[tuple[Callable[[NamedVault], None], ...]] = (
    _load,
    _read,
    _rotate,
    _erase,
    _archive,
)
