"""Exit 65: only the value that was sealed for a place opens there."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.kit.events import events
from tests.kit.processes import fails
from tests.kit.samples import a_record
from tests.kit.vault import Vault

FLIP_ONE = (
    "UPDATE user_logins SET ip_ciphertext ="
    " set_byte(ip_ciphertext, 20, get_byte(ip_ciphertext, 20) # 1) WHERE record_id = %s"
)
FLIP = "UPDATE user_logins SET ip_ciphertext = set_byte(ip_ciphertext, {0}, get_byte(ip_ciphertext, {0}) # 1)"
SWAP_ROWS = """
    UPDATE user_logins a SET ip_ciphertext = b.ip_ciphertext, masked_ip = b.masked_ip
    FROM user_logins b WHERE b.record_id = (
        SELECT c.record_id FROM user_logins c WHERE c.masked_ip <> a.masked_ip LIMIT 1
    )
"""
COPY_ALL_BUT_THE_ID = """
    UPDATE user_logins a SET ip_ciphertext = b.ip_ciphertext, masked_ip = b.masked_ip,
        device_id_ciphertext = b.device_id_ciphertext, masked_device_id = b.masked_device_id,
        user_id = b.user_id
    FROM user_logins b WHERE b.record_id = (
        SELECT c.record_id FROM user_logins c WHERE c.masked_ip <> a.masked_ip LIMIT 1
    )
"""
SWAP_COLUMNS = """
    UPDATE user_logins
    SET ip_ciphertext = device_id_ciphertext, device_id_ciphertext = ip_ciphertext
"""
RESTORE = """
    UPDATE user_logins r SET user_id = s.user_id, ip_ciphertext = s.ip_ciphertext,
        device_id_ciphertext = s.device_id_ciphertext, masked_ip = s.masked_ip,
        masked_device_id = s.masked_device_id, token_generation = s.token_generation
    FROM saved s WHERE s.record_id = r.record_id
"""


@pytest.fixture
def mended(loaded: Vault) -> Iterator[Vault]:
    """Yield the shared vault, and repair its rows afterwards."""
    loaded.drop_form_checks()
    loaded.sql("CREATE TABLE saved AS SELECT * FROM user_logins")
    yield loaded
    loaded.sql(RESTORE)
    loaded.sql("DROP TABLE saved")


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(FLIP.format(0), id="format"),
        pytest.param(FLIP.format(2), id="key id"),
        pytest.param(FLIP.format(7), id="nonce"),
        pytest.param(FLIP.format(20), id="ciphertext"),
        pytest.param(FLIP.format(45), id="tag"),
        pytest.param("UPDATE user_logins SET ip_ciphertext = substr(ip_ciphertext, 2)", id="cut"),
        pytest.param("UPDATE user_logins SET ip_ciphertext = ''", id="empty"),
        pytest.param(SWAP_ROWS, id="rows swapped"),
        pytest.param(COPY_ALL_BUT_THE_ID, id="another row under this id"),
        pytest.param(SWAP_COLUMNS, id="columns swapped"),
        pytest.param("UPDATE user_logins SET user_id = 'another'", id="user"),
        pytest.param("UPDATE user_logins SET masked_ip = gen_random_uuid()", id="token"),
        pytest.param("UPDATE user_logins SET masked_ip = NULL", id="no token"),
        pytest.param("UPDATE user_logins SET token_generation = 7", id="generation"),
    ],
)
def test_a_row_that_was_tampered_with_does_not_open(mended: Vault, damage: str) -> None:
    """Each change of a row makes its reveal fail with one and the same error, on the record."""
    record_id, _ = a_record(mended)
    mended.sql(damage)
    result = mended.run("reveal", "reveal", record_id, "--reason", "x")
    fails(result, 65, "a sealed value does not open")
    outcome = mended.ok("audit", "audit", "list", "--record", record_id).lines[-1]
    assert (outcome["decision"], outcome["error_code"]) == ("failed", "integrity")


def test_one_bad_field_hides_the_good_one_unless_it_is_asked_for_alone(mended: Vault) -> None:
    """With the address damaged nothing of the record is shown; the device alone still opens."""
    record_id, _ = a_record(mended)
    mended.sql(FLIP_ONE, record_id)
    fails(mended.run("reveal", "reveal", record_id, "--reason", "x"), 65)
    alone = mended.ok("reveal", "reveal", record_id, "-f", "device_id", "--reason", "x")
    assert set(alone.json["fields"]) == {"device_id"}


def test_an_erased_field_is_null_and_no_failure(mended: Vault) -> None:
    """A record without a ciphertext has nothing to open, which is not an error."""
    record_id, _ = a_record(mended)
    mended.sql("UPDATE user_logins SET ip_ciphertext = NULL, masked_ip = NULL")
    shown = mended.ok("reveal", "reveal", record_id, "-f", "ip", "--reason", "x")
    assert shown.json["fields"] == {"ip": None}


def test_a_rotation_leaves_and_names_what_does_not_open(quick: Vault) -> None:
    """Exit 65 names the record; its bytes stay as they are, and all others are re-encrypted."""
    quick.send(events(2))
    quick.ok("ingest", "ingest")
    bad, good = (str(i) for (i,) in quick.sql("SELECT record_id FROM user_logins ORDER BY 1"))
    quick.sql(FLIP_ONE, bad)
    before = sealed(quick)
    result = quick.run("re-encrypt", "keys", "rotate", "--yes")
    assert result.code == 65
    assert f"vault-etl: error: 1 values do not open, among them those of {bad}" in result.stderr
    assert (result.json["values_reencrypted"], result.json["values_remaining"]) == (3, 1)
    after = sealed(quick)
    assert after[bad] == before[bad]
    assert after[good] != before[good]
    assert quick.ok("reveal", "reveal", good, "--reason", "x").json["fields"]["ip"]


def test_a_damaged_wrapped_key_is_refused_by_kms(quick: Vault) -> None:
    """A wrapped key with a flipped byte opens nothing: exit 65, naming KMS, and nothing shown."""
    quick.send(events(1))
    quick.ok("ingest", "ingest")
    quick.sql(
        "UPDATE data_keys SET wrapped_key = set_byte(wrapped_key, length(wrapped_key) - 1,"
        " get_byte(wrapped_key, length(wrapped_key) - 1) # 1)"
    )
    record_id, _ = a_record(quick)
    fails(quick.run("reveal", "reveal", record_id, "--reason", "x"), 65, "KMS")
    quick.send(events(1))
    fails(quick.run("ingest", "ingest"), 65, "KMS")


def sealed(vault: Vault) -> dict[str, bytes]:
    """The sealed address of every record."""
    rows = vault.sql("SELECT record_id, ip_ciphertext FROM user_logins")
    return {str(record_id): bytes(ciphertext) for record_id, ciphertext in rows}
