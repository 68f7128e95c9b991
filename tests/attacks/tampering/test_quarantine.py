"""Quarantined bodies that were moved or changed: they are not shown, and do not become a login of another user."""

from __future__ import annotations

import json
import traceback
import uuid
from collections.abc import Callable

import pytest
from typing_extensions import override

from tests.attacks.tampering.by_hand import opened_by_hand
from tests.attacks.tampering.site import Site, silent
from tests.vectors.oracle import associated_data, pad, seal
from vault_etl.app import quarantine
from vault_etl.audit.entries import Action, AuditRequest
from vault_etl.base.errors import IntegrityError
from vault_etl.crypto.fields import QUARANTINE
from vault_etl.platform.clock import Progress
from vault_etl.quarantine.read import RetryFilter

GOOD = json.dumps(
    {
        "user_id": "alice",
        "device_type": "ios",
        "ip": "198.51.100.77",
        "device_id": "canary-device-1",
    }
).encode()


def request(action: Action, record_id: uuid.UUID) -> AuditRequest:
    """Somebody asks for this body."""
    return AuditRequest(
        request_id=uuid.uuid4(),
        action=action,
        actor="arn:aws:sts::123456789012:assumed-role/vault-etl-reveal/ada",
        host="host.example",
        reason="a test asks",
        record_id=record_id,
        fields=(QUARANTINE,),
    )


class Steps(Progress):
    """Progress that prints no line."""

    @override
    def advance(self, done: int, **details: int | str) -> None:
        """Print no line."""


def shown(site: Site, record_id: uuid.UUID) -> bytes:
    """The body, shown."""
    asked = request(Action.QUARANTINE_SHOW, record_id)
    with site.environment("reveal"):
        body = quarantine.show(site.parts("reveal"), asked.request_id)(asked).body
    assert body is not None
    return body.expose()


def put(site: Site, record_id: uuid.UUID, stored: bytes) -> None:
    """Have a quarantined message with these bytes."""
    site.sql("DELETE FROM quarantine WHERE record_id = %s", record_id)
    site.sql(
        "INSERT INTO quarantine (record_id, reason_code, path, body_ciphertext)"
        " VALUES (%s, 'not_json', '$', %s)",
        record_id,
        stored,
    )


def sealed(site: Site, record_id: uuid.UUID, **elsewhere: object) -> bytes:
    """A good event, sealed by hand for this place, or with another part of the associated data."""
    key = site.key_of(QUARANTINE)
    place = {
        "table": "quarantine",
        "field": "quarantine",
        "record": record_id,
        "key_id": key.key_id,
        "user_id": "",
    }
    aad = associated_data(**{**place, **elsewhere})  # type: ignore[arg-type]
    material = opened_by_hand(site, key, "quarantine")
    return seal(material, key.key_id, bytes(range(12)), pad(GOOD), aad)


def neighbour(site: Site) -> uuid.UUID:
    """The id of a message sent a millisecond later."""
    return uuid.UUID(int=site.quarantined.int + (1 << 80))


def test_the_untouched_body_opens(site: Site) -> None:
    """A body sealed by hand for its place opens too: else the other tests would show nothing."""
    assert b"198.51.100.77 is not JSON" in shown(site, site.quarantined)
    put(site, neighbour(site), sealed(site, neighbour(site)))
    assert shown(site, neighbour(site)) == GOOD


TAMPERS: dict[str, Callable[[Site, uuid.UUID], bytes]] = {
    "another row's body": lambda site, _: sealed(site, site.quarantined),
    "another table's": lambda site, it: sealed(site, it, table="user_logins"),
    "another field's": lambda site, it: sealed(site, it, field="ip"),
    "under another key's id": lambda site, it: sealed(site, it, key_id=1),
    "another user's": lambda site, it: sealed(site, it, user_id="alice"),
    "a record's value": lambda site, _: site.ciphertext(site.records[0]),
    "a flipped bit": lambda site, it: sealed(site, it)[:-1] + bytes([sealed(site, it)[-1] ^ 1]),
    "cut": lambda site, it: sealed(site, it)[:-16],
    "empty": lambda _site, _: b"",
}


@pytest.mark.parametrize("tamper", TAMPERS.values(), ids=TAMPERS.keys())
def test_a_body_that_is_not_this_row_s_is_not_shown(
    site: Site, tamper: Callable[[Site, uuid.UUID], bytes]
) -> None:
    """The command gives one error, on the record, and shows nothing."""
    record_id = neighbour(site)
    put(site, record_id, tamper(site, record_id))
    with pytest.raises(IntegrityError) as caught:
        shown(site, record_id)
    assert (caught.value.__cause__, caught.value.__context__) == (None, None)
    ((last,),) = site.sql(
        "SELECT (phase, decision, error_code)::text FROM audit_log"
        " WHERE record_id = %s ORDER BY seq DESC LIMIT 1",
        record_id,
    )
    assert last == "(outcome,failed,integrity)"
    told = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
    silent("".join(told.format()))


@pytest.mark.parametrize("tamper", TAMPERS.values(), ids=TAMPERS.keys())
def test_a_body_that_is_not_this_row_s_does_not_become_a_login(
    site: Site, tamper: Callable[[Site, uuid.UUID], bytes]
) -> None:
    """A body of another row is named and left, though its event would pass; its neighbour moves."""
    record_id, whole = neighbour(site), uuid.UUID(int=neighbour(site).int + (1 << 80))
    put(site, record_id, tamper(site, record_id))
    put(site, whole, sealed(site, whole))
    asked = request(Action.QUARANTINE_RETRY, record_id)
    with site.environment("re-encrypt"):
        retry = quarantine.retry(site.parts("re-encrypt"), Steps(), asked.request_id)
        report = retry.move(asked, RetryFilter([record_id, whole]))
    assert (report.moved, report.not_opened) == (1, (record_id,))
    stored = site.sql("SELECT record_id FROM user_logins WHERE record_id >= %s", record_id)
    assert [i for (i,) in stored] == [whole]
