"""Sets that `lake seal` made, of any declaration: rotated, opened within the quota, and erased from."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping

import pytest

from tests.kit.declarations import BOTH_APART, widest_first
from tests.kit.messages import message, texts_of
from tests.kit.vault import Vault
from tests.kit.vaults import KeyedOf, copied

WHY = ("--reason", "request 17", "--yes")
ROWS = 4


@pytest.fixture(scope="module", params=BOTH_APART)
def vault(
    request: pytest.FixtureRequest, keyed_of: KeyedOf, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Vault]:
    """Yield a vault with two sets of the same four users: `one`, and `two`."""
    with copied(keyed_of(request.param), tmp_path_factory.mktemp("sets")) as made:
        made.register_audit_key()
        event = widest_first(made.declaration)[0]
        bodies = [message(event, f"user-{n}", texts_of(event, n)) for n in range(ROWS)]
        (made.home / "rows.jsonl").write_bytes(b"\n".join(bodies))
        for name in ("one", "two"):
            made.ok("ingest", "lake", "seal", "rows.jsonl", "--to", name, "--event", event.name)
        yield made


def opened(vault: Vault, name: str, to: str) -> dict[str, Mapping[str, str | None]]:
    """The personal values of each user in a set."""
    event = widest_first(vault.declaration)[0]
    vault.ok("reveal", "lake", "open", name, "--reason", "request 17", "--to", to)
    lines = (vault.home / to / "part-00001.jsonl").read_text().splitlines()
    return {
        row[event.subject.name]: {value.name: row[value.name] for value in event.personal}
        for row in map(json.loads, lines)
    }


def lake_entries(vault: Vault) -> int:
    """Count the entries of the commands of the lake."""
    ((count,),) = vault.sql("SELECT count(*) FROM audit_log WHERE action LIKE 'lake %%'", *())
    return int(count)


def test_sets_are_rotated_opened_and_erased_from(vault: Vault) -> None:
    """Every value of every event; the certificate names the set that could not be reached."""
    event = widest_first(vault.declaration)[0]
    sealed = {f"user-{n}": texts_of(event, n) for n in range(ROWS)}
    vault.set_policy({"reveals_an_hour": ROWS - 1, "purposes": {}})
    few = vault.run("reveal", "lake", "open", "one", "--reason", "r", "--to", "few")
    assert (few.code, "this command needs 4" in few.stderr, lake_entries(vault)) == (77, True, 0)
    assert list((vault.home / "few").iterdir()) == []
    vault.set_policy({"reveals_an_hour": 100 * ROWS, "purposes": {}})
    assert opened(vault, "one", "before") == sealed

    vault.ok("re-encrypt", "keys", "rotate", "--tokens", "--yes")
    vault.ok("rotate", "keys", "rotate", "--lazy", "--yes")
    for name in ("one", "two"):
        done = vault.ok("re-encrypt", "lake", "rotate", name, *WHY).json
        assert (done["rows_written"], done["version"]) == (ROWS, 2)
    vault.ok("rotate", "keys", "destroy", "--unused", "--yes")
    assert opened(vault, "one", "rotated") == sealed
    used = {
        row["field"] for row in vault.ok("audit", "keys", "list", "--each").lines if row["rows"]
    }
    assert used == {value.field.name for value in event.personal}

    _erase(vault, sealed)


def _erase(vault: Vault, sealed: Mapping[str, Mapping[str, str]]) -> None:
    named = vault.run("erase", "erase", "--user-id", "user-1", *WHY)
    assert named.code == 75, named.stderr
    one, two = (str(vault.home / name) for name in ("one", "two"))
    shutil.move(two, vault.home / "away")
    partly = vault.run("erase", "lake", "erase", *WHY)
    assert partly.code == 75
    assert "warning" in partly.stderr
    assert (partly.json["rows"], list(partly.json["not_reached"])) == (1, [two])
    gone = dict.fromkeys(sealed["user-1"])
    assert opened(vault, "one", "erased") == {**sealed, "user-1": gone}
    shutil.move(vault.home / "away", two)
    named_one = vault.run("erase", "lake", "erase", "one", *WHY)
    assert (named_one.code, named_one.json["not_reached"]) == (75, {two: "not named"})
    done = vault.ok("erase", "lake", "erase", *WHY).json
    assert ({each["set"]: each["rows"] for each in done["sets"]}, done["not_reached"]) == (
        {one: 0, two: 1},
        {},
    )
    assert opened(vault, "two", "both") == {**sealed, "user-1": gone}
    vault.ok("audit", "lake", "verify", one, two)
    other_key = {"VAULT_ETL_AUDIT_KEY": "alias/none"}
    unsigned = vault.run("erase", "lake", "erase", "--user-id", "user-2", *WHY, extra=other_key)
    assert (unsigned.code, unsigned.json["rows"], unsigned.json["checkpoint"]) == (74, 2, None)
