"""Whatever a login of the role audit registers, audited commands go on, and the right key comes in."""

from __future__ import annotations

import os

import psycopg2
import pytest

from tests.audit.logbook import REGISTER, registered
from tests.kit.fakes.checkpoints import FakeHeadSigner
from tests.kit.processes import fails
from tests.kit.vault import Vault
from vault_etl.audit.checkpoint import Head, Registration

FORGET = (
    "SET session_replication_role = replica; DELETE FROM audit_keys; DELETE FROM audit_checkpoints;"
    " DELETE FROM audit_disclosed; DELETE FROM audit_log; UPDATE audit_head SET seq = 0, hash ="
    " (SELECT sha256('vault-etl/1/audit-genesis'::bytea || uuid_send(vault_id)) FROM vault)"
)


def foreign(vault: Vault, arn: str) -> Registration:
    """A key of the attacker's own, which proves itself under this ARN."""
    ((vault_id, seq, hash_),) = vault.sql(
        "SELECT vault_id, seq, hash FROM vault_etl.vault, vault_etl.audit_head"
    )
    return FakeHeadSigner(arn).registration(vault_id, Head(seq, bytes(hash_)))


def attack(vault: Vault) -> None:
    """Register nonsense, points on no curve, and keys of one's own, with the login of the role audit."""
    kms = vault.emulator.client("kms")
    arn = kms.describe_key(KeyId="alias/vault-etl-audit")["KeyMetadata"]["Arn"]
    own, honest = (foreign(vault, name) for name in ("arn:aws:kms:x:1:key/mine", arn))
    with pytest.raises(psycopg2.errors.InsufficientPrivilege):
        vault.sql(REGISTER, "x", b"\0", 0, b"\0", role="audit")
    for made in (own, honest):
        vault.sql(REGISTER, *registered(made), role="audit")
    name, spki, seq, signature = registered(honest)
    vault.sql(REGISTER, name, spki[:27] + os.urandom(64), seq, signature, role="audit")
    vault.sql(REGISTER, "arn:elsewhere", spki, seq, signature, role="audit")


@pytest.fixture
def attacked(site: Vault) -> Vault:
    """The vault, whose newest registrations are all the attacker's."""
    attack(site)
    return site


def test_commands_go_on_under_the_right_key(attacked: Vault, record_id: str) -> None:
    """Reveal shows, the timer signs, verify holds and names what was registered; doctor does too."""
    shown = attacked.ok("reveal", "reveal", record_id, "--reason", "x").json
    assert shown["checkpoint"].startswith("vault-etl/audit/")
    attacked.ok("audit", "audit", "checkpoint")
    attacked.ok("rotate", "keys", "rotate", "--lazy", "--yes")
    proof = attacked.ok("audit", "audit", "verify").json
    assert (proof["ok"], proof["counts"]["tampered"]) == (True, 0)
    assert proof["counts"]["noise"] == 4
    whats = [problem["what"] for problem in proof["problems"]]
    assert (
        sum("registered a key that did not sign it, by test_audit" in what for what in whats) == 2
    )
    assert sum("registered a key that was not given, by test_audit" in what for what in whats) == 2
    lines = {line["check"]: line for line in attacked.ok("audit", "doctor").lines}
    assert "4 registrations are of other keys: entry" in lines["audit_key"]["detail"]


def test_the_right_key_comes_in_behind_them(bare_vault: Vault) -> None:
    """If foreign keys came first, the right key is refused once, and is then registered with --new-key."""
    bare_vault.sql(FORGET)
    attack(bare_vault)
    refused = bare_vault.run("audit", "audit", "checkpoint")
    fails(refused, 78, "is not the registered one")
    assert "--new-key" in refused.stderr
    bare_vault.ok("audit", "audit", "checkpoint", "--new-key")
    assert bare_vault.ok("audit", "audit", "verify").json["ok"]
    bare_vault.ok("audit", "audit", "checkpoint")


def test_registrations_that_prove_nothing_hinder_no_command(bare_vault: Vault) -> None:
    """The first checkpoint is as simple as without them."""
    bare_vault.sql(FORGET)
    made = foreign(bare_vault, "arn:aws:kms:x:1:key/mine")
    name, spki, seq, signature = registered(made)
    bare_vault.sql(REGISTER, f"{name}2", spki, seq, signature, role="audit")
    assert bare_vault.ok("audit", "audit", "checkpoint").json["seq"] == 4


def test_the_arn_that_kms_names_is_the_registered_one(site: Vault, record_id: str) -> None:
    """A key under the ARN of another key is refused, though the signature is its own."""
    kms = site.emulator.client("kms")
    arn = kms.describe_key(KeyId="alias/vault-etl-audit")["KeyMetadata"]["Arn"]
    asked = ("reveal", record_id, "--reason", "x")
    extra = {"VAULT_ETL_AUDIT_KEY": arn}
    site.ok("reveal", *asked, extra=extra)
    ((vault_id, seq, hash_),) = site.sql(
        "SELECT vault_id, seq, hash FROM vault_etl.vault, vault_etl.audit_head"
    )
    rows = site.sql("SELECT seq, note FROM audit_keys")
    right = next(
        found for _, note in rows if (found := Registration.parse(note)).kms_key_arn == arn
    )
    wrong = Registration(vault_id, Head(seq, bytes(hash_)), f"{arn}2", right.key)
    signature = kms.sign(
        KeyId=arn,
        Message=wrong.text.encode(),
        MessageType="RAW",
        SigningAlgorithm="ECDSA_SHA_256",
    )["Signature"]
    site.sql(
        "SET session_replication_role = replica; CREATE TABLE kept AS TABLE audit_keys;"
        "DELETE FROM audit_keys"
    )
    try:
        site.sql(REGISTER, wrong.kms_key_arn, wrong.key.spki, seq, signature, role="audit")
        fails(
            site.run("reveal", *asked, extra=extra),
            74,
            "the key that signs is not the registered one",
        )
    finally:
        site.sql(
            "SET session_replication_role = replica; INSERT INTO audit_keys TABLE kept;"
            "DROP TABLE kept"
        )
    site.ok("reveal", *asked, extra=extra)
