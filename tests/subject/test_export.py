"""`subject export`: all that is stored of one user, in a directory that its recipient can check."""

from __future__ import annotations

import csv
import hashlib
import json
import stat
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.kit.many import BROKEN, GENEROUS, used
from tests.kit.processes import fails
from tests.kit.vault import Vault

ASKED = ("--reason", "request 17", "--ticket", "DPO-17")


def lines(path: Path) -> list[Any]:
    """A file of JSON lines."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def checked(folder: Path) -> bool:
    """What the README tells the recipient to do."""
    verify = "openssl dgst -sha256 -verify audit-key.pem -signature SHA256SUMS.sig SHA256SUMS"
    commands = ("sha256sum -c --strict --quiet SHA256SUMS", verify)
    return all(
        subprocess.run(command.split(), cwd=folder, capture_output=True, check=False).returncode
        == 0
        for command in commands
    )


def test_all_of_a_user_and_nothing_of_another(many: Vault) -> None:
    """Records, messages and entries; for the owner's eyes; checked by standard tools, and protected from changes."""
    before = used(many, "reveals")
    done = many.ok("reveal", "subject", "export", "ann", "--to", "ann", *ASKED)
    assert used(many, "reveals") == before + 1 + 3 + 2
    folder = many.home / "ann"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(file.stat().st_mode) for file in folder.iterdir()} == {0o600}
    records = lines(folder / "records.jsonl")
    assert {record["user_id"] for record in records} == {"ann"}
    columns = many.sql(
        "SELECT attname::text FROM pg_attribute WHERE attrelid = 'user_logins'::regclass AND attnum > 0"
    )
    plain = {name for (name,) in columns if not name.endswith(("_ciphertext", "_generation"))}
    stored = {name for name in plain if "masked" not in name}
    assert stored <= set(records[0]), "what is stored as it came"
    assert {record["fields"]["ip"] for record in records} == {"198.51.100.1", "198.51.100.2"}
    with (folder / "records.csv").open(newline="") as file:
        table = [(row["record_id"], row["device_type"]) for row in csv.DictReader(file)]
    assert table == [(record["record_id"], "android") for record in records]
    messages = lines(folder / "messages.jsonl")
    assert sorted((message["match"], message["body"]) for message in messages) == [
        ("text", BROKEN[1]),
        ("value", BROKEN[0]),
    ]
    about = {record["record_id"] for record in (*records, *messages)}
    entries = lines(folder / "log.jsonl")
    assert {entry["record_id"] for entry in entries} == about
    assert ("test_reveal", "DPO-17") in {(entry["login"], entry["ticket"]) for entry in entries}
    text = (folder / "README.txt").read_text()
    assert "2 of 2 records" in text
    assert "Searched: 3 of 3 quarantined messages, from 20" in text
    everything = b"".join(file.read_bytes() for file in folder.iterdir())
    assert b"joanna" not in everything
    assert b"bob" not in everything
    assert checked(folder)
    kept = folder / "checkpoint.txt"
    assert done.json["log_entries"] == len(entries)
    verified = (
        "audit",
        "verify",
        "--checkpoint",
        str(kept),
        "--public-key",
        str(folder / "audit-key.pem"),
    )
    assert many.run("audit", *verified).code == 0
    with (folder / "records.csv").open("a") as file:
        file.write("x\n")
    assert not checked(folder)
    sums = folder / "SHA256SUMS"
    digest = hashlib.sha256((folder / "records.csv").read_bytes()).hexdigest()
    changed = [
        f"{digest}  records.csv" if line.endswith("  records.csv") else line
        for line in sums.read_text().splitlines()
    ]
    sums.write_text("\n".join(changed) + "\n")
    assert not checked(folder), "the list is signed"


def test_what_would_go_beyond_the_quota_is_not_begun(many: Vault) -> None:
    """The search for the records is made; then nothing, and no directory."""
    many.set_policy({**GENEROUS, "reveals_an_hour": used(many, "reveals") + 5})
    try:
        asked = ("subject", "export", "ann", "--to", "later", *ASKED)
        fails(
            many.run("reveal", *asked),
            77,
            "the quota has 4 accesses left, and this command needs 5",
        )
        assert not (many.home / "later").exists()
        assert many.run("reveal", *asked, "--messages", "1").code == 0
    finally:
        many.set_policy(GENEROUS)
    text = (many.home / "later" / "README.txt").read_text()
    assert "Searched: 1 of 3 quarantined messages" in text


def test_an_export_is_not_written_over_another(many: Vault) -> None:
    """Nor over anything else that has the name; no access is made."""
    (many.home / "taken").write_text("mine")
    before = many.count("audit_log")
    result = many.run("reveal", "subject", "export", "ann", "--to", "taken", *ASKED)
    fails(result, 2, "taken exists already")
    assert many.count("audit_log") == before
    assert (many.home / "taken").read_text() == "mine"


def test_a_user_without_records_may_be_named_by_messages(many: Vault) -> None:
    """And one who is neither is said to be, by an export that is empty."""
    many.ok("reveal", "subject", "export", "joanna", "--to", "joanna", *ASKED)
    (message,) = lines(many.home / "joanna" / "messages.jsonl")
    assert message["body"] == BROKEN[2]
    assert lines(many.home / "joanna" / "records.jsonl") == []
    asked = ("subject", "export", "joanna", "--to", "none", "--messages", "0", *ASKED)
    fails(many.run("reveal", *asked), 66, "no record of this user")


@pytest.mark.parametrize("role", ["audit", "analyst", "erase"])
def test_an_export_is_for_the_role_reveal(many: Vault, role: str) -> None:
    """Any other login exits 77, and has no directory."""
    result = many.run(role, "subject", "export", "ann", "--to", f"of-{role}", *ASKED)
    fails(result, 77)
    assert not (many.home / f"of-{role}").exists()


def test_a_users_id_writes_no_line_of_its_own(many: Vault) -> None:
    """It is a sender's text: in the README it is one line that steers no terminal."""
    odd = "4711\n=====\n\x1b[8m"
    many.ok("reveal", "subject", "export", odd, "--to", "odd", *ASKED)
    text = (many.home / "odd" / "README.txt").read_text()
    assert "What is stored of the user 4711\\n=====\\n\\x1b[8m\n" in text
    assert "\x1b" not in text
