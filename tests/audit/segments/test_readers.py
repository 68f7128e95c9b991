"""What reads the log says what it cannot see any more."""

from __future__ import annotations

from tests.audit.segments.site import Site


def test_a_list_says_what_left_the_log(trimmed: Site) -> None:
    """Unless what is asked for, or as much as is asked for, is all behind it."""
    everything = trimmed.vault.ok("audit", "audit", "list")
    assert f"entries up to {trimmed.end} " in everything.stderr
    behind = trimmed.vault.ok("audit", "audit", "list", "--since", "2000-01-01")
    assert f"entries up to {trimmed.end} " in behind.stderr
    assert trimmed.vault.ok("audit", "audit", "list", "--limit", "2").stderr == ""
    ((day,),) = trimmed.vault.sql(
        "SELECT (last_at + interval '1 day')::date::text FROM audit_segments"
    )
    later = trimmed.vault.ok("audit", "audit", "list", "--since", day)
    assert later.stderr == ""
    assert later.lines[0]["seq"] == trimmed.end + 1


def test_an_export_of_a_person_says_what_was_not_looked_through(trimmed: Site) -> None:
    """Earlier accesses to a record are in a segment, and the export says so."""
    ((user,),) = trimmed.vault.sql(
        "SELECT user_id FROM user_logins WHERE record_id::text = %s", trimmed.record_id
    )
    asked = ("subject", "export", user, "--to", "out", "--messages", "0", "--reason", "request 17")
    trimmed.vault.ok("reveal", *asked)
    told = (trimmed.vault.home / "out" / "README.txt").read_text(encoding="utf-8")
    assert "are in segments, and were not searched" in told


def test_doctor_finds_nothing(trimmed: Site) -> None:
    """Keys are explained, the audit key is registered, and the schema is as it was made."""
    lines = trimmed.vault.run("audit", "doctor").lines
    wrong = {line["check"]: line["detail"] for line in lines if line["ok"] is False}
    of_the_log = {"schema", "key_changes", "token_keys", "audit_key", "audit_log"}
    assert {line["check"] for line in lines} >= of_the_log
    assert not wrong.keys() & of_the_log, wrong
