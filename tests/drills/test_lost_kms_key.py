"""A KMS key that is disabled, to be deleted or gone: what stops, what still works, and what comes back."""

from __future__ import annotations

from tests.kit.events import event
from tests.kit.kms_keys import disabled, ending
from tests.kit.processes import fails
from tests.kit.vault import Result, Vault

ADDRESS = "203.0.0.1"
"""Of one of the three records."""
REASON = ("--reason", "drill")


def test_a_data_key_of_kms_is_lost(filled: Vault) -> None:
    """Nothing is opened or stored, and tokens find values; with a new KMS key all continues without the old values."""
    old = _record(filled)
    with ending(filled, "data"):
        fails(_reveal(filled, old), 77, "KMS does not use this key (KMSInvalidStateException)")
    with disabled(filled, "data"):
        filled.send([event(ip=ADDRESS)])
        stopped = filled.run("ingest", "ingest")
        assert stopped.code == 77
        assert (
            "KMS does not use this key (DisabledException): alias/vault-etl-data" in stopped.stderr
        )
        assert sum(filled.depth()) == 1
        fails(_reveal(filled, old), 77, "KMS does not use this key (DisabledException): key")
        assert _found(filled) == 1
        filled.ok("reveal", "tokens", "--field", "ip", *REASON, stdin=ADDRESS)
        filled.ok("erase", "erase", old, *REASON, "--dry-run")
    assert _reveal(filled, old).code == 0

    with disabled(filled, "data"):
        _with_new_key(filled, "data")
        filled.renew_queue()
        filled.send([event(ip=ADDRESS)])
        assert filled.ok("ingest", "ingest").json["stored"] == 1
        assert _reveal(filled, _record(filled)).code == 0
        fails(_reveal(filled, old), 77, "KMS does not use this key")
        assert _found(filled) == 2
        (shared,) = filled.ok("analyst", "duplicates", "--field", "ip").lines
        assert shared["count"] == 2
        rotated = filled.run("re-encrypt", "keys", "rotate", "--yes")
        assert rotated.code == 65
        assert "7 values do not open" in rotated.stderr
        filled.ok("audit", "audit", "verify")


def test_a_token_key_of_kms_is_lost(filled: Vault) -> None:
    """No event is stored, nothing is revealed or found, and a rotation cannot replace the key; analysts go on."""
    old = _record(filled)
    filled.send([event(ip=ADDRESS)])
    with disabled(filled, "token"):
        _with_new_key(filled, "token")
        for lost in (
            filled.run("ingest", "ingest"),
            _reveal(filled, old),
            filled.run("reveal", "find", "--field", "ip", *REASON, stdin=ADDRESS),
            filled.run("reveal", "tokens", "--field", "ip", *REASON, stdin=ADDRESS),
            filled.run("re-encrypt", "keys", "rotate", "--tokens", "--yes"),
        ):
            fails(lost, 77, "KMS does not use this key (DisabledException): key")
        filled.ok("re-encrypt", "keys", "rotate", "--yes")
        filled.ok("analyst", "duplicates", "--field", "device_id")
        filled.ok("erase", "erase", old, *REASON, "--dry-run")
        filled.ok("audit", "audit", "verify")
    del filled.overrides["VAULT_ETL_TOKEN_KEY"]
    assert filled.ok("ingest", "ingest").json["stored"] == 1
    assert _reveal(filled, old).code == 0
    assert _found(filled) == 2


def _record(vault: Vault) -> str:
    """Return the id of the newest record with the address."""
    (line,) = vault.ok("reveal", "find", "--field", "ip", *REASON, stdin=ADDRESS).lines
    return str(max(each["record_id"] for each in line["records"]))


def _reveal(vault: Vault, record_id: str) -> Result:
    return vault.run("reveal", "reveal", record_id, *REASON)


def _found(vault: Vault) -> int:
    """Return how many records hold the address."""
    (line,) = vault.ok("reveal", "find", "--field", "ip", *REASON, stdin=ADDRESS).lines
    count: int = line["count"]
    return count


def _with_new_key(vault: Vault, purpose: str) -> None:
    """Let a new KMS key wrap new keys; the emulator's administrator alone may use it."""
    made = vault.emulator.client("kms").create_key()["KeyMetadata"]["Arn"]
    trusted = (vault.provisioned.key_arns["data"], vault.provisioned.key_arns["token"], made)
    settings = {
        f"VAULT_ETL_{purpose.upper()}_KEY": made,
        "VAULT_ETL_TRUSTED_KEY_ARNS": ",".join(trusted),
        **vault.access_key("admin"),
    }
    vault.overrides.update(settings)
