"""vault_etl.spark on a cluster of this machine with two executors, one of which is killed."""

from __future__ import annotations

import base64
import json
import sys
import uuid
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.kit.events import event, events
from tests.kit.months import WHY, partition_of_this_month, this_month
from tests.kit.row_keys import VaultRowKeys
from tests.kit.vault import Vault
from tests.kit.vaults import filled_vault
from tests.spark.cluster import Ran, run
from tests.vectors.rows import DAY_SENT, Given, must_have_rows
from vault_etl.archives.manifest import (
    SetManifest,
    keys_name,
    manifest_name,
    part_number,
    signature_name,
)
from vault_etl.crypto.record_id import first_millisecond, record_id_of_line
from vault_etl.local.template import ARCHIVE_BUCKET

pytestmark = [pytest.mark.system, pytest.mark.timeout(900)]

PROGRAM: Final = Path(__file__).parent / "program.py"
STEPS: Final = ("tokens", "seal", "read", "open", "refused", "rotate", "month")
ROLES: Final = ("reveal", "rotate", "re-encrypt")
EVENTS: Final = events(7)
REJECTED: Final = event(ip="none of an address", device_id=None)
USERS: Final = {"ann": "198.51.100.1", "bob": "198.51.100.2", "cyd": "198.51.100.3"}
QUOTA: Final = 20
"""Rows: seven for a set that opens, seven for one that does not, three for the month, and three to spare."""


@pytest.fixture(scope="module")
def vault(keyed: Vault, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Vault]:
    """A vault whose records of this month are in an archive in S3 alone."""
    bodies = [event(user_id=user, ip=ip) for user, ip in USERS.items()]
    with filled_vault(keyed, tmp_path_factory.mktemp("vault"), bodies) as vault:
        vault.set_policy({"reveals_an_hour": QUOTA, "purposes": {}})
        place = f"s3://{ARCHIVE_BUCKET}/{vault.database}"
        month = partition_of_this_month(vault)
        for command, *more in (("detach",), ("archive", "--to", place), ("drop",)):
            why = WHY[:2] if command == "archive" else WHY
            vault.ok("owner", "partitions", command, month, *more, *why)
        yield vault


@pytest.fixture(scope="module")
def places(vault: Vault) -> dict[str, str]:
    """The files and folders of the program."""
    names = ("plain", "set", "sealed", "changed", "opened", "refused", "month_opened", "marks")
    return {name: str(vault.home / name) for name in names}


@pytest.fixture(scope="module")
def ran(vault: Vault, places: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """The program, run once."""
    for name in ("plain", "marks"):
        Path(places[name]).mkdir()
    for number, bodies in enumerate((EVENTS[:3], EVENTS[3:5], [*EVENTS[5:], REJECTED])):
        (Path(places["plain"]) / f"{number}.json").write_text("\n".join(bodies), encoding="utf-8")
    roles = {role: vault.environment(role) for role in ROLES}
    asked = vault.home / "asked.json"
    asked.write_text(json.dumps({**places, "month": this_month(vault), "roles": roles}))
    ran = run(vault, "ingest", PROGRAM, tmp_path_factory.mktemp("cluster"), str(asked), *STEPS)
    sys.stderr.write(json.dumps(ran.told["seconds"]))
    return ran


def manifest_of(place: str, version: int) -> SetManifest:
    """The manifest of a version of a set, which is the only version in its folder."""
    folder = Path(place)
    manifest = SetManifest.parse((folder / manifest_name(version)).read_bytes())
    own = {manifest_name(version), signature_name(version), keys_name(version)}
    assert {path.name for path in folder.iterdir()} == own | {part.name for part in manifest.parts}
    return manifest


def must_have_the_events(vault: Vault, place: str, version: int) -> pa.Table:
    """Hold a set against the formats; each event is there once."""
    manifest = manifest_of(place, version)
    rows = pa.concat_tables([pq.read_table(Path(place) / each.name) for each in manifest.parts])
    given = {body["user_id"]: body for body in map(json.loads, EVENTS)}
    assert sorted(rows["user_id"].to_pylist()) == sorted(given)
    told = []
    for row in rows.select(["record_id", "user_id"]).to_pylist():
        body = given[row["user_id"]]
        personal = {name: body[name] for name in ("ip", "device_id")}
        plain = {n: v for n, v in body.items() if n not in personal} | {"create_date": DAY_SENT}
        told.append((row["record_id"], Given(b"", personal, plain)))
    declared = vault.declaration.events[0]
    must_have_rows(declared, told, rows, VaultRowKeys(vault))
    return rows


def opened(place: str, files: list[str]) -> dict[str, str]:
    """The address of each user in files of plaintext, which only their owner may read."""
    paths = [Path(place) / name for name in files]
    assert {path.stat().st_mode & 0o777 for path in paths} == {0o600}
    assert sorted(path.name for path in Path(place).iterdir()) == files
    return {row["user_id"]: row["ip"] for path in paths for row in pq.read_table(path).to_pylist()}


def test_tokens_are_those_of_the_formats(vault: Vault, ran: Ran, places: dict[str, str]) -> None:
    """A frame's tokens are those of the formats. What the field cannot hold has no token."""
    made = sorted(token for token, _ in ran.told["tokens"] if token)
    sealed = must_have_the_events(vault, places["sealed"], 1)
    assert made == sorted(token.hex for token in sealed["masked_ip"].to_pylist())
    assert [each for each in ran.told["tokens"] if each[0] is None] == [[None, None]]
    assert ran.told["read"] == len(EVENTS), "frames join on tokens"


def test_a_killed_executor_changes_nothing_twice(
    vault: Vault, ran: Ran, places: dict[str, str]
) -> None:
    """Tasks run again: each row is in the set once, the rejected one in quarantine once, and no file is left."""
    set_id, _, rows, _ = ran.told["seal"]
    assert rows == len(EVENTS)
    ends = [each.get("Task End Reason", {}).get("Reason") for each in ran.event_log()]
    assert "ExecutorLostFailure" in ends
    sealed = must_have_the_events(vault, places["sealed"], 1)
    sent = first_millisecond(DAY_SENT)
    possible = {
        record_id_of_line(uuid.UUID(set_id), (partition << 33) + number, sent)
        for partition in range(3)
        for number in range(1, len(EVENTS) + 2)
    }
    assert set(sealed["record_id"].to_pylist()) <= possible
    found = vault.sql("SELECT count(*) FROM quarantine WHERE source_id = %s", uuid.UUID(set_id))
    assert found == [(1,)]
    assert vault.sql("SELECT set_id::text FROM lake_sets") == [(set_id,)]


def test_an_opening_is_on_the_record(vault: Vault, ran: Ran, places: dict[str, str]) -> None:
    """Each part has an intent and an outcome. A set that was changed leaves failed outcomes, and no file."""
    told = ran.told["open"]
    addresses = {body["user_id"]: body["ip"] for body in map(json.loads, EVENTS)}
    assert opened(places["opened"], told["files"]) == addresses
    entries = Counter(vault.sql("SELECT phase, decision FROM audit_log WHERE action = 'lake open'"))
    parts = len(manifest_of(places["sealed"], 1).parts)
    assert entries == {
        ("intent", "allowed"): 2 * parts + 1,
        ("outcome", "done"): parts + 1,
        ("outcome", "failed"): parts,
    }
    (damaged, beyond) = ran.told["refused"]
    assert damaged[0] == "DataError"
    assert beyond == [
        "DeniedError",
        f"the quota has {QUOTA - 14} accesses left, and this command needs 7",
    ]
    assert ran.told["month"]["old"][0] == "DataError", (
        "a copy of a version that is not on the record"
    )
    assert not Path(places["refused"]).exists()


def test_private_modules_give_a_user_nothing_without_an_entry(ran: Ran) -> None:
    """On an executor, with a reader's own credentials."""
    told = ran.told["open"]["attack"]
    assert set(told) == {"no_intent", "forged_receipt", "a_table"}
    assert not any(each.startswith("got") for each in told.values()), told


def test_a_rotated_set_has_the_formats_and_one_entry(
    vault: Vault, ran: Ran, places: dict[str, str]
) -> None:
    """Both sets are of the new keys, as one version each, and a second rotation finds nothing to do."""
    (first, month, again) = ran.told["rotate"]
    assert first[0] == month[0] == 2
    assert again == [2, first[1], 0]
    rows = must_have_the_events(vault, places["set"], 2)
    assert set(rows["token_generation"].to_pylist()) == {2}
    old, new = manifest_of(places["sealed"], 1), manifest_of(places["set"], 2)
    numbers = [[part_number(part.name) for part in each.parts] for each in (old, new)]
    assert numbers[0] == numbers[1]
    before = {token for token, _ in ran.told["tokens"]}
    assert before.isdisjoint(token.hex for token in rows["masked_ip"].to_pylist())
    entries = vault.sql(
        "SELECT phase, decision FROM audit_log WHERE action = 'lake rotate' ORDER BY seq"
    )
    assert entries == [("intent", "allowed"), ("outcome", "done")] * 2
    vault.ok("audit", "lake", "verify", places["set"])
    vault.ok("audit", "audit", "verify")


def test_no_key_and_no_value_is_in_what_spark_writes(vault: Vault, ran: Ran) -> None:
    """Not in the log of events, which has the plans, and not in the logs of the driver and of the executors."""
    keys = VaultRowKeys(vault)
    plain = [text for body in map(json.loads, EVENTS) for text in (body["ip"], body["device_id"])]
    secret = [text.encode() for text in (*plain, *USERS.values())]
    for key_id, purpose, field, generation in vault.sql(
        "SELECT key_id, purpose, field, generation FROM data_keys WHERE purpose IN ('data', 'token')"
    ):
        key = keys.token(field, generation) if purpose == "token" else keys.data(field, key_id)
        secret += [key, key.hex().encode(), base64.b64encode(key)]
    contents = {path: path.read_bytes() for path in ran.files()}
    contents[Path("output")] = ran.output.encode()
    assert sum(map(len, contents.values())) > 100_000
    assert any(b"MapInArrow" in content for content in contents.values()), "plans are searched"
    found = [(path.name, secret.index(s)) for path, c in contents.items() for s in secret if s in c]
    assert not found


def test_a_month_that_spark_rotated_is_opened_erased_from_and_restored(
    vault: Vault, ran: Ran, places: dict[str, str]
) -> None:
    """The commands continue where Spark ended."""
    month = this_month(vault)
    addresses = opened(places["month_opened"], ran.told["month"]["files"])
    assert addresses == USERS
    vault.run("erase", "erase", "--user-id", "ann", *WHY)
    done = vault.ok("erase", "lake", "erase", *WHY).json
    assert (done["rows"], done["not_reached"]) == (1, {})
    vault.ok("owner", "partitions", "restore", month, *WHY)
    vault.ok("owner", "partitions", "attach", month, *WHY)
    vault.set_policy({"reveals_an_hour": 100, "purposes": {}})
    shown: list[Any] = vault.ok("reveal", "reveal", "--user-id", "bob", "--reason", "x").lines
    assert [row["fields"]["ip"] for row in shown] == [USERS["bob"]]
    stored = vault.sql("SELECT ip_ciphertext, masked_ip FROM user_logins WHERE user_id = 'ann'")
    assert stored == [(None, None)]
