"""No message is lost: every envelope and odd value, one by one, through the real command."""

from __future__ import annotations

import json
from collections import Counter

from tests.kit.fakes.shapes import LOADED, shapes
from tests.kit.quarantined import open_body, quarantine_key
from tests.kit.vault import Vault


def test_every_shape_is_loaded_or_quarantined(quick: Vault) -> None:
    """Of each: its event is a record, or its body is in quarantine, byte for byte, under its own reason.

    A whole pipe of one shape is warned of, with the reason and a command that shows these rows.
    """
    table = shapes()
    quick.send(shape.body for shape in table)
    done = quick.ok("ingest", "ingest").json
    records = {user for (user,) in quick.sql("SELECT user_id FROM user_logins")}
    rows = quick.sql("SELECT record_id, reason_code, body_ciphertext FROM quarantine")
    key = quarantine_key(quick, bytes(rows[0][2]))
    quarantined = Counter((open_body(row[0], bytes(row[2]), key), row[1]) for row in rows)
    assert records == {shape.user_id for shape in table if shape.now == LOADED}
    assert quarantined == Counter((s.body, s.now) for s in table if s.now != LOADED)
    assert done["received"] == len(table) == done["stored"] + done["quarantined"]
    loaded_before = sum(shape.before == LOADED for shape in table)
    assert (len(table), loaded_before, done["stored"]) == (57, 3, 27)

    (pointer,) = (shape for shape in table if shape.name == "extended client")
    quick.send([pointer.body] * 10)
    lines = map(json.loads, quick.ok("ingest", "ingest").stderr.splitlines())
    (line,) = (line for line in lines if line["event"] == "most messages are quarantined")
    assert (line["reason_code"], line["quarantined"]) == ("envelope_s3_pointer", 10)
    look = line["hint"].strip("`").split()[1:]
    assert len(quick.ok("reveal", *look).lines) == 10 + 3
