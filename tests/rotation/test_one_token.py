"""One value in rows of every phase of a rotation of the token keys: its rows share one token at any time."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence

from tests.kit.events import event
from tests.kit.processes import finish
from tests.kit.vault import Vault
from tests.kit.waiting import until
from tests.rotation.contents import contents
from tests.rotation.events import RECORDS, load_file
from tests.rotation.kills import rotating
from tests.rotation.stopped import stopped
from tests.rotation.watch import Watch, holding

ADDRESS = "203.0.113.99"
DEVICE = "planted-device"


def test_a_value_has_one_token_at_any_time(rotation_filled: Vault) -> None:
    """Before, during and after; by a worker that was stopped across the beginning, and one across all phases."""
    plant(rotation_filled, "before")
    share_a_token(rotation_filled, ["before"])
    (rotation_filled.home / "paused.jsonl").write_text(planted("paused"), encoding="utf-8")
    rotation_filled.send([planted("stopped")])
    with (
        Watch(rotation_filled) as watch,
        stopped(rotation_filled, "--file", "paused.jsonl") as paused,
        stopped(rotation_filled, "--follow") as worker,
    ):
        with holding(rotation_filled, "SELECT count(*) FROM user_logins_masked", "analyst"):
            rotation = rotating(rotation_filled, "--tokens")
            watch.until(watch.is_filled)
            plant(rotation_filled, "meanwhile")
            share_a_token(rotation_filled, ["before", "meanwhile"])
            paused.goes_on()
            assert paused.ends().code == 0
            share_a_token(rotation_filled, ["before", "meanwhile", "paused"])
            assert rotation.poll() is None
        assert finish(rotation).code == 0
        plant(rotation_filled, "after")
        share_a_token(rotation_filled, ["before", "meanwhile", "paused", "after"])
        assert not rows(rotation_filled, "stopped")
        worker.goes_on()
        until(lambda: rows(rotation_filled, "stopped"))
        share_a_token(rotation_filled, ["before", "meanwhile", "paused", "after", "stopped"])
        assert worker.is_told_to_end().code == 0
    found = contents(rotation_filled)
    assert found.wrong_tokens == ()
    assert found.generations == {(2, 1): RECORDS + 3, (2, None): 2}


def planted(user_id: str) -> str:
    """An event with the value."""
    return event(user_id=user_id, ip=ADDRESS, device_id=DEVICE)


def plant(vault: Vault, user_id: str) -> None:
    """Store one more row with the value."""
    load_file(vault, [planted(user_id)])


def rows(vault: Vault, user_id: str) -> bool:
    """Return True if the user has a row."""
    return bool(vault.sql("SELECT 1 FROM user_logins WHERE user_id = %s", user_id))


def share_a_token(vault: Vault, users: Sequence[str]) -> None:
    """The rows share a token in the table, for an analyst in the view and in `duplicates`, and for `find`."""
    tokens = "SELECT masked_ip, masked_device_id FROM user_logins WHERE user_id = ANY (%s)"
    found = vault.sql(tokens, list(users))
    assert len(found) == len(users)
    assert len(set(found)) == 1
    ((address, device),) = set(found)

    shown = vault.sql("SELECT * FROM user_logins_masked", role="analyst")
    assert Counter(row[3:5] for row in shown if row[1] in users) == {(address, device): len(users)}
    assert {row[1] for row in shown if address in row or device in row} == set(users)

    lines = vault.ok("analyst", "duplicates", "--field", "ip", "--limit", "1000").lines
    shared = {line["token"]: line["count"] for line in lines}
    assert shared.pop(str(address), 1) == len(users)
    assert list(shared.values()) == [2] * (RECORDS // 2)

    asked = ("find", "--field", "device_id", "--reason", "a test")
    answer = json.loads(vault.ok("reveal", *asked, stdin=DEVICE).stdout)
    assert answer["token"] == str(device)
    assert sorted(record["user_id"] for record in answer["records"]) == sorted(users)
