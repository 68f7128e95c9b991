"""The log records the rows that a real rotation opened: an entry a range, with an outcome unless it was killed."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.kit.processes import finish
from tests.kit.vault import Vault
from tests.rotation.events import MONTHS, RECORDS
from tests.rotation.kills import rotate, rotating
from tests.rotation.watch import Watch

INTENTS = """
SELECT i.ticket, i.reason, i.fields, o.decision, o.error_code, o.reason
FROM audit_log AS i LEFT JOIN audit_log AS o ON o.request_id = i.request_id AND o.phase = 'outcome'
WHERE i.phase = 'intent' AND i.action = 'keys range' AND i.login = 'test_re_encrypt' ORDER BY i.seq
"""
RUNS = """
SELECT request_id FROM audit_log
WHERE phase = 'intent' AND action = 'keys rotate' AND ticket IS NULL ORDER BY seq
"""
SESSIONS = """
SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND usename = 'test_re_encrypt'
"""
SEALED_UNDER = """
SELECT ciphertext_key_id(ip_ciphertext) FROM user_logins
UNION SELECT ciphertext_key_id(device_id_ciphertext) FROM user_logins
UNION SELECT ciphertext_key_id(body_ciphertext) FROM quarantine
"""


def opened(watch: Watch) -> list[tuple[Any, ...]]:
    """The ticket and place of each entry, its completion, its number of rows, and their keys."""
    found = []
    for ticket, reason, fields, decision, code, outcome in watch.rows(INTENTS):
        about = re.fullmatch(r"rows of (\w+) from \S{36} to \S{36}(, behind \S{36})?", reason)
        assert about, reason
        wanted = ["quarantine"] if about[1] == "quarantine" else ["device_id", "ip"]
        assert fields == wanted
        rows, keys = 0, set[int]()
        if decision is not None:
            said = re.fullmatch(r"(\d+) rows, under (?:no data key|data keys ([\d, ]+))", outcome)
            assert said, outcome
            assert (decision, code) in {("done", None), ("failed", "freed")}
            rows, keys = int(said[1]), set(map(int, (said[2] or "").replace(",", "").split()))
        found.append((ticket, about[1], decision, rows, keys))
    return found


@pytest.mark.parametrize("options", [(), ("--tokens",)], ids=["data", "tokens"])
def test_each_range_of_a_rotation_is_an_entry(
    rotation_filled: Vault, options: tuple[str, ...]
) -> None:
    """The entry belongs to its run and has the rows and their keys; the log is proven, and each entry is signed."""
    with Watch(rotation_filled) as watch:
        keys = {key for (key,) in watch.rows(SEALED_UNDER)}
        assert rotate(rotation_filled, *options).code == 0
        ((run,),) = watch.rows(RUNS)
        entries = opened(watch)
        assert {ticket for ticket, *_ in entries} == {str(run)}
        assert {decision for _, _, decision, *_ in entries} == {"done"}
        places = [place for _, place, *_ in entries]
        assert places.count("user_logins") >= MONTHS
        assert places.count("quarantine") == (0 if options else 1)
        assert sum(rows for *_, rows, _ in entries) == RECORDS + places.count("quarantine")
        named = set().union(*(keys for *_, keys in entries))
        if options:
            samples = watch.rows(
                "SELECT reason FROM audit_log WHERE ticket = %s AND action = 'keys rotate'"
                " ORDER BY seq",
                str(run),
            )
            assert [re.sub(r"\d+", "#", reason) for (reason,) in samples] == [
                "a check of # rows, under data keys #, #"
            ] * 2
            assert named < keys
        else:
            assert named == keys
    proof = rotation_filled.ok("audit", "audit", "verify", "--output", "json").json
    assert proof["unsigned"] == []
    assert proof["unfinished"] == []


@pytest.mark.parametrize(
    ("options", "purpose"), [((), "data"), (("--tokens",), "token")], ids=["data", "tokens"]
)
def test_a_kill_leaves_intents_without_outcomes(
    rotation_filled: Vault, options: tuple[str, ...], purpose: str
) -> None:
    """Such an intent reads as "possibly opened". The next run has its own entries for the same ranges."""
    with Watch(rotation_filled) as watch:
        process = rotating(rotation_filled, *options, "--rate", "1")
        watch.until(lambda: 0 < watch.work_left(purpose) < RECORDS)
        process.kill()
        finish(process)
        watch.until(lambda: watch.value(SESSIONS) == 0)  # a statement under way may still commit
        killed = opened(watch)
        open_ones = [entry for entry in killed if entry[2] is None]
        assert open_ones
        watch.let_claims_lapse()
        assert rotate(rotation_filled, *options).code == 0
        runs = [str(run) for (run,) in watch.rows(RUNS)]
        assert len(runs) == 2
        later = opened(watch)[len(killed) :]
        assert {ticket for ticket, *_ in killed} == {runs[0]}
        assert {ticket for ticket, *_ in later} == {runs[1]}
        assert {decision for _, _, decision, *_ in later} == {"done"}
        assert opened(watch)[: len(killed)] == killed
        left_open = watch.rows(
            "SELECT i.seq FROM audit_log AS i WHERE i.phase = 'intent' AND NOT EXISTS ("
            "SELECT FROM audit_log AS o WHERE o.request_id = i.request_id AND o.phase = 'outcome')"
        )
    proof = rotation_filled.ok("audit", "audit", "verify", "--output", "json").json
    assert proof["unfinished"] == sorted(seq for (seq,) in left_open)
    assert len(left_open) == len(open_ones) + 1


def test_a_stop_records_the_rows_opened_until_then(rotation_filled: Vault) -> None:
    """Its outcome is `failed`, `released`."""
    with Watch(rotation_filled) as watch:
        process = rotating(rotation_filled, "--rate", "1")
        watch.until(lambda: 0 < watch.work_left("data") < RECORDS)
        process.terminate()
        assert finish(process).code == 75
        entries = opened(watch)
    assert {decision for _, _, decision, *_ in entries} <= {"failed", "done"}
    assert sum(rows for *_, rows, _ in entries if rows) > 0
