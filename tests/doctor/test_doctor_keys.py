"""`vault-etl doctor` on stored keys: whole, explained, young enough, and openable."""

from __future__ import annotations

import datetime as dt
import json

import pytest

from tests.kit.doctor import (
    DAY,
    lines,
    only,
    wrong,
)
from tests.kit.events import event
from tests.kit.vault import Vault


def test_missing_token_keys_are_one_fault(bare_vault: Vault) -> None:
    """Without token keys the context check is unknown."""
    assert "keys init" in only(bare_vault, "re-encrypt", "token_keys")
    found = lines(bare_vault, "re-encrypt", code=78)
    assert found["kms_contexts"]["detail"] == "needs token_keys"


def test_a_generation_that_is_not_whole_is_damage(vault: Vault) -> None:
    """Here one field's key was retired by hand."""
    vault.sql(
        "UPDATE vault_etl.data_keys SET state = 'decrypt_only' WHERE purpose = 'token' AND field = 'ip'"
    )
    found = wrong(vault, "reveal")
    assert set(found) - {"kms_contexts"} == {"token_keys", "key_changes"}
    assert "generation 1 (active) has no key of" in found["token_keys"]["detail"]


def test_a_key_that_no_entry_explains_is_named(vault: Vault) -> None:
    """By its id, to every role that reads keys; `audit verify` names it too, and a rotation refuses it."""
    vault.register_audit_key()
    planted = {"ip": 1, "device_id": 2}
    for field, key_id in planted.items():
        vault.sql(
            "INSERT INTO vault_etl.data_keys (key_id, purpose, field, generation, state, kms_key_arn,"
            " wrapped_key, fingerprint) VALUES (%s, 'token', %s, 2, 'pending', %s, 'x', '8 bytes!')",
            key_id,
            field,
            vault.provisioned.key_arns["token"],
        )
    for role in ("ingest", "rotate", "audit"):
        assert "2 keys differ from the audit log: 1, 2" in only(vault, role, "key_changes")
    proof = vault.run("audit", "audit", "verify")
    assert proof.code == 65
    assert "does not explain key 1" in proof.stdout + proof.stderr
    rotated = vault.run("re-encrypt", "keys", "rotate", "--tokens", "--yes")
    assert rotated.code == 65
    assert "no entry of the audit log explains: 1, 2" in rotated.stderr
    assert "--abort" in rotated.stderr
    vault.ok("re-encrypt", "keys", "rotate", "--tokens", "--abort", "--yes")
    assert lines(vault, "rotate", code=0)["key_changes"]["ok"] is True
    vault.ok("audit", "audit", "verify")


def test_an_abandoned_token_rotation_is_a_fault_after_a_day(vault: Vault) -> None:
    """A rotation of less than a day is no fault."""
    keys = [
        {
            "key_id": key_id,
            "purpose": "token",
            "field": field,
            "generation": 2,
            "wrapped_key": "00",
            "fingerprint": "00" * 8,
            "kms_key_arn": vault.provisioned.key_arns["token"],
        }
        for key_id, field in ((1, "ip"), (2, "device_id"))
    ]
    begin = "CALL vault_etl.commit_token_keys_begin(gen_random_uuid(), 'a', 'h', %s, NULL)"
    vault.sql(begin, json.dumps(keys), role="re-encrypt")
    assert "generation 2 pending" in lines(vault, "rotate", code=0)["token_keys"]["detail"]
    vault.grow_older(DAY + dt.timedelta(hours=1))
    assert "25 hours" in only(vault, "rotate", "pending_token_keys")


@pytest.mark.parametrize(
    ("check", "setting", "limit"),
    [
        ("data_key_age", "VAULT_ETL_DATA_KEY_MAX_AGE_DAYS", 90),
        ("token_key_age", "VAULT_ETL_TOKEN_KEY_MAX_AGE_DAYS", 365),
    ],
)
def test_keys_that_are_due_are_overdue(vault: Vault, check: str, setting: str, limit: int) -> None:
    """The caller's settings decide; 0 means never. An expired lease counts as well."""
    vault.send([event()])
    vault.ok("ingest", "ingest", extra={"VAULT_ETL_DRAIN_WAIT": "0"})
    vault.grow_older(limit * DAY - dt.timedelta(hours=1))
    never = {"VAULT_ETL_DATA_KEY_MAX_AGE_DAYS": "0", "VAULT_ETL_TOKEN_KEY_MAX_AGE_DAYS": "0"}
    mine: dict[str, str | None] = {**never, setting: None}
    assert lines(vault, "audit", code=0, extra=mine)[check]["ok"] is True
    vault.grow_older(dt.timedelta(hours=2))
    said = only(vault, "audit", check, mine)
    assert f"{limit} days old" in said
    assert "keys rotate" in said
    assert lines(vault, "audit", code=0, extra=never)[check]["detail"].endswith("never due")


def test_a_rotation_makes_data_keys_young_again(vault: Vault) -> None:
    """Keys that were due are not due after the rotation."""
    vault.send([event()])
    vault.ok("ingest", "ingest", extra={"VAULT_ETL_DRAIN_WAIT": "0"})
    vault.grow_older(100 * DAY)
    assert "keys rotate" in only(vault, "rotate", "data_key_age")
    vault.ok("rotate", "keys", "rotate", "--lazy", "--yes")
    assert lines(vault, "rotate", code=0)["data_key_age"]["ok"] is True


def test_a_key_wrapped_by_an_untrusted_kms_key_is_a_fault(vault: Vault) -> None:
    """Trust is by the aliases, or by the list that replaces them."""
    arns = vault.provisioned.key_arns
    listed = {"VAULT_ETL_TRUSTED_KEY_ARNS": f"{arns['data']},{arns['token']}"}
    assert lines(vault, "audit", code=0, extra=listed)["trusted_keys"]["ok"] is True
    found = wrong(vault, "audit", {"VAULT_ETL_TRUSTED_KEY_ARNS": arns["data"]})
    assert set(found) <= {"trusted_keys", "kms_contexts"}  # who may open keys is refused one, too
    assert "2 token keys" in found["trusted_keys"]["detail"]
    vault.sql("UPDATE vault_etl.data_keys SET kms_key_arn = %s", arns["data"])
    assert set(wrong(vault, "ingest")) == {"trusted_keys", "key_changes", "kms_contexts"}


def test_a_damaged_token_key_is_a_fault(vault: Vault) -> None:
    """The key is damaged, which is not a missing right of this role."""
    vault.sql(
        "UPDATE vault_etl.data_keys SET wrapped_key = set_bit(wrapped_key, bit_length(wrapped_key) - 1,"
        " 1 - get_bit(wrapped_key, bit_length(wrapped_key) - 1)) WHERE purpose = 'token'"
    )
    found = wrong(vault, "ingest")
    assert set(found) == {"kms_contexts", "key_changes"}
    assert "KMS does not open it" in found["kms_contexts"]["detail"]


def test_what_is_counted_as_it_is_written_is_compared_with_all_rows(vault: Vault) -> None:
    """With --deep alone, after a load, a rotation, an erasure and a retry; and mended by the owner."""
    vault.send([*(event(user_id=user) for user in ("ann", "bob")), "not json"])
    vault.ok("ingest", "ingest")
    vault.ok("re-encrypt", "keys", "rotate", "--yes")
    vault.ok("erase", "erase", "--user-id", "ann", "--reason", "r", "--yes")
    assert "value_counts" not in lines(vault, "audit", code=0)
    for role in ("audit", "rotate", "re-encrypt"):
        assert vault.ok(role, "doctor", "--deep").lines[-1]["detail"] == (
            "the kept counts are those of all rows"
        )
    ((month, ip),) = vault.sql(
        "SELECT tableoid::regclass::text, vault_etl.ciphertext_key_id(ip_ciphertext) FROM user_logins"
        " WHERE ip_ciphertext IS NOT NULL"
    )
    vault.sql(f"UPDATE vault_etl.{month} SET ip_ciphertext = NULL")  # noqa: S608
    told = vault.run("audit", "doctor", "--deep")
    assert told.code == 78
    assert f"ip {ip} in " in told.stdout
    assert "0, kept 1" in told.stdout
    vault.sql("SELECT vault_etl.recount_values()")
    vault.ok("audit", "doctor", "--deep")
