"""Commands that read a trimmed log say which entries they cannot see any more."""

from __future__ import annotations

from tests.audit.segments.site import Site


def test_a_list_says_which_entries_left_the_log(trimmed: Site) -> None:
    """The list says nothing if all that is asked for, or as much as is asked for, is in later entries."""
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


def test_an_export_of_a_person_says_which_entries_were_not_read(trimmed: Site) -> None:
    """Earlier accesses to a record are in a segment, and the export says so."""
    ((user,),) = trimmed.vault.sql(
        "SELECT user_id FROM user_logins WHERE record_id::text = %s", trimmed.record_id
    )
    asked = ("subject", "export", user, "--to", "out", "--messages", "0", "--reason", "request 17")
    trimmed.vault.ok("reveal", *asked)
    told = (trimmed.vault.home / "out" / "README.txt").read_text(encoding="utf-8")
    assert "are in segments, and were not searched" in told


def test_doctor_finds_no_fault_in_a_trimmed_log(trimmed: Site) -> None:
    """Keys are explained, the audit key is registered, and the schema is as it was made."""
    lines = trimmed.vault.run("audit", "doctor").lines
    wrong = {line["check"]: line["detail"] for line in lines if line["ok"] is False}
    of_the_log = {"schema", "key_changes", "token_keys", "audit_key", "audit_log"}
    assert {line["check"] for line in lines} >= of_the_log
    assert not wrong.keys() & of_the_log, wrong
