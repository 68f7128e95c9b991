"""Unknown fields: dropped and reported, or quarantined with `--strict`."""

from __future__ import annotations

import datetime as dt
import json

from tests.kit.events import event
from tests.kit.vault import Vault


def test_dropped_fields_are_counted_and_named_and_strict_quarantines(quick: Vault) -> None:
    """The summary and a warning name them, except names that may be values; strict is an option or a setting."""
    body = event(email="ann@example.com", phone="1", **{"203.0.113.9": 1})
    quick.send([body, event(email="ben@example.com"), event()])
    done = quick.ok("ingest", "ingest")
    assert (done.json["stored"], done.json["extra_fields"]) == (3, 4)
    names = {"email": 2, "phone": 1, "(others)": 1}
    assert done.json["extra_field_names"] == names
    warned = [line for line in map(json.loads, done.stderr.splitlines()) if "names" in line]
    assert [line["names"] for line in warned] == ["(others), email, phone"]
    assert "example.com" not in done.stdout + done.stderr
    assert "203.0.113.9" not in done.stdout + done.stderr

    quick.send([body, event()])
    strict = quick.ok("ingest", "ingest", "--strict", "--workers", "2").json
    assert (strict["stored"], strict["quarantined"], strict["extra_fields"]) == (1, 1, 0)
    quick.send([body])
    setting = {"VAULT_ETL_STRICT": "true"}
    assert quick.ok("ingest", "ingest", extra=setting).json["quarantined"] == 1
    assert quick.sql("SELECT reason_code, path FROM quarantine") == [("unknown_field", "$")] * 2

    kept = quick.ok("re-encrypt", "quarantine", "retry", "--all", "--yes", extra=setting).json
    assert (kept["moved"], kept["extra_fields"]) == (0, 0)
    asked = quick.ok("re-encrypt", "quarantine", "retry", "--all", "--dry-run").json
    moved = quick.ok("re-encrypt", "quarantine", "retry", "--all", "--yes").json
    assert asked == moved
    assert (moved["moved"], moved["extra_fields"]) == (2, 6)
    assert moved["extra_field_names"] == {"email": 2, "phone": 2, "(others)": 2}


def test_a_file_that_strict_quarantined_is_stored_once(quick: Vault) -> None:
    """A load without --strict, and a retry after it, make one record, in the month of its day.

    Both loads, and the retry, quarantine a line of a day before 1970.
    """
    day = dt.datetime.now(dt.UTC).date().isoformat()
    line = event(user_id="strict-line", email="x", create_date=day)
    early = event(user_id="strict-line", create_date="1960-01-01")
    (quick.home / "strict.jsonl").write_text(f"{line}\n{early}\n")
    file = ("--file", "strict.jsonl")
    assert quick.ok("ingest", "ingest", *file, "--strict").json["quarantined"] == 2
    assert quick.ok("ingest", "ingest", *file).json["stored"] == 1
    for reason, moved in (("unknown_field", 1), ("sent_out_of_range", 0)):
        retry = ("quarantine", "retry", "--reason-code", reason, "--yes")
        assert quick.ok("re-encrypt", *retry).json["moved"] == moved
    stored = quick.sql("SELECT create_date::text FROM user_logins WHERE user_id = 'strict-line'")
    assert stored == [(day,)]
    assert quick.ok("ingest", "ingest", *file).json["duplicates"] == 1
    assert quick.sql("SELECT reason_code FROM quarantine WHERE reason_code = 'unknown_field'") == []
