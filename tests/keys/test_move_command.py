"""`keys rewrap --to` through the real command: keys move to another KMS key, by break-glass alone."""

from __future__ import annotations

import json

import pytest

from tests.keys.wrapped_rows import changed, wrapped
from tests.kit.generations import reveal_all
from tests.kit.processes import fails, terminal
from tests.kit.vault import Result, Vault


@pytest.fixture
def other_key(filled: Vault) -> str:
    """The ARN of a new KMS key, which the vault's processes trust beside their own."""
    made: str = filled.emulator.client("kms").create_key()["KeyMetadata"]["Arn"]
    trusted = (*(filled.provisioned.key_arns[name] for name in ("data", "token")), made)
    filled.overrides["VAULT_ETL_TRUSTED_KEY_ARNS"] = ",".join(trusted)
    return made


def move(vault: Vault, to: str, *args: str, purpose: str = "data", glass: str = "admin") -> Result:
    """`keys rewrap --to`, with the access key of the emulator's administrator."""
    extra = vault.access_key(glass)
    return vault.run(
        "re-encrypt", "keys", "rewrap", "--to", to, "--purpose", purpose, *args, extra=extra
    )


@pytest.mark.parametrize("purpose", ["data", "token"])
def test_break_glass_moves_the_keys_of_a_purpose(
    filled: Vault, other_key: str, purpose: str
) -> None:
    """Bytes and ARN change together, of that KMS key's keys alone, and the administrator opens a value with them."""
    before = wrapped(filled)
    under = filled.provisioned.key_arns[purpose]
    mine = {k for (k,) in filled.sql("SELECT key_id FROM data_keys WHERE kms_key_arn = %s", under)}
    assert json.loads(move(filled, other_key, "--dry-run", purpose=purpose).stdout) == {
        "rewrapped": len(mine)
    }
    assert wrapped(filled) == before
    moved = move(filled, other_key, "--yes", purpose=purpose)
    assert moved.code == 0, moved.stderr
    assert moved.json == {"rewrapped": len(mine)}
    after = wrapped(filled)
    assert {key_id for key_id, (arn, _) in after.items() if arn == other_key} == mine
    assert changed(filled, before) == mine
    assert move(filled, other_key, "--yes", purpose=purpose).json == {"rewrapped": 0}


def test_a_moved_key_opens(filled: Vault, other_key: str) -> None:
    """A caller who may use the new KMS key reveals as before; any other exits 77."""
    revealed = reveal_all(filled)
    move(filled, other_key, "--yes")
    (record_id, fields), *_ = revealed.items()
    asked = ("reveal", record_id, "--reason", "a test")
    opened = filled.ok(
        "reveal",
        *asked,
        extra=filled.access_key("admin"),
    )
    assert opened.json["fields"] == fields


def test_an_alias_names_a_kms_key_too(filled: Vault, other_key: str) -> None:
    """An alias is looked up, and its ARN is stored."""
    kms = filled.emulator.client("kms")
    kms.create_alias(AliasName="alias/another", TargetKeyId=other_key)
    try:
        assert move(filled, "alias/another", "--yes").json == {"rewrapped": 3}
    finally:
        kms.delete_alias(AliasName="alias/another")
    arns = filled.sql("SELECT DISTINCT kms_key_arn FROM data_keys WHERE purpose = 'data'")
    assert arns == [(other_key,)]


def test_a_move_is_on_the_record(filled: Vault, other_key: str) -> None:
    """The log has the run, with the name that was given, and then each key with its new ARN."""
    before = filled.count("audit_log")
    move(filled, other_key, "--yes")
    reasons = [
        reason
        for (reason,) in filled.sql(
            "SELECT reason FROM audit_log WHERE seq > %s AND phase = 'outcome' AND decision = 'done'"
            " AND action <> 'keys change' ORDER BY seq",
            before,
        )
    ]
    assert reasons[0] == f"all data keys, to {other_key}"
    assert len(reasons) == 4
    assert all(reason.endswith(f", to {other_key}") for reason in reasons)


def test_a_kms_key_that_is_not_listed_is_refused(filled: Vault, other_key: str) -> None:
    """Exit 78 for the new and for the old KMS key: every other process would refuse its keys."""
    before = wrapped(filled)
    own = filled.provisioned.key_arns
    for trusted in ("", f"{own['data']},{own['token']}", f"{own['token']},{other_key}"):
        filled.overrides["VAULT_ETL_TRUSTED_KEY_ARNS"] = trusted
        if not trusted:
            del filled.overrides["VAULT_ETL_TRUSTED_KEY_ARNS"]
        for args in ("--yes", "--dry-run"):
            result = move(filled, other_key, args)
            fails(result, 78, "is not trusted here")
            assert "VAULT_ETL_TRUSTED_KEY_ARNS" in result.stderr.splitlines()[-1]
    assert wrapped(filled) == before


def test_the_kms_key_of_the_other_purpose_is_refused(filled: Vault, other_key: str) -> None:
    """Otherwise a caller who may open token keys could open data keys."""
    assert other_key
    before = wrapped(filled)
    fails(move(filled, filled.provisioned.key_arns["token"], "--yes"), 78, "another purpose")
    assert wrapped(filled) == before


@pytest.mark.iam
@pytest.mark.parametrize("role", ["rotate", "re-encrypt", "operator"])
@pytest.mark.parametrize("known", [True, False])
def test_no_role_moves_a_key(filled: Vault, other_key: str, role: str, known: bool) -> None:
    """Exit 77 for a KMS key that the role may look up, and for one that it may not; logged, and no byte changed."""
    before, entries = wrapped(filled), filled.count("audit_log")
    target = other_key
    if known:  # data keys under the audit key: of no purpose, and every role may look it up
        target = filled.provisioned.key_arns["audit"]
        filled.overrides["VAULT_ETL_TRUSTED_KEY_ARNS"] += f",{target}"
    result = move(filled, target, "--yes", glass=role)
    assert result.code == 77, result.stderr
    assert wrapped(filled) == before
    assert ("keys rewrap", "key_unavailable" if known else "denied") in [
        (action, code)
        for action, code in filled.sql(
            "SELECT action, error_code FROM audit_log WHERE seq > %s AND phase = 'outcome'", entries
        )
    ]


@pytest.mark.parametrize("args", [("--to", "alias/x"), ("--purpose", "data")])
def test_to_and_purpose_go_together(filled: Vault, args: tuple[str, ...]) -> None:
    """Either alone is a usage error."""
    fails(filled.run("re-encrypt", "keys", "rewrap", *args), 2, "--to and --purpose")


def test_a_move_asks_first(filled: Vault, other_key: str) -> None:
    """Without a terminal the command needs --yes; on a terminal it asks, and the answer no is exit 75."""
    before = wrapped(filled)
    fails(move(filled, other_key), 2, "no terminal")
    args = ("keys", "rewrap", "--to", other_key, "--purpose", "data")
    with terminal(filled, "rotate", *args) as shown:
        shown.expect(f"Move 3 data keys to the KMS key {other_key[:10]}")
        shown.type("n")
        assert shown.finish().code == 75
    assert wrapped(filled) == before
