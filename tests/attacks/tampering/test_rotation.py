"""A rotation opens every value of a retired key, and must not make a tampered one good again."""

from __future__ import annotations

import uuid

from tests.attacks.tampering.site import Site, opens, refused, silent
from tests.kit.declared import DEVICE_ID, IP


def test_a_rotation_does_not_launder_what_was_tampered_with(site: Site) -> None:
    """A rotation leaves moved, damaged and swapped values as they are, names them, and re-encrypts the rest."""
    first, second, bobs = site.records
    ((body,),) = site.sql("SELECT body_ciphertext FROM quarantine")
    address = site.ciphertext(second)
    site.put(first, bytes(body))
    site.sql("UPDATE quarantine SET body_ciphertext = %s", address)
    damaged = bytearray(site.ciphertext(second, DEVICE_ID))
    damaged[20] ^= 1
    site.put(second, bytes(damaged), DEVICE_ID)
    site.put(bobs, site.ciphertext(bobs, DEVICE_ID)[:3], DEVICE_ID)
    before = _stored(site)

    result = site.vault.run("re-encrypt", "keys", "rotate", "--yes", "--verbose")

    assert result.code == 65
    assert str(second) in result.stderr
    silent(result.stdout, result.stderr)
    after = _stored(site)
    untouched = {place for place in before if before[place] == after[place]}
    assert untouched == {
        ("ip", first),
        ("quarantine", site.quarantined),
        ("device_id", second),
        ("device_id", bobs),
    }
    refused(site, first, IP)
    refused(site, second, DEVICE_ID)
    refused(site, bobs, DEVICE_ID)
    assert opens(site, bobs, IP)
    assert opens(site, second, IP)


def _stored(site: Site) -> dict[tuple[str, uuid.UUID], bytes]:
    """Every ciphertext, by its field and record."""
    rows = site.sql(
        "SELECT 'ip', record_id, ip_ciphertext FROM user_logins"
        " UNION ALL SELECT 'device_id', record_id, device_id_ciphertext FROM user_logins"
        " UNION ALL SELECT 'quarantine', record_id, body_ciphertext FROM quarantine"
    )
    return {(field, record_id): bytes(stored) for field, record_id, stored in rows}
