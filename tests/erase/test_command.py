"""`erase` as a command: what it asks, what it prints, and how it ends."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.kit.events import event
from tests.kit.generations import EVERYTHING
from tests.kit.notes import stored_notes
from tests.kit.processes import fails, terminal
from tests.kit.proxy import FaultProxy
from tests.kit.samples import UNKNOWN
from tests.kit.vault import Vault
from tests.kit.vaults import filled_vault
from vault_etl.erase.erase import NOT_ERASED

WHY = ("--reason", "request 17")
USERS = ("ann", "ann", "bob", "cyd", "dan", "eve")


@pytest.fixture(scope="module")
def five_users(keyed: Vault, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Vault]:
    """Five users, of which each test that erases takes another, and a quarantined message."""
    bodies = [*(event(user_id=user) for user in USERS), "not json"]
    with filled_vault(keyed, tmp_path_factory.mktemp("five_users"), bodies) as vault:
        yield vault


def record_of(vault: Vault, user_id: str) -> str:
    """The id of a record of this user."""
    rows = vault.sql("SELECT record_id::text FROM user_logins WHERE user_id = %s", user_id)
    return str(rows[0][0])


def left(vault: Vault, user_id: str) -> int:
    """How many records of a user still hold anything."""
    held = "SELECT count(ip_ciphertext) FROM user_logins WHERE user_id = %s"
    ((count,),) = vault.sql(held, user_id)
    assert isinstance(count, int)
    return count


def test_a_dry_run_counts_and_changes_nothing(five_users: Vault) -> None:
    """It needs no reason and no `--yes`, tells what would go, and leaves rows and log as they are."""
    ((message,),) = five_users.sql("SELECT record_id::text FROM quarantine")
    before = five_users.sql(EVERYTHING)
    for asked, records, bodies in (
        (("--user-id", "ann"), 2, 0),
        ((record_of(five_users, "bob"),), 1, 0),
        ((message,), 0, 1),
    ):
        plan = five_users.ok("erase", "erase", *asked, "--dry-run").json
        assert plan == {
            "records": records,
            "quarantined": bodies,
            "archives": {},
            "audit_seq": None,
        }
    assert five_users.sql(EVERYTHING) == before


def test_without_a_terminal_it_wants_to_be_told_yes(five_users: Vault) -> None:
    """Exit 2, and nothing is erased."""
    before = five_users.sql(EVERYTHING)
    fails(five_users.run("erase", "erase", "--user-id", "ann", *WHY), 2, "no terminal to ask on")
    assert five_users.sql(EVERYTHING) == before


def test_declined_it_does_nothing(five_users: Vault) -> None:
    """Exit 75 when the answer is no."""
    before = five_users.sql(EVERYTHING)
    with terminal(five_users, "erase", "erase", "--user-id", "ann", *WHY) as shown:
        shown.expect("Erase the personal fields of 2 records for good? [y/N]: ")
        shown.type("")
        result = shown.finish()
    assert result.code == 75
    assert "vault-etl: error: declined, nothing was done" in result.stdout
    assert five_users.sql(EVERYTHING) == before


def test_the_transcript_on_a_terminal(five_users: Vault) -> None:
    """Asked why and whether; then the certificate, what was not erased, and a receipt to keep."""
    record_id = record_of(five_users, "bob")
    with terminal(five_users, "erase", "erase", record_id, extra={"TERM": "dumb"}) as shown:
        shown.expect("Reason: ")
        shown.type("typed by hand")
        shown.expect("Erase the personal fields of 1 record for good? [y/N]: ")
        shown.type("y")
        result = shown.finish()
    assert result.code == 0
    lines = result.stdout.splitlines()
    names = [
        line.rsplit("  ", 1)[0].strip() for line in lines if "  " in line and line[0].isalpha()
    ]
    assert names == ["records", "quarantined", "archives", "erased at", "audit seq", "audit hash"]
    assert [line[2:] for line in lines if line.startswith("- ")] == list(NOT_ERASED)
    assert result.stdout.endswith(stored_notes(five_users)[-1])
    assert (
        max(len(line) for line in lines if "\u2014" not in line and not line.startswith("20")) <= 80
    )
    assert left(five_users, "bob") == 0


def test_a_second_time_is_safe_and_says_so(five_users: Vault) -> None:
    """Exit 0, 0 records, no question: nothing is left that could not be undone; and it is on the record."""
    first = five_users.ok("erase", "erase", "--user-id", "cyd", *WHY, "--yes")
    second = five_users.ok("erase", "erase", "--user-id", "cyd", *WHY)
    assert (first.json["records"], second.json["records"]) == (1, 0)
    assert second.json["audit_seq"] == first.json["audit_seq"] + 2
    said = "already erased: there was nothing left to erase"
    assert said in second.stderr
    assert said not in first.stderr
    assert five_users.ok("erase", "erase", "--user-id", "cyd", *WHY, "--quiet").stderr == ""


@pytest.mark.parametrize(
    ("asked", "name"),
    [((UNKNOWN,), "no such record"), (("--user-id", "nobody"), "no record of this user")],
)
def test_what_is_not_there_is_not_found(
    five_users: Vault, asked: tuple[str, ...], name: str
) -> None:
    """Exit 66, also of a dry run, and no entry: nothing was erased."""
    before = five_users.count("audit_log")
    fails(five_users.run("erase", "erase", *asked, *WHY, "--yes"), 66, name)
    fails(five_users.run("erase", "erase", *asked, "--dry-run"), 66, name)
    assert five_users.count("audit_log") == before


@pytest.mark.parametrize(
    ("asked", "name"),
    [
        ((), "takes one ID or one --user-id"),
        ((UNKNOWN, "--user-id", "dan"), "takes one ID or one --user-id"),
        (("dan",), "ID takes an id"),
        (("--user-id", "d\udcffn"), "the user id is not UTF-8"),
    ],
    ids=["nothing", "both", "a name", "bytes"],
)
def test_it_is_of_one_thing(five_users: Vault, asked: tuple[str, ...], name: str) -> None:
    """Neither, both, what is no id: exit 2."""
    fails(five_users.run("erase", "erase", *asked, *WHY, "--yes"), 2, name)
    assert left(five_users, "dan") == 1


def test_it_needs_a_reason(five_users: Vault) -> None:
    """Exit 2 without one, whatever `--yes` says."""
    fails(five_users.run("erase", "erase", "--user-id", "dan", "--yes"), 2, "--reason")
    assert left(five_users, "dan") == 1


def test_a_name_is_no_pattern(five_users: Vault) -> None:
    """SQL's own characters are characters."""
    for name in ("%", "d_n", "dan' OR 'a' = 'a", "dan\n"):
        assert five_users.run("erase", "erase", "--user-id", name, *WHY, "--yes").code == 66
    assert left(five_users, "dan") == 1


@pytest.mark.parametrize("verdict", [False, "AccessDeniedException"], ids=["down", "denied"])
def test_a_signature_that_fails_undoes_nothing_and_is_told(
    five_users: Vault, verdict: bool | str
) -> None:
    """The certificate comes, without its checkpoint; exit 74 says what is left to do."""
    with FaultProxy(five_users.endpoint, lambda call: call.operation != "Sign" or verdict) as kms:
        result = five_users.run(
            "erase",
            *("erase", "--user-id", "dan", *WHY, "--yes"),
            extra={"AWS_ENDPOINT_URL_KMS": kms.url},
        )
    assert result.code == 74
    assert "the head of the audit log could not be signed" in result.stderr
    assert "the erasure is done and on the record" in result.stderr
    assert result.json["checkpoint"] is None
    assert result.json["audit_seq"] == five_users.count("audit_log")
    assert left(five_users, "dan") == 0


def test_it_opens_nothing(five_users: Vault) -> None:
    """KMS is asked to sign, and nothing else; without a reason to: no Decrypt, no key made."""
    with FaultProxy(five_users.endpoint) as kms:
        extra = {"AWS_ENDPOINT_URL_KMS": kms.url}
        five_users.ok("erase", "erase", "--user-id", "eve", *WHY, "--yes", extra=extra)
    assert set(kms.operations()) == {"Sign"}
