"""Rows that a role can write: `verify` neither stops, nor lies, nor hides a tampered entry because of them."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Final

import pytest

from tests.audit.litter import Littered, littered
from tests.audit.logbook import REBUILD, Logbook
from tests.kit.databases import empty
from vault_etl.audit.proof import MAX_LISTED, Severity

CASES: Final = 2_000
MANY: Final = 60_000


@pytest.fixture(scope="module")
def litter(written: Logbook) -> Iterator[Littered]:
    """A littered copy of the honest log."""
    with empty(written.database.server, written.database.name) as copy:
        yield littered(Logbook(copy, written.signer), CASES, 20260131)


def check_noise(found: Littered) -> None:
    """Assert that the log holds, and that rows which prove nothing are counted and named with their login."""
    proof = found.prove()
    assert proof.ok, proof.problem
    assert proof.counts[Severity.TAMPERED] == proof.counts[Severity.UNPROVEN] == 0
    assert proof.counts[Severity.NOISE] > 10
    whats = {problem.what.split(",")[0] for problem in proof.problems}
    expected = {"has a checkpoint that no key which was given signed"}
    if proof.counts[Severity.NOISE] <= MAX_LISTED:  # of more, the first ones alone are listed
        expected |= {"registered a key that did not sign it", "registered a key that was not given"}
    assert expected <= whats
    assert proof.entries == proof.head.seq > 14
    assert all(count > 5 for count in found.written.values()), found.written


CUT: Final = """
DELETE FROM audit_log WHERE seq >= {seq}; DELETE FROM audit_checkpoints WHERE seq >= {seq};
DELETE FROM audit_keys WHERE seq >= {seq};
UPDATE audit_head SET (seq, hash) = (SELECT seq, hash FROM audit_log ORDER BY seq DESC LIMIT 1)
"""
REBUILT: Final = f"UPDATE audit_log SET reason = 'y' WHERE seq = {{seq}}; {REBUILD}"  # noqa: S608
TAMPERED: Final = {
    "a column": ("UPDATE audit_log SET {column} WHERE seq = {seq}", "{seq}"),
    "a deleted entry": ("DELETE FROM audit_log WHERE seq = {seq}", "{seq}"),
    "a rebuilt chain": (REBUILT, None),
    "a cut end": (CUT, "{seq}"),
    "a cut end with its head": ("DELETE FROM audit_log WHERE seq >= {seq}", "{seq}"),
    "a changed policy": ("UPDATE reveal_policies SET document = '{{}}'", "3"),
    "a changed registration": ("UPDATE audit_keys SET note = note || 'x' WHERE seq = 1", "1"),
    "a policy that no entry set": ("INSERT INTO reveal_policies VALUES ({seq}, '{{}}')", "{seq}"),
    "a head of elsewhere": ("UPDATE audit_head SET hash = sha256('x')", "{last}"),
}
COLUMNS: Final = (
    *("logged_at = 'infinity'", "logged_at = '294276-01-01'", "logged_at = '4000-01-01 BC'"),
    *("logged_at = logged_at + interval '1 us'", "request_id = gen_random_uuid()"),
    *("phase = 'denied'", "login = 'y'", "client_address = '192.0.2.1'", "actor = 'y'"),
    *("host = 'y'", "action = 'y'", "record_id = gen_random_uuid()", "fields = '{{{{ip}}}}'"),
    *("fields = '[1:1][2:2]={{{{ip}}}}'", "fields = '{{NULL}}'", "fields = '{{user}}'"),
    *("purpose = 'y'", "ticket = 'y'", "reason = repeat('y', 10000000)", "decision = 'y'"),
    *("error_code = 'y'", "prev_hash = sha256('y')", "hash = sha256('y')", "hash = ''"),
    *(f"{name} = NULL" for name in ("logged_at", "request_id", "phase", "login", "fields", "hash")),
    "logged_at = 'infinity', hash = NULL",
    *("prev_hash = NULL", "reason = NULL", "actor = NULL", "decision = NULL", "action = NULL"),
)
LET_ANYTHING_IN: Final = """
DO $$
DECLARE
    name text;
BEGIN
    FOR name IN SELECT conname FROM pg_constraint
        WHERE conrelid = 'audit_log'::regclass AND contype = 'c' LOOP
        EXECUTE format('ALTER TABLE audit_log DROP CONSTRAINT %I', name);
    END LOOP;
    FOR name IN SELECT attname FROM pg_attribute
        WHERE attrelid = 'audit_log'::regclass AND attnum > 1 AND attnotnull LOOP
        EXECUTE format('ALTER TABLE audit_log ALTER %I DROP NOT NULL', name);
    END LOOP;
END
$$
"""


def check_tampering(found: Littered, seed: int) -> None:
    """Assert that each tampering is named, at its place, before all noise."""
    choose = random.Random(seed)
    before = found.prove()
    last = before.head.seq
    for name, (statement, where) in TAMPERED.items():
        for column in COLUMNS if name == "a column" else ("",):
            seq = choose.randrange(5, last - 1)
            change = statement.format(
                seq=seq, first=seq, column=column.replace("{{", "{").replace("}}", "}")
            )
            proof = found.prove(LET_ANYTHING_IN, change)
            assert not proof.ok, (name, column, seq)
            assert proof.problem is not None
            assert proof.problem.kind == Severity.TAMPERED, (name, column, proof.problem)
            if where is not None:
                expected = int(where.format(seq=seq, last=last))
                assert proof.problem.seq == expected, (name, column, proof.problem)
                # Its hash, its link, and what signs it: the stored checkpoint, and the receipt's.
                assert name != "a column" or proof.counts[Severity.TAMPERED] <= 4, (seq, column)
            if name == "a rebuilt chain":
                texts = [str(problem) for problem in proof.problems]
                assert any("the one that the checkpoint in receipt.txt signs" in t for t in texts)


def test_rows_that_roles_can_write_are_noise_at_the_worst(litter: Littered) -> None:
    """The real logins make thousands of calls: entries, checkpoints, registrations, erasures."""
    check_noise(litter)


def test_tampering_on_top_of_noise_is_named(litter: Littered) -> None:
    """Every column has every kind of nonsense, and every cut is made, alone or against the receipt."""
    check_tampering(litter, 20260131)


@pytest.mark.chaos
@pytest.mark.parametrize("seed", range(1, 4))
def test_far_more_noise_and_tampering(log: Logbook, seed: int) -> None:
    """The same holds with tens of thousands of calls."""
    found = littered(log, MANY, seed)
    check_noise(found)
    check_tampering(found, seed)
