"""Rows that do not open, or hold another row's token: named, left as they are, and without effect on others."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterable

from tests.kit.processes import fails
from tests.kit.vault import Result, Vault
from tests.rotation.contents import contents
from tests.rotation.events import RECORDS
from tests.rotation.kills import rotate
from tests.rotation.rows import Row, put, rows

DESTROY = (
    "UPDATE data_keys SET state = 'decrypt_only' WHERE key_id = %s",
    "UPDATE data_keys SET state = 'destroyed', wrapped_key = NULL WHERE key_id = %s",
)


def damage(vault: Vault) -> dict[str, Row]:
    """Flip a bit, cut a value, swap two, remove a token; return the rows as they were."""
    vault.drop_form_checks()
    whole = rows(vault)
    flipped = bytearray(whole["u-0"]["ip"])
    flipped[-1] ^= 1
    put(vault, "u-0", ip_ciphertext=bytes(flipped))
    put(vault, "u-1", device_id_ciphertext=whole["u-1"]["device_id"][:-1])
    put(vault, "u-2", ip_ciphertext=whole["u-3"]["ip"])
    put(vault, "u-3", ip_ciphertext=whole["u-2"]["ip"])
    put(vault, "u-4", masked_ip=None)
    return whole


def names(result: Result, whole: dict[str, Row], users: Iterable[str]) -> None:
    """The error names the records of these users, and no others."""
    for user_id, row in whole.items():
        assert (str(row["id"]) in result.stderr) is (user_id in users), user_id


def test_a_rotation_of_data_keys_leaves_values_that_do_not_open(rotation_filled: Vault) -> None:
    """Exit 65, each record named, its value byte for byte as it was; all other values are re-encrypted."""
    whole = damage(rotation_filled)
    damaged = rows(rotation_filled)
    result = rotate(rotation_filled)
    assert result.code == 65, result.stderr
    assert result.json["values_remaining"] == 4
    assert result.json["values_reencrypted"] == 2 * RECORDS + 1 - 4
    names(result, whole, {"u-0", "u-1", "u-2", "u-3"})
    after = rows(rotation_filled)
    kept = {("u-0", "ip"), ("u-1", "device_id"), ("u-2", "ip"), ("u-3", "ip")}
    for user_id, row in after.items():
        for field in ("ip", "device_id"):
            assert (row[field] == damaged[user_id][field]) is ((user_id, field) in kept)


def test_a_rotation_of_token_keys_refuses_damaged_rows_until_they_are_mended(
    rotation_filled: Vault,
) -> None:
    """Exit 65 without a cut-over; once the rows are mended, or left out on the record, the same rotation finishes."""
    whole = damage(rotation_filled)
    damaged = rows(rotation_filled)
    bad = {"u-0", "u-1", "u-2", "u-3", "u-4"}
    result = rotate(rotation_filled, "--tokens")
    fails(result, 65, "nothing is cut over: no next token in 5 records")
    names(result, whole, bad)
    after = rows(rotation_filled)
    assert {user for user in after if after[user] == damaged[user]} == bad
    assert {user for user in after if after[user]["next_generation"] == 2} == set(after) - bad

    put(rotation_filled, "u-0", ip_ciphertext=whole["u-0"]["ip"])
    put(rotation_filled, "u-1", device_id_ciphertext=whole["u-1"]["device_id"])
    put(rotation_filled, "u-2", ip_ciphertext=whole["u-2"]["ip"])
    put(rotation_filled, "u-3", ip_ciphertext=whole["u-3"]["ip"])
    left_out = whole["u-4"]["id"]
    result = rotate(rotation_filled, "--tokens", "--leave-out", str(left_out))
    assert result.code == 0, result.stderr
    assert result.json["rows_retokened"] == 4
    assert contents(rotation_filled).wrong_tokens == (left_out,)
    reason = f"leave out of generation 2 of the tokens: {left_out}"
    intent, outcome = logged(rotation_filled, left_out)
    assert intent == reason
    assert re.fullmatch(rf"{reason}, under data keys \d+, \d+: 1 of 1 records", outcome)


def test_records_under_a_destroyed_key_are_named(two: Vault) -> None:
    """Either rotation exits with 65, leaves these records as they were, and does all others."""
    whole = rows(two)
    lost = {user for user in whole if user.startswith("new")}
    key_id = int.from_bytes(whole["new-0"]["ip"][1:5], "big")
    for statement in DESTROY:
        two.sql(statement, key_id)
    result = rotate(two)
    assert result.code == 65
    assert result.json["values_remaining"] == len(lost)
    assert f"{len(lost)} values do not open" in result.stderr
    after = rows(two)
    assert {user for user in after if after[user]["ip"] == whole[user]["ip"]} == lost
    assert not {user for user in after if after[user]["device_id"] == whole[user]["device_id"]}

    result = rotate(two, "--tokens")
    fails(result, 65, f"no next token in {len(lost)} records")
    filled = {user for user, row in rows(two).items() if row["next_generation"] == 2}
    assert filled == set(after) - lost


def test_a_forged_token_is_named_and_made_again_on_the_record(rotation_filled: Vault) -> None:
    """Planted before or after the backfill: exit 65. The row still agrees with its own tokens and keeps them."""
    whole = rows(rotation_filled)
    put(rotation_filled, "u-2", masked_ip=uuid.uuid4())
    result = rotate(rotation_filled, "--tokens")
    fails(result, 65, "no next token in 1 records")
    names(result, whole, {"u-2"})
    assert rows(rotation_filled)["u-2"]["next_generation"] is None

    put(rotation_filled, "u-2", masked_ip=whole["u-2"]["masked_ip"])
    put(rotation_filled, "u-0", next_masked_ip=uuid.uuid4())
    put(
        rotation_filled,
        "u-0",
        next_masked_device_id=rows(rotation_filled)["u-9"]["next_masked_device_id"],
    )
    put(rotation_filled, "u-0", next_token_generation=2)
    result = rotate(rotation_filled, "--tokens")
    fails(result, 65, "tokens that do not map one to one")
    names(result, whole, {"u-0"})
    assert {row["generation"] for row in rows(rotation_filled).values()} == {1}

    left_out = whole["u-0"]["id"]
    result = rotate(rotation_filled, "--tokens", "--leave-out", str(left_out))
    assert result.code == 0, result.stderr
    reason = f"leave out of generation 2 of the tokens: {left_out}"
    intent, outcome = logged(rotation_filled, left_out)
    assert intent == reason
    assert re.fullmatch(rf"{reason}, under data keys \d+, \d+: 0 of 1 records", outcome)
    assert contents(rotation_filled).wrong_tokens == ()
    assert {row["generation"] for row in rows(rotation_filled).values()} == {2}


def test_a_row_of_an_unknown_generation_is_left_out(rotation_filled: Vault) -> None:
    """Any such number: the row is opened, refused, and swapped as it was read."""
    whole = rows(rotation_filled)
    rotation_filled.drop_form_checks()
    put(rotation_filled, "u-0", token_generation=7)
    fails(rotate(rotation_filled, "--tokens"), 65, "no next token in 1 records")
    result = rotate(rotation_filled, "--tokens", "--leave-out", str(whole["u-0"]["id"]))
    assert result.code == 0, result.stderr
    after = rows(rotation_filled)
    assert (after["u-0"]["masked_ip"], after["u-0"]["next_generation"]) == (None, 7)
    assert {row["generation"] for row in after.values()} == {2}


def logged(vault: Vault, record_id: uuid.UUID) -> list[str]:
    """The reasons of the entries about a record."""
    return [
        reason
        for (reason,) in vault.sql(
            "SELECT reason FROM audit_log WHERE record_id = %s ORDER BY seq", record_id
        )
    ]
