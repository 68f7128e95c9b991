"""Who was erased is nowhere any more: in no dump, no reveal, no search, no count, and not brought back."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.kit.dumps import dump
from tests.kit.events import event
from tests.kit.killed import VISIBILITY_SECONDS, run_killed
from tests.kit.notes import stored_notes
from tests.kit.proxy import Call, FaultProxy
from tests.kit.quarantined import quarantine
from tests.kit.vault import Result, Vault
from tests.kit.vaults import filled_vault
from tests.kit.waiting import until

SHARED, OWN, OTHERS = "198.51.100.7", "198.51.100.8", "198.51.100.9"
BODIES = (
    event(user_id="ann", ip=SHARED, device_id="device-of-ann"),
    event(user_id="ann", ip=OWN, device_id="device-of-ann"),
    event(user_id="bob", ip=SHARED, device_id="device-of-bob"),
    event(user_id="cyd", ip=SHARED, device_id="device-of-cyd"),
    event(user_id="cyd", ip=OTHERS, device_id="device-of-cyd"),
    "not json: ann",
)
SEALED = "SELECT ip_ciphertext, device_id_ciphertext FROM user_logins WHERE user_id = 'ann'"
TOKENS = "SELECT masked_ip, masked_device_id FROM user_logins WHERE user_id = %s"


@dataclass(frozen=True, slots=True)
class Forgotten:
    """A vault in which ann, and one quarantined message, have been erased."""

    vault: Vault
    ids: list[str]
    message: str
    dumped_before: bytes
    needles: set[bytes]
    """What only her rows and that message held, as a dump writes it."""
    certificate: Result


@pytest.fixture(scope="module")
def forgotten(keyed: Vault, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Forgotten]:
    """Erased by the real commands."""
    with filled_vault(keyed, tmp_path_factory.mktemp("forgotten"), BODIES) as vault:
        ids = [
            str(i) for (i,) in vault.sql("SELECT record_id FROM user_logins WHERE user_id = 'ann'")
        ]
        ((message, body),) = vault.sql("SELECT record_id::text, body_ciphertext FROM quarantine")
        sealed = [bytes(value) for row in vault.sql(SEALED) for value in row]
        mine = {token for row in vault.sql(TOKENS, "ann") for token in row}
        others = {
            token for user in ("bob", "cyd") for row in vault.sql(TOKENS, user) for token in row
        }
        needles = {value.hex().encode() for value in (*sealed, bytes(body))}
        needles |= {str(token).encode() for token in mine - others}
        before = dump(vault)
        asked = ("--reason", "request 17", "--ticket", "DPO-17", "--yes")
        certificate = vault.ok("erase", "erase", "--user-id", "ann", *asked)
        vault.ok("erase", "erase", message, *asked)
        yield Forgotten(vault, ids, message, before, needles, certificate)


def test_a_dump_holds_no_token_and_no_ciphertext_of_it(forgotten: Forgotten) -> None:
    """All of them stood in a dump from before; none does now. What bob shares with ann is bob's."""
    assert len(forgotten.needles) == 4 + 1 + 2
    assert all(needle in forgotten.dumped_before for needle in forgotten.needles)
    now = dump(forgotten.vault)
    assert {needle for needle in forgotten.needles if needle in now} == set()
    assert b"device_id_ciphertext" in now


def test_a_reveal_shows_nothing(forgotten: Forgotten) -> None:
    """The records are there, and both fields are null."""
    lines = forgotten.vault.ok("reveal", "reveal", *forgotten.ids, "--reason", "x").lines
    assert [line["fields"] for line in lines] == [{"ip": None, "device_id": None}] * 2


@pytest.mark.parametrize(
    ("field", "value", "users"),
    [
        ("ip", SHARED, ["bob", "cyd"]),
        ("ip", OWN, []),
        ("device_id", "device-of-ann", []),
        ("device_id", "device-of-cyd", ["cyd", "cyd"]),
    ],
)
def test_a_search_does_not_find_it(
    forgotten: Forgotten, field: str, value: str, users: list[str]
) -> None:
    """Others who held the same value are still found, and counted without it."""
    asked = ("find", "-f", field, "--reason", "x")
    answer = forgotten.vault.ok("reveal", *asked, stdin=value).json
    assert sorted(record["user_id"] for record in answer["records"]) == users
    assert answer["count"] == len(users)


def test_no_count_has_it(forgotten: Forgotten) -> None:
    """`duplicates` counts two of what three shared, and nothing of what was ann's alone."""
    counts = {
        field: [
            (line["count"], line["users"])
            for line in forgotten.vault.ok("analyst", "duplicates", "-f", field).lines
        ]
        for field in ("ip", "device_id")
    }
    assert counts == {"ip": [(2, 2)], "device_id": [(2, 1)]}


def test_a_rotation_afterwards_leaves_it_alone(forgotten: Forgotten) -> None:
    """The rotation re-encrypts the other rows, does not fail, and needs no key for erased values."""
    report = forgotten.vault.ok("re-encrypt", "keys", "rotate", "--yes").json
    assert (report["values_reencrypted"], report["values_remaining"]) == (6, 0)
    assert gone(forgotten.vault, "ann")


def test_what_stays_is_the_row_and_the_record_of_it(forgotten: Forgotten) -> None:
    """Plain columns stand; the log has both entries of both erasures, and does not name ann."""
    assert (
        len(forgotten.vault.sql("SELECT device_type FROM user_logins WHERE user_id = 'ann'")) == 2
    )
    entries = [
        entry
        for entry in forgotten.vault.ok("audit", "audit", "list").lines
        if entry["action"] == "erase"
    ]
    assert [(e["phase"], e["decision"], e["record_id"], e["reason"]) for e in entries] == [
        ("intent", "allowed", None, "request 17"),
        ("outcome", "done", None, "erased records: 2, quarantined bodies: 0, left in archives: 0"),
        ("intent", "allowed", forgotten.message, "request 17"),
        (
            "outcome",
            "done",
            forgotten.message,
            "erased records: 0, quarantined bodies: 1, left in archives: 0",
        ),
    ]
    assert {e["ticket"] for e in entries} == {"DPO-17"}
    assert {e["actor"] for e in entries} == {forgotten.vault.actor("erase")}
    assert "ann" not in json.dumps(entries)


def test_the_log_still_proves_itself(forgotten: Forgotten) -> None:
    """An erasure adds to the chain and takes nothing out of it; a kept certificate is a checkpoint of it."""
    kept = forgotten.vault.home / "certificate.note"
    kept.write_text(forgotten.certificate.json["checkpoint"], encoding="utf-8")
    proof = forgotten.vault.ok("audit", "audit", "verify", "--checkpoint", str(kept)).json
    assert proof["ok"]


def test_the_certificate_says_what_when_and_what_not(forgotten: Forgotten) -> None:
    """Counts, the database's time, the entry, the signed head, and what an erasure cannot reach."""
    certificate = forgotten.certificate.json
    assert list(certificate) == [
        *("records", "quarantined", "archives", "erased_at", "audit_seq", "audit_hash"),
        *("checkpoint", "not_erased"),
    ]
    assert (certificate["records"], certificate["quarantined"]) == (2, 0)
    ((logged_at, hash_),) = forgotten.vault.sql(
        "SELECT to_char(logged_at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"'),"
        " encode(hash, 'hex') FROM audit_log WHERE seq = %s AND phase = 'outcome'",
        certificate["audit_seq"],
    )
    assert (certificate["erased_at"], certificate["audit_hash"]) == (logged_at, hash_)
    note = certificate["checkpoint"]
    assert note.splitlines()[1] == str(certificate["audit_seq"])
    assert note in stored_notes(forgotten.vault)
    named = " ".join(certificate["not_erased"])
    for what in (
        "user's id",
        "quarantined",
        "queue",
        "VACUUM",
        "write-ahead log",
        "backup",
        "lakes",
    ):
        assert what in named


def test_a_rotation_across_does_not_bring_it_back(quick: Vault) -> None:
    """Erased after a running rotation has read its ciphertext, and before it writes: it stays erased."""
    quick.send(BODIES[:3])
    quick.ok("ingest", "ingest")
    ids = [str(i) for (i,) in quick.sql("SELECT record_id FROM user_logins WHERE user_id = 'ann'")]
    erasures: list[Result] = []

    def erase_meanwhile(call: Call) -> bool:
        # The page of ciphertexts is read; the first key to open them is on its way.
        if call.operation == "Decrypt" and not erasures:
            asked = ("erase", "--user-id", "ann", "--reason", "x", "--yes")
            erasures.append(quick.run("erase", *asked))
        return True

    with FaultProxy(quick.endpoint, erase_meanwhile) as kms:
        extra = {"AWS_ENDPOINT_URL_KMS": kms.url}
        report = quick.ok("re-encrypt", "keys", "rotate", "--yes", extra=extra).json
    assert [erasure.json["records"] for erasure in erasures] == [len(ids)]
    assert (report["values_reencrypted"], report["values_remaining"]) == (2, 0)  # bob's two values
    assert gone(quick, "ann")
    lines = quick.ok("reveal", "reveal", *ids, "--reason", "x").lines
    assert [line["fields"] for line in lines] == [{"ip": None, "device_id": None}] * 2


def test_a_retry_across_does_not_bring_it_back(quick: Vault) -> None:
    """Erased after a running retry has read the body, and before it moves: it is no record, and no body."""
    ids = quarantine(quick, *(body.encode() for body in BODIES[:2]))
    erasures: list[Result] = []

    def erase_meanwhile(call: Call) -> bool:
        # The page of bodies is read; the key to open them is on its way.
        if call.operation == "Decrypt" and not erasures:
            erasures.append(quick.run("erase", "erase", ids[0], "--reason", "x", "--yes"))
        return True

    with FaultProxy(quick.endpoint, erase_meanwhile) as kms:
        extra = {"AWS_ENDPOINT_URL_KMS": kms.url}
        asked = ("quarantine", "retry", "--all", "--yes")
        report = quick.ok("re-encrypt", *asked, extra=extra).json
    assert [erasure.json["quarantined"] for erasure in erasures] == [1]
    assert (report["retried"], report["moved"], report["still_quarantined"]) == (2, 1, 1)
    assert quick.sql("SELECT record_id::text FROM user_logins") == [(ids[1],)]
    left = quick.sql("SELECT record_id::text, body_ciphertext FROM quarantine")
    assert left == [(ids[0], None)]
    assert quick.ok("re-encrypt", *asked).json["retried"] == 0
    shown = quick.ok("reveal", "quarantine", "show", ids[0], "--reason", "x").json
    assert shown["body"] is None


def test_what_a_retry_moved_is_erased_where_it_is(quick: Vault) -> None:
    """By the id that it had in quarantine, as a record."""
    (moved,) = quarantine(quick, BODIES[0].encode())
    quick.ok("re-encrypt", "quarantine", "retry", moved, "--yes")
    certificate = quick.ok("erase", "erase", moved, "--reason", "x", "--yes").json
    assert (certificate["records"], certificate["quarantined"]) == (1, 0)
    assert gone(quick, "ann")


def test_a_message_that_comes_again_does_not_bring_it_back(quick: Vault) -> None:
    """Stored and not deleted from the queue, erased, delivered again: known, and still forgotten."""
    quick.emulator.client("sqs").set_queue_attributes(
        QueueUrl=quick.provisioned.queue_url,
        Attributes={"VisibilityTimeout": str(VISIBILITY_SECONDS)},
    )
    quick.send((BODIES[0], BODIES[-1]))
    run_killed(quick, "AWS_ENDPOINT_URL_SQS", "DeleteMessageBatch")
    ids = quick.sql("SELECT record_id FROM user_logins UNION ALL SELECT record_id FROM quarantine")
    assert len(ids) == 2
    for (record_id,) in ids:
        quick.ok("erase", "erase", str(record_id), "--reason", "x", "--yes")
    until(lambda: quick.depth()[0] == 2)
    summary = quick.ok("ingest", "ingest").json
    assert (summary["stored"], summary["duplicates"], summary["already_quarantined"]) == (0, 1, 1)
    assert gone(quick, "ann")
    assert quick.sql("SELECT body_ciphertext FROM quarantine") == [(None,)]


def gone(vault: Vault, user_id: str) -> bool:
    """Whether nothing of this user's is left but plain columns."""
    left = vault.sql(
        "SELECT num_nonnulls(masked_ip, masked_device_id, next_masked_ip, next_masked_device_id,"
        " ip_ciphertext, device_id_ciphertext) FROM user_logins WHERE user_id = %s",
        user_id,
    )
    return bool(left) and set(left) == {(0,)}
