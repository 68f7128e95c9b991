"""`keys rotate` through the real command loses no value, whatever else runs meanwhile."""

from __future__ import annotations

from typing import Any

import pytest

from tests.kit.events import events
from tests.kit.generations import EVERYTHING, reveal_all, send_and_wait
from tests.kit.processes import finish, start
from tests.kit.vault import Vault

EVENTS = 6


@pytest.fixture
def six_records(quick: Vault) -> Vault:
    """A vault with six records and a quarantined message."""
    quick.send([*events(EVENTS), "not json"])
    quick.ok("ingest", "ingest")
    return quick


def test_values_sealed_before_a_rotation_open_after_it(six_records: Vault) -> None:
    """Every value is re-encrypted under a new key, no old key is needed, and all values open as before."""
    before, old = reveal_all(six_records), ciphertexts(six_records)
    report = six_records.ok("re-encrypt", "keys", "rotate", "--yes").json
    assert len(report["retired"]) == len(report["created"]) == 3
    assert (report["values_reencrypted"], report["values_remaining"]) == (2 * EVENTS + 1, 0)
    assert reveal_all(six_records) == before
    assert not old & ciphertexts(six_records)
    needed = {key["key_id"]: (key["state"], key["rows"]) for key in data_keys(six_records)}
    assert {needed[key_id] for key_id in report["retired"]} == {("decrypt_only", 0)}
    assert {needed[key_id][0] for key_id in report["created"]} == {"active"}


def test_a_second_rotation_retires_the_keys_of_the_first(six_records: Vault) -> None:
    """Every value still opens."""
    before = reveal_all(six_records)
    first = six_records.ok("re-encrypt", "keys", "rotate", "--yes").json
    second = six_records.ok("re-encrypt", "keys", "rotate", "--yes").json
    assert second["retired"] == sorted(first["created"])
    assert second["values_reencrypted"] == first["values_reencrypted"]
    assert second["values_remaining"] == 0
    assert reveal_all(six_records) == before


def test_a_dry_run_counts_and_changes_nothing(six_records: Vault) -> None:
    """`--dry-run` lists the keys to retire, asks no question, and leaves every row as it is."""
    before = six_records.sql(EVERYTHING)
    plan = six_records.ok("re-encrypt", "keys", "rotate", "--dry-run").json
    assert sorted(plan["retired"]) == sorted(key["key_id"] for key in data_keys(six_records))
    assert plan["created"] == []
    assert (plan["values_reencrypted"], plan["values_remaining"]) == (0, 2 * EVENTS + 1)
    assert six_records.sql(EVERYTHING) == before


def test_a_lazy_rotation_only_retires(six_records: Vault) -> None:
    """`--lazy` needs no Decrypt, touches no row, and leaves the work to a later rotation."""
    before, old = reveal_all(six_records), ciphertexts(six_records)
    report = six_records.ok("rotate", "keys", "rotate", "--lazy", "--yes").json
    assert len(report["retired"]) == 3
    assert (report["values_reencrypted"], report["values_remaining"]) == (0, 2 * EVENTS + 1)
    assert ciphertexts(six_records) == old
    assert reveal_all(six_records) == before
    later = six_records.ok("re-encrypt", "keys", "rotate", "--yes").json
    assert later["retired"] == []
    assert (later["values_reencrypted"], later["values_remaining"]) == (2 * EVENTS + 1, 0)
    assert reveal_all(six_records) == before


def test_a_rotation_of_one_field_leaves_the_others(six_records: Vault) -> None:
    """`--field ip` retires the keys of addresses and re-encrypts addresses alone."""
    report = six_records.ok("re-encrypt", "keys", "rotate", "--field", "ip", "--yes").json
    assert report["values_reencrypted"] == EVENTS
    retired = [key["field"] for key in data_keys(six_records) if key["state"] == "decrypt_only"]
    assert retired == ["ip"]


def test_records_loaded_after_a_rotation_have_new_keys(six_records: Vault) -> None:
    """The next ingest seals under keys of its own, and no retired key gains a row."""
    retired = six_records.ok("re-encrypt", "keys", "rotate", "--yes").json["retired"]
    six_records.send(events(2))
    assert six_records.ok("ingest", "ingest").json["stored"] == 2
    rows = {key["key_id"]: key["rows"] for key in data_keys(six_records)}
    assert {rows[key_id] for key_id in retired} == {0}
    assert len(reveal_all(six_records)) == EVENTS + 2


def test_a_rotation_beside_a_running_ingest_loses_no_record(quick: Vault) -> None:
    """Between two batches the fence refuses the old keys, the ingest makes new keys, and all records open."""
    extra = {"VAULT_ETL_FOLLOW_WAIT": "0", "VAULT_ETL_LINGER": "0.2"}
    ingest = start(quick, "ingest", "ingest", "--follow", extra=extra)
    send_and_wait(quick, ingest, 20)
    report = quick.ok("re-encrypt", "keys", "rotate", "--yes").json
    send_and_wait(quick, ingest, 40)
    ingest.terminate()
    assert finish(ingest).json["stored"] == 40
    assert (report["values_reencrypted"], report["values_remaining"]) == (40, 0)
    rows = {key["key_id"]: key["rows"] for key in data_keys(quick) if key["field"] == "ip"}
    assert sorted(rows.values()) == [0, 20, 20]  # retired, the rotation's own, ingest's second
    assert len(reveal_all(quick)) == 40


def ciphertexts(vault: Vault) -> set[bytes]:
    """Every ciphertext that is stored."""
    rows = vault.sql(
        "SELECT ip_ciphertext FROM user_logins UNION ALL SELECT device_id_ciphertext"
        " FROM user_logins UNION ALL SELECT body_ciphertext FROM quarantine"
    )
    return {bytes(ciphertext) for (ciphertext,) in rows}


def data_keys(vault: Vault) -> list[dict[str, Any]]:
    """The data keys as `keys list` prints them."""
    keys: list[dict[str, Any]] = vault.ok("audit", "keys", "list").lines
    return [key for key in keys if key["purpose"] == "data"]
