"""Keys that no key of ours opens, stored by a stolen `ingest`, are skipped and named, and block no command."""

from __future__ import annotations

import pytest

from tests.kit.processes import fails
from tests.kit.vault import Result, Vault
from tests.rotation.events import RECORDS, dated_events, load_file
from tests.rotation.kills import rotate
from tests.rotation.planted import FOREIGN, KINDS, Planted, plant_body, plant_record
from tests.rotation.rows import rows

SETTING = "VAULT_ETL_TRUSTED_KEY_ARNS"
STATES = "SELECT key_id, state FROM data_keys ORDER BY key_id"
WRAPPED = "SELECT key_id, encode(wrapped_key, 'hex') FROM data_keys WHERE wrapped_key IS NOT NULL"
RETRY = ("quarantine", "retry", "--all")
UNDER = (  # docs/how-to/rotate-data-keys.md, Keys that do not open
    "SELECT record_id FROM user_logins"
    " WHERE %s IN (ciphertext_key_id(ip_ciphertext), ciphertext_key_id(device_id_ciphertext))"
    " UNION ALL SELECT record_id FROM quarantine WHERE ciphertext_key_id(body_ciphertext) = %s"
)


@pytest.fixture
def listed(rotation_filled: Vault) -> Vault:
    """A vault whose settings list our two KMS keys, as its manual says."""
    arns = rotation_filled.provisioned.key_arns
    rotation_filled.overrides[SETTING] = f"{arns['data']},{arns['token']}"
    return rotation_filled


def names(result: Result, planted: list[Planted]) -> None:
    """The error names ten of the keys, the number of values under each, the number of further keys, and a remedy."""
    key_ids = [key_id for each in planted for key_id in each.key_ids]
    named = [key_id for key_id in key_ids if f"key {key_id}" in result.stderr]
    assert len(named) == result.stderr.count("with 1 values under it") == min(10, len(key_ids))
    assert (f"and {len(key_ids) - 10} keys more" in result.stderr) is (len(key_ids) > 10)
    hint = result.stderr.splitlines()[-1]
    assert SETTING in hint
    assert "`vault-etl erase`" in hint


def test_both_rotations_pass_keys_that_do_not_open(listed: Vault) -> None:
    """All honest rows are done, the others stay; once they are left out on the record, the cut-over is made."""
    honest = rows(listed)
    planted = [plant_record(listed, kind) for kind in KINDS]
    forged = {each.record_id: _stored(listed, each) for each in planted}
    result = rotate(listed)
    assert result.code == 65, result.stderr
    assert f"{2 * len(KINDS)} values do not open" in result.stderr
    assert result.json["values_reencrypted"] == 2 * RECORDS + 1
    assert result.json["values_remaining"] == 2 * len(KINDS)
    assert all(str(each.record_id) in result.stderr for each in planted)
    names(result, planted)
    after = rows(listed)
    for user, before in honest.items():
        assert after[user]["ip"] != before["ip"]
        assert after[user]["device_id"] != before["device_id"]
    assert forged == {each.record_id: _stored(listed, each) for each in planted}

    result = rotate(listed, "--tokens")
    fails(result, 65, f"no next token in {len(KINDS)} records")
    assert all(str(each.record_id) in result.stderr for each in planted)
    names(result, planted)
    assert {row["next_generation"] for user, row in rows(listed).items() if user in honest} == {2}
    arns = listed.provisioned.key_arns
    out = ("--leave-out", "login=test_ingest")
    reviewed = listed.ok("re-encrypt", "keys", "rotate", "--tokens", "--dry-run", *out)
    assert (
        f", wrapped by {', '.join(sorted({FOREIGN, arns['data'], arns['token']}))}"
        in reviewed.stderr
    )
    assert rotate(listed, "--tokens", *out).json["rows_left_out"] == len(KINDS)
    assert {row["generation"] for user, row in rows(listed).items() if user in honest} == {2}


def test_a_retry_passes_keys_that_do_not_open(listed: Vault) -> None:
    """Bodies under such keys are named, and so are the keys. Honest bodies are tried."""
    planted = [plant_body(listed, kind) for kind in KINDS]
    result = listed.run("re-encrypt", "quarantine", "retry", "--all", "--yes", "--quiet")
    assert result.code == 65, result.stderr
    assert f"{len(KINDS)} messages do not open" in result.stderr
    assert result.json["retried"] == len(KINDS) + 1
    assert set(result.json["not_opened"]) == {str(each.record_id) for each in planted}
    names(result, planted)


def test_a_wrong_list_of_keys_stops_a_rotation_before_any_change(listed: Vault) -> None:
    """Exit 78: otherwise every data key and token key would seem to be at fault."""
    arns, before = listed.provisioned.key_arns, listed.sql(STATES)
    for trusted, commands in {
        arns["token"]: (("keys", "rotate"), ("keys", "rotate", "--tokens"), RETRY),
        arns["data"]: (("keys", "rotate", "--tokens"),),
        FOREIGN: (("keys", "rotate"), ("keys", "rotate", "--tokens"), RETRY),
    }.items():
        for command in commands:
            result = listed.run("re-encrypt", *command, "--yes", extra={SETTING: trusted})
            fails(result, 78, "is not trusted here")
            assert SETTING in result.stderr.splitlines()[-1]
    assert listed.sql(STATES) == before
    assert rotate(listed).json["values_remaining"] == 0


def test_the_hints_lead_to_the_destruction_of_such_a_key(listed: Vault) -> None:
    """`destroy` names the rotation, the rotation its records, each access `erase`; then the key is destroyed."""
    planted = plant_record(listed, "foreign ARN")
    key_id = str(planted.key_ids[0])
    rotate(listed)
    result = listed.run("rotate", "keys", "destroy", key_id, "--yes")
    fails(result, 78, f"data key {key_id} of ip is needed: 1 values of records")
    assert "`vault-etl keys rotate`" in result.stderr
    assert "`vault-etl erase`" in result.stderr
    assert str(planted.record_id) in rotate(listed).stderr
    looked = listed.run("reveal", "reveal", str(planted.record_id), "--reason", "what is it?")
    fails(looked, 65, f"key {key_id} is wrapped by a KMS key that is not trusted here")
    assert "`vault-etl erase`" in looked.stderr
    found = listed.sql(UNDER, key_id, key_id, role="re-encrypt")
    assert found == [(planted.record_id,)]
    listed.ok("erase", "erase", str(planted.record_id), "--reason", "forged", "--yes")
    assert listed.ok("rotate", "keys", "destroy", key_id, "--yes").json["destroyed"] == [
        int(key_id)
    ]
    assert rotate(listed).json["values_remaining"] == 0


def test_a_key_without_its_fingerprint_stops_no_rewrap(rotation_empty: Vault) -> None:
    """The key is the oldest, so the rewrap proves it first: the key is named and left as it is."""
    planted = plant_record(rotation_empty, "fingerprint")
    load_file(rotation_empty, dated_events(3, 1))
    before = dict(rotation_empty.sql(WRAPPED))
    result = rotation_empty.run("re-encrypt", "keys", "rewrap", "--quiet")
    assert result.code == 65, result.stderr
    assert "2 keys do not open as they are" in result.stderr
    assert all(str(key_id) in result.stderr for key_id in planted.key_ids)
    after = dict(rotation_empty.sql(WRAPPED))
    assert {key_id for key_id in before if before[key_id] == after[key_id]} == set(planted.key_ids)


def _stored(vault: Vault, planted: Planted) -> tuple[object, ...]:
    (row,) = vault.sql(
        "SELECT user_id, encode(ip_ciphertext, 'hex'), encode(device_id_ciphertext, 'hex'), masked_ip"
        " FROM user_logins WHERE record_id = %s",
        planted.record_id,
    )
    return row
