"""The same through `vault-etl reveal`: exit codes, one message, and nothing printed."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.attacks.tampering.by_hand import sealed_by_hand
from tests.attacks.tampering.site import Site, silent
from tests.kit.declared import IP
from tests.kit.vault import Result
from vault_etl.base.errors import IntegrityError


def _flip(site: Site) -> None:
    stored = site.ciphertext(site.records[0])
    site.put(site.records[0], stored[:-1] + bytes([stored[-1] ^ 1]))


def _quarantined(site: Site) -> None:
    ((body,),) = site.sql("SELECT body_ciphertext FROM quarantine")
    site.put(site.records[0], bytes(body))


def _unpadded(site: Site) -> None:
    site.put(site.records[0], sealed_by_hand(site, site.records[0], IP, b"198.51.100.77   "))


def _sql(statement: str) -> Callable[[Site], None]:
    return lambda site: (site.sql(statement), None)[1]


NOT_AUTHENTIC: dict[str, Callable[[Site], None]] = {
    "a flipped bit": _flip,
    "a quarantined body": _quarantined,
    "malformed padding": _unpadded,
    "another person": _sql("UPDATE user_logins SET user_id = 'mallory'"),
}
UNUSABLE: dict[str, Callable[[Site], None]] = {
    "another KMS key": _sql("UPDATE data_keys SET kms_key_arn = kms_key_arn || '0'"),
    "a destroyed key": _sql(
        "UPDATE data_keys SET state = 'destroyed', wrapped_key = NULL WHERE purpose = 'data'"
    ),
    "wrapped keys swapped": _sql(
        "UPDATE data_keys AS mine SET wrapped_key = its.wrapped_key FROM data_keys AS its"
        " WHERE mine.purpose = 'data' AND its.purpose = 'data' AND mine.field <> its.field"
        " AND its.wrapped_key IS NOT NULL AND mine.wrapped_key IS NOT NULL"
    ),
    "another fingerprint": _sql(
        "UPDATE data_keys SET fingerprint = '\\x0123456789abcdef' WHERE purpose = 'data'"
    ),
}


@pytest.mark.parametrize("tamper", NOT_AUTHENTIC.values(), ids=NOT_AUTHENTIC.keys())
def test_a_value_that_is_not_authentic_is_exit_65_and_always_the_same(
    site: Site, tamper: Callable[[Site], None]
) -> None:
    """Standard error is byte for byte the same, and standard output is empty."""
    tamper(site)
    result = _reveal(site)
    the_one = IntegrityError()
    assert result.code == 65
    assert result.stderr == (f"vault-etl: error: {the_one}\nvault-etl: hint: {the_one.hint}\n")
    _on_the_record(site, result, "integrity")


@pytest.mark.parametrize("tamper", UNUSABLE.values(), ids=UNUSABLE.keys())
def test_a_key_that_is_at_fault_is_exit_65_and_named(
    site: Site, tamper: Callable[[Site], None]
) -> None:
    """The error says what to do about the key, and nothing is on standard output."""
    key_id = site.key_of(IP).key_id
    tamper(site)
    result = _reveal(site)
    assert result.code == 65
    assert f"key {key_id}" in result.stderr
    assert "`vault-etl erase`" in result.stderr.splitlines()[-1]
    _on_the_record(site, result, "key_unavailable")


def _reveal(site: Site) -> Result:
    asked = ("reveal", str(site.records[0]), "--reason", "a test asks", "--verbose")
    result = site.vault.run("reveal", *asked)
    lines = result.stderr.splitlines(keepends=True)
    unlogged = "".join(line for line in lines if '"event": "checkpoint"' not in line)
    return Result(result.code, result.stdout, unlogged)


def _on_the_record(site: Site, result: Result, error_code: str) -> None:
    assert result.stdout == ""
    assert "Traceback" not in result.stderr
    ((last,),) = site.sql(
        "SELECT (decision, error_code)::text FROM audit_log"
        " WHERE record_id = %s ORDER BY seq DESC LIMIT 1",
        site.records[0],
    )
    assert last == f"(failed,{error_code})"
    log = site.sql("SELECT string_agg(l::text, ' ') FROM audit_log AS l")[0][0]
    silent(result.stderr, log, site.vault.server.log.read_text(encoding="utf-8"))
