"""`quarantine retry`: what passes today becomes a record, on the record; the rest stays."""

from __future__ import annotations

import json
import uuid

import pytest

from tests.kit.denials import MAY_APPEND
from tests.kit.events import event
from tests.kit.processes import fails, on_terminal, terminal
from tests.kit.proxy import Call, FaultProxy
from tests.kit.quarantined import MOVE, quarantine
from tests.kit.samples import UNKNOWN
from tests.kit.vault import Vault

RETRY = ("quarantine", "retry")
EVERYTHING = "SELECT to_jsonb(q)::text FROM quarantine AS q ORDER BY record_id"
NOTHING = {
    "retried": 0,
    "moved": 0,
    "still_quarantined": 0,
    "month_closed": 0,
    "not_opened": [],
    "not_found": [],
    "extra_fields": 0,
    "extra_field_names": {},
}


def good(number: int) -> bytes:
    """A body that is a login event today."""
    return event(user_id=f"user-{number}", ip=f"203.0.113.{number}").encode()


def entries(vault: Vault) -> list[dict[str, object]]:
    """The entries about retries."""
    every = vault.ok("audit", "audit", "list").lines
    return [entry for entry in every if entry["action"] == "quarantine retry"]


def test_a_message_that_a_constraint_kept_out_moves_when_it_is_gone(quick: Vault) -> None:
    """From the queue to quarantine, and on to a record that can be revealed; what is no event stays."""
    quick.sql("ALTER TABLE user_logins ADD CONSTRAINT odd CHECK (locale <> 'XX')")
    quick.send([event(user_id="late", ip="203.0.113.9", locale="XX"), "not json"])
    assert quick.ok("ingest", "ingest").json["quarantined"] == 2
    assert quick.ok("re-encrypt", *RETRY, "--all", "--yes").json["moved"] == 0
    quick.sql("ALTER TABLE user_logins DROP CONSTRAINT odd")
    before = {row["record_id"] for row in quick.ok("reveal", "quarantine", "list").lines}
    report = quick.ok("re-encrypt", *RETRY, "--all", "--yes").json
    assert report == NOTHING | {"retried": 2, "moved": 1, "still_quarantined": 1}
    (left,) = quick.ok("reveal", "quarantine", "list").lines
    assert left["reason_code"] == "not_json"
    ((record_id,),) = quick.sql("SELECT record_id::text FROM user_logins WHERE user_id = 'late'")
    assert {record_id, left["record_id"]} == before
    shown = quick.ok("reveal", "reveal", record_id, "--reason", "x").json
    assert shown["fields"]["ip"] == "203.0.113.9"


def test_only_the_named_messages_are_retried(quick: Vault) -> None:
    """Repeated ids count once; a single id is the record of the log entry."""
    first, second, third = quarantine(quick, good(1), good(2), good(3))
    report = quick.ok("re-encrypt", *RETRY, first, first, "--yes").json
    assert report == NOTHING | {"retried": 1, "moved": 1}
    assert [entry["record_id"] for entry in entries(quick)] == [first, first]
    report = quick.ok("re-encrypt", *RETRY, second, third, "--yes").json
    assert report == NOTHING | {"retried": 2, "moved": 2}
    assert quick.count("quarantine") == 0


def test_a_dry_run_counts_and_changes_no_row(quick: Vault) -> None:
    """Without asking; on the record, since it opens bodies, and says that it was one."""
    quarantine(quick, good(1), b"junk", good(2))
    before, keys = quick.sql(EVERYTHING), quick.count("data_keys")
    report = quick.ok("re-encrypt", *RETRY, "--all", "--dry-run").json
    assert report == NOTHING | {"retried": 3, "moved": 2, "still_quarantined": 1}
    assert (quick.sql(EVERYTHING), quick.count("data_keys")) == (before, keys)
    assert quick.count("user_logins") == 0
    intent, outcome = entries(quick)
    assert intent["reason"] == "count what would pass of every message"
    assert (intent["fields"], outcome["decision"]) == (["quarantine"], "done")
    assert quick.ok("re-encrypt", *RETRY, "--all", "--yes").json == report
    assert entries(quick)[-1]["reason"] == "parse again every message"


def test_an_empty_quarantine_is_retried_at_once(quick: Vault) -> None:
    """The retry makes no key."""
    keys = quick.count("data_keys")
    assert quick.ok("re-encrypt", *RETRY, "--all", "--yes").json == NOTHING
    assert quick.count("data_keys") == keys


def test_more_than_a_batch_moves(quick: Vault) -> None:
    """Fifty, each once, in several transactions."""
    ids = quarantine(quick, *(good(number) for number in range(50)))
    report = quick.ok("re-encrypt", *RETRY, "--all", "--yes").json
    assert (report["retried"], report["moved"]) == (50, 50)
    stored = quick.sql("SELECT record_id::text FROM user_logins ORDER BY record_id")
    assert [record_id for (record_id,) in stored] == ids


def test_a_person_is_asked_first(quick: Vault) -> None:
    """On a terminal: "n" is exit 75 and does nothing, "y" shows a bar and then the counts."""
    quarantine(quick, good(1), b"junk")
    before = quick.sql(EVERYTHING)
    with terminal(quick, "re-encrypt", *RETRY, "--all") as shown:
        shown.expect("Retry 2 quarantined messages? [y/N]: ")
        shown.type("n")
        result = shown.finish()
    assert result.code == 75
    assert "vault-etl: error: declined, nothing was done" in result.stdout
    assert (quick.sql(EVERYTHING), entries(quick)) == (before, [])
    with terminal(quick, "re-encrypt", *RETRY, "--all") as shown:
        shown.expect("[y/N]: ")
        shown.type("y")
        result = shown.finish()
    assert result.code == 0
    assert "━" in result.stdout
    assert ["moved", "1"] in [line.split()[-2:] for line in plain_lines(result.stdout)]
    assert quick.count("user_logins") == 1


def test_progress_is_a_log_line_in_a_pipe(quick: Vault) -> None:
    """A batch each, with counts alone, and the signed head at the end; `--quiet` leaves both out."""
    quarantine(quick, good(1), b"junk")
    line, signed = quick.ok("re-encrypt", *RETRY, "--all", "--yes").stderr.splitlines()
    logged = json.loads(line)
    assert json.loads(signed)["event"] == "checkpoint"
    assert (logged["event"], logged["done"], logged["moved"]) == ("retry", 2, 1)
    assert quick.ok("re-encrypt", *RETRY, "--all", "--yes", "--quiet").stderr == ""
    assert "━" not in on_terminal(quick, "re-encrypt", *RETRY, "--all", "-y", "--quiet").stdout


@pytest.mark.parametrize(
    ("command", "names"),
    [
        (RETRY, "the IDs of messages, or --all"),
        ((*RETRY, UNKNOWN, "--all"), "not two of them"),
        ((*RETRY, "4711"), "ID"),
        ((*RETRY, "--all"), "no terminal to ask on"),
        ((*RETRY, UNKNOWN), "no terminal to ask on"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_wrong_command_line_is_one_line_of_error(
    loaded: Vault, command: tuple[str, ...], names: str
) -> None:
    """Exit is 2, and the log gets no entry."""
    before = loaded.count("audit_log")
    fails(loaded.run("re-encrypt", *command), 2, names)
    assert loaded.count("audit_log") == before


@pytest.mark.parametrize("mode", ["--yes", "--dry-run"])
@pytest.mark.parametrize("role", ["ingest", "reveal", "rotate", "erase", "audit", "analyst"])
def test_it_needs_its_role(loaded: Vault, role: str, mode: str) -> None:
    """Exit 77, a hint, and an entry that says denied, where the login may append one."""
    before = loaded.count("audit_log")
    fails(loaded.run(role, *RETRY, "--all", mode), 77, "Postgres", "login")
    new = loaded.sql(
        "SELECT phase, decision, error_code, action, login FROM audit_log WHERE seq > %s", before
    )
    login = f"test_{role.replace('-', '_')}"
    denied = ("intent", "denied", "role", "quarantine retry", login)
    assert new == ([denied] if role in MAY_APPEND else [])


def test_what_does_not_open_is_named_and_the_rest_is_done(quick: Vault) -> None:
    """Exit 65, with the counts on standard output; the row is as it was."""
    bad, other, _ = quarantine(quick, good(1), good(2), good(3))
    quick.sql(MOVE, other, bad)
    before = quick.sql("SELECT to_jsonb(q)::text FROM quarantine AS q WHERE record_id = %s", bad)
    result = quick.run("re-encrypt", *RETRY, "--all", "--yes")
    assert result.code == 65
    assert f"vault-etl: error: 1 messages do not open: {bad}\n" in result.stderr
    assert "vault-etl: hint: " in result.stderr
    expected = {"retried": 3, "moved": 2, "still_quarantined": 1, "not_opened": [bad]}
    assert result.json == NOTHING | expected
    assert quick.sql(EVERYTHING) == before
    named = quick.run("re-encrypt", *RETRY, bad, UNKNOWN, "--yes")
    assert named.code == 65  # an integrity failure wins over what is not there
    assert named.json["not_found"] == [UNKNOWN]


def test_an_unknown_id_is_named_and_the_rest_is_done(quick: Vault) -> None:
    """Exit 66 after the intent was logged; so it is for a message that is a record by now, or erased."""
    here, erased = quarantine(quick, good(1), good(2))
    quick.sql("UPDATE quarantine SET body_ciphertext = NULL WHERE record_id = %s", erased)
    result = quick.run("re-encrypt", *RETRY, here, UNKNOWN, erased, "--yes")
    assert result.code == 66
    assert "vault-etl: error: 2 ids are not in quarantine, or are erased: " in result.stderr
    assert result.json == NOTHING | {
        "retried": 1,
        "moved": 1,
        "not_found": sorted([UNKNOWN, erased]),
    }
    assert quick.run("re-encrypt", *RETRY, here, "--yes").code == 66
    assert len(entries(quick)) == 4
    assert quick.count("user_logins") == 1


@pytest.mark.iam
def test_a_retry_that_kms_denies_moves_nothing(quick: Vault) -> None:
    """With the access key of rotate, which may open nothing: exit 77, and the log has it."""
    quarantine(quick, good(1))
    before = quick.sql(EVERYTHING)
    stolen = quick.access_key("rotate")
    result = quick.run("re-encrypt", *RETRY, "--all", "--yes", extra=stolen)
    fails(result, 77, "KMS denies this (AccessDeniedException)")
    assert (quick.sql(EVERYTHING), quick.count("user_logins")) == (before, 0)
    assert entries(quick)[-1]["error_code"] == "key_unavailable"


def test_without_kms_nothing_moves(quick: Vault) -> None:
    """Exit 69 when no key can be made; the next run does it."""
    quarantine(quick, good(1))
    with FaultProxy(quick.endpoint, lambda call: call.operation != "GenerateDataKey") as kms:
        extra = {"AWS_ENDPOINT_URL_KMS": kms.url}
        fails(quick.run("re-encrypt", *RETRY, "--all", "--yes", extra=extra), 69, "KMS")
    assert (quick.count("quarantine"), quick.count("user_logins")) == (1, 0)
    assert quick.ok("re-encrypt", *RETRY, "--all", "--yes").json["moved"] == 1


def test_without_an_intent_nothing_is_opened(quick: Vault) -> None:
    """Exit 74, and KMS sees no call."""
    quarantine(quick, good(1))
    quick.sql(
        "REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA vault_etl FROM vault_etl_re_encrypt;"
        " GRANT EXECUTE ON FUNCTION vault_etl.quarantine_matches TO vault_etl_re_encrypt"
    )  # of this test's own database
    with FaultProxy(quick.endpoint) as kms:
        extra = {"AWS_ENDPOINT_URL_KMS": kms.url}
        for mode in ("--yes", "--dry-run"):
            result = quick.run("re-encrypt", *RETRY, "--all", mode, extra=extra)
            fails(result, 74, "the audit log could not be written")
    assert "Decrypt" not in kms.operations()
    assert quick.count("user_logins") == 0


def test_a_rotation_during_a_retry_is_harmless(quick: Vault) -> None:
    """Data keys retire between seal and commit: the batch is sealed again under others, and opens."""
    quarantine(quick, *(good(number) for number in range(3)))
    rotated: list[int] = []

    def rotate(call: Call) -> bool:
        # The second key is made when the first one is committed, and not yet used.
        if call.operation == "GenerateDataKey" and (quick.count("data_keys") > 3) and not rotated:
            rotated.extend(
                quick.ok("rotate", "keys", "rotate", "--field", "ip", "--lazy", "--yes").json[
                    "retired"
                ]
            )
        return True

    with FaultProxy(quick.endpoint, rotate) as kms:
        extra = {"AWS_ENDPOINT_URL_KMS": kms.url}
        report = quick.ok("re-encrypt", *RETRY, "--all", "--yes", extra=extra).json
    assert rotated
    assert report["moved"] == 3
    ids = [str(record_id) for (record_id,) in quick.sql("SELECT record_id FROM user_logins")]
    shown = quick.ok("reveal", "reveal", *ids, "--reason", "x").lines
    assert {line["fields"]["ip"] for line in shown} == {f"203.0.113.{n}" for n in range(3)}
    rows = {key["key_id"]: key["rows"] for key in quick.ok("audit", "keys", "list").lines}
    assert {rows[key_id] for key_id in rotated} == {0}


def test_a_redelivered_copy_stays_a_duplicate(quick: Vault) -> None:
    """A record that left quarantine is met by its record id, as every other one is."""
    (record_id,) = quarantine(quick, good(1))
    quick.ok("re-encrypt", *RETRY, "--all", "--yes")
    ((version,),) = quick.sql("SELECT record_id FROM user_logins")
    assert version == uuid.UUID(record_id)
    shared = quick.ok("analyst", "duplicates", "--field", "ip").stdout
    assert shared == ""
    quarantine(quick, good(1))
    quick.ok("re-encrypt", *RETRY, "--all", "--yes")
    (line,) = quick.ok("analyst", "duplicates", "--field", "ip").lines
    assert line["count"] == 2


def plain_lines(shown: str) -> list[str]:
    """Without what colours and moves."""
    return [
        "".join(part.partition("m")[2] if i else part for i, part in enumerate(line.split("\x1b[")))
        for line in shown.splitlines()
    ]
