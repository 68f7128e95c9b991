"""A vault whose event has a second value of one field: reveal, find, duplicates, tokens and an export follow it."""

from __future__ import annotations

import datetime as dt
import json
import uuid
from collections.abc import Iterator
from pathlib import Path

import psycopg2
import pytest

from tests.kit.declarations import DEFAULT_TOML
from tests.kit.vault import Vault
from tests.kit.vaults import declared_vault

pytestmark = pytest.mark.declared

HOME, OFFICE = "198.51.100.7", "203.0.113.9"
OF_EACH_TYPE = {"price": 19.90, "is_new": True, "since": "2020-01-01T00:00:00Z"}
DECLARED = DEFAULT_TOML.replace(
    'token = "masked_ip"}', 'token = "masked_ip", derived = ["network"]}'
).replace(
    "\n[events.user_logins.plain]",
    'home_ip = {field = "ip", path = "$.home.ip", derived = ["network"]}\n'
    '\n[events.user_logins.plain]\nage = {type = "integer"}\n'
    'price = {type = "decimal"}\nis_new = {type = "boolean"}\nsince = {type = "moment"}',
)


@pytest.fixture(scope="module")
def declared(signed: Vault, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Vault]:
    """A vault of this declaration: records of `a` at home and in the office, of `b` at `a`'s home, and of `c`."""
    with declared_vault(signed, tmp_path_factory.mktemp("declared"), DECLARED) as vault:
        common = {"device_type": "ios", "create_date": "2026-01-02"}
        vault.send(
            json.dumps({"device_id": f"Phone-{number}", **common, **event})
            for number, event in enumerate[dict[str, object]](
                (
                    {"user_id": "a", "ip": OFFICE, "home": {"ip": HOME}, "age": 41, **OF_EACH_TYPE},
                    {"user_id": "a", "ip": HOME, "home": {"ip": HOME}},
                    {"user_id": "b", "ip": HOME},
                    {"user_id": "c", "ip": "192.0.2.1"},
                )
            )
        )
        vault.ok("ingest", "ingest")
        assert (vault.count("user_logins"), vault.count("quarantine")) == (4, 0)
        yield vault


def records(vault: Vault) -> dict[str, str]:
    """The record ids by device."""
    found = vault.ok("reveal", "find", "--user-id", "a", "--reason", "test").json["records"]
    return {str(row["age"]): row["record_id"] for row in found}


def test_a_reveal_shows_each_value_of_a_field(declared: Vault) -> None:
    """Values have their own names. A value that the event did not have is like an erased one."""
    ids = records(declared)
    shown = declared.ok("reveal", "reveal", ids["41"], "--field", "ip", "--reason", "test").json
    assert shown["fields"] == {"ip": OFFICE, "home_ip": HOME}
    assert (shown["user_id"], shown["create_date"]) == ("a", "2026-01-02")
    masked = declared.ok("reveal", "reveal", ids["41"], "--masked", "--reason", "test").json
    assert masked["fields"] == {"ip": "*.*.*.9", "home_ip": "*.*.*.7", "device_id": "*"}


def test_evidence_has_a_column_for_each_value(declared: Vault, tmp_path: Path) -> None:
    """A run is continued by the same fields alone."""
    ids, to = records(declared), str(tmp_path / "evidence.csv")
    command = ("reveal", "--field", "ip", "--reason", "test", "--to", to)
    declared.ok("reveal", *command, ids["41"])
    header, row = (tmp_path / "evidence.csv").read_text(encoding="utf-8").splitlines()
    assert header.startswith("record_id,user_id,create_date,ip,home_ip,erased")
    assert f",{OFFICE},{HOME}," in row
    declared.ok("reveal", *command, "--resume", *ids.values())
    assert len((tmp_path / "evidence.csv").read_text(encoding="utf-8").splitlines()) == 3
    other = ("reveal", "--field", "device_id", "--reason", "test", "--to", to, "--resume")
    assert declared.run("reveal", *other, ids["41"]).code == 2


def test_find_searches_all_columns_of_a_field(declared: Vault) -> None:
    """A record that holds the value twice is found once."""
    found = declared.ok("reveal", "find", "--field", "ip", "--reason", "test", stdin=HOME).json
    assert (found["count"], len({row["record_id"] for row in found["records"]})) == (3, 3)
    found = declared.ok("reveal", "find", "--field", "ip", "--reason", "test", stdin=OFFICE).json
    assert [row["user_id"] for row in found["records"]] == ["a"]


@pytest.mark.parametrize("value", ["198.51.100.0/24", "198.51.100.99", "::ffff:198.51.100.1"])
def test_find_takes_a_whole_network(declared: Vault, value: str) -> None:
    """Or any address of it, where the declaration derives networks. The entry says that a network was searched."""
    command = ("find", "--field", "ip/network", "--reason", "test")
    found = declared.ok("reveal", *command, stdin=value).json
    assert (found["count"], len({row["record_id"] for row in found["records"]})) == (3, 3)
    entries = declared.ok("audit", "audit", "list", "--field", "ip", "-o", "json").stdout
    last = json.loads(entries.splitlines()[-1])
    assert (last["action"], last["fields"], last["decision"]) == ("find", ["ip/network"], "done")


def test_a_search_for_networks_takes_no_other_text(declared: Vault) -> None:
    """A network of another length has no token. The error says which texts have one, and not what was typed."""
    command = ("find", "--field", "ip/network", "--reason", "test")
    refused = declared.run("reveal", *command, stdin="198.51.100.0/25")
    assert refused.code == 2
    assert "cannot hold this value" in refused.stderr
    assert "198.51.100.0/24" in refused.stderr
    assert "/25" not in refused.stderr
    refused = declared.run("reveal", "reveal", *records(declared).values(), *command[1:])
    assert refused.code == 2


def test_a_forged_token_of_a_network_is_found_by_a_reveal(declared: Vault) -> None:
    """As one of the value is: nothing of the record is shown."""
    record_id = records(declared)["41"]
    update = "UPDATE vault_etl.user_logins SET masked_ip_network = %s WHERE record_id = %s"
    ((token,),) = declared.sql(
        "SELECT masked_ip_network FROM vault_etl.user_logins WHERE record_id = %s", record_id
    )
    declared.sql(update, str(uuid.uuid4()), record_id)
    reveal = ("reveal", "reveal", record_id, "--field", "ip", "--reason", "test")
    assert declared.run(*reveal).code == 65
    declared.sql(update, str(token), record_id)
    declared.ok(*reveal)


def test_a_shell_completes_fields_and_their_forms(declared: Vault) -> None:
    """Of the declaration in force. A reveal is of a field."""
    for command, names in (("find", ["ip", "ip/network"]), ("reveal ID", ["ip"])):
        typed = {
            "COMP_WORDS": f"vault-etl {command} --field i",
            "_VAULT_ETL_COMPLETE": "complete_bash",
        }
        at = {"COMP_CWORD": str(len(typed["COMP_WORDS"].split()) - 1)}
        assert declared.ok("analyst", extra=typed | at).stdout.split() == names


def test_duplicates_count_networks(declared: Vault) -> None:
    """Their tokens are those that `tokens` makes of a network, or of an address in it."""
    found = declared.ok("analyst", "duplicates", "--field", "ip/network", "-o", "json")
    (shared,) = map(json.loads, found.stdout.splitlines())
    assert (shared["count"], shared["users"]) == (4, 2)
    command = ("tokens", "--field", "ip/network", "--reason", "test")
    made = declared.ok("reveal", *command, stdin="ip/network\n198.51.100.0/24\n198.51.100.200\n")
    assert made.stdout.splitlines() == ["masked_ip_network", shared["token"], shared["token"]]
    view = "SELECT count(*) FROM vault_etl.user_logins_masked WHERE %s IN (masked_ip_network, masked_home_ip_network)"
    assert declared.sql(view, shared["token"]) == [(3,)]


def test_the_rule_for_a_field_holds_for_its_forms(declared: Vault) -> None:
    """A search by network is denied where one by address is. No other action takes a form."""
    denial = "SELECT vault_etl.audit_denial('find', ARRAY[%s], 'support', NULL, NULL)"
    rules: list[tuple[dict[str, list[str]], str | None]] = [
        ({"fields": ["ip"]}, None),
        ({"masked_fields": ["ip"]}, "masked_only"),
        ({}, "field"),
    ]
    for rule, denied in rules:
        declared.set_policy({"purposes": {"support": rule}})
        for name in ("ip", "ip/network"):
            assert declared.sql(denial, name) == [(denied,)]
    declared.set_policy({})
    valid = (
        "SELECT vault_etl.audit_validate(gen_random_uuid(), 'intent', 'a', 'h', %s, %s::text[], NULL, NULL,"
        " 'r', 'allowed', NULL)"
    )
    declared.sql(valid, "find", ["ip/network"])
    for action, fields in (
        ("reveal", ["ip/network"]),
        ("find", ["ip", "ip/network"]),
        ("find", ["ip/x"]),
    ):
        with pytest.raises(psycopg2.errors.InvalidParameterValue, match="invalid fields"):
            declared.sql(valid, action, fields)


def test_the_records_of_a_user_have_the_declared_columns(declared: Vault) -> None:
    """Their names and types are those of the declaration."""
    found = declared.ok("reveal", "find", "--user-id", "a", "--reason", "test").json
    assert found["count"] == 2
    assert {row["age"] for row in found["records"]} == {41, None}
    assert {row["device_type"] for row in found["records"]} == {"ios"}


def test_duplicates_count_all_columns_of_a_field(declared: Vault) -> None:
    """The home of `a` is four times in the table, in two columns, and belongs to two users."""
    found = declared.ok("analyst", "duplicates", "--field", "ip", "-o", "json")
    (shared,) = map(json.loads, found.stdout.splitlines())
    assert (shared["count"], shared["users"]) == (4, 2)
    made = declared.ok("reveal", "tokens", "--field", "ip", "--reason", "test", stdin=HOME)
    assert made.stdout.strip() == shared["token"]


def test_an_export_has_the_declared_columns(declared: Vault, tmp_path: Path) -> None:
    """Sealed values come with their names, and plain ones too."""
    declared.ok("reveal", "subject", "export", "a", "--reason", "test", "--to", str(tmp_path / "a"))
    lines = (tmp_path / "a" / "records.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    assert {row["age"] for row in rows} == {41, None}
    assert {row["fields"]["home_ip"] for row in rows} == {HOME}
    assert not any("network" in line for line in lines)
    header = (tmp_path / "a" / "records.csv").read_text(encoding="utf-8").splitlines()[0]
    assert header.startswith(
        "record_id,user_id,create_date,event_time,device_type,locale,app_version,age,is_new,price,since"
    )


def test_an_unknown_field_is_refused_by_name(declared: Vault) -> None:
    """The error lists the fields of this vault, and not what was typed."""
    refused = declared.run("reveal", "find", "--field", HOME, "--reason", "test", stdin=HOME)
    assert refused.code == 2
    assert "ip, ip/network, device_id" in refused.stderr
    assert HOME not in refused.stderr


def test_an_archive_has_every_column(declared: Vault, tmp_path: Path) -> None:
    """The month comes back as it was; a value that was declared after the archive was made is NULL."""
    month = dt.datetime.now(dt.UTC).strftime("%Y-%m")
    table = f"vault_etl_detached.user_logins_{month.replace('-', '_')}"
    why = ("--reason", "test")
    rows = f"SELECT to_jsonb(r) FROM {table} AS r ORDER BY record_id"  # noqa: S608 - a table of the declaration
    declared.ok("owner", "partitions", "detach", month, "--yes", *why)
    stored = [row for (row,) in declared.sql(rows)]
    assert {row["price"] for row in stored} == {19.9, None}
    declared.ok("owner", "partitions", "archive", month, "--to", str(tmp_path), *why)
    declared.ok("owner", "partitions", "drop", month, "--yes", *why)
    declared.ok("owner", "partitions", "restore", month, *why)
    assert [row for (row,) in declared.sql(rows)] == stored

    declared.sql(f"ALTER TABLE {table} DROP COLUMN since")  # as before it was declared
    declared.ok("owner", "partitions", "archive", month, *why)
    declared.ok("owner", "partitions", "drop", month, "--yes", *why)
    restore = ("owner", "partitions", "restore", month, *why)
    refused = declared.run(*restore, "--dry-run", extra={"VAULT_ETL_SCHEMA_FILE": ""})
    assert refused.code == 78, refused.stderr
    assert (
        "not declared: masked_ip_network, masked_home_ip, masked_home_ip_network" in refused.stderr
    )
    assert declared.run("erase", "erase", "--user-id", "c", *why, "--yes").code == 75
    assert declared.ok(*restore).json["erased"] == 1
    found = {row["record_id"]: row for (row,) in declared.sql(rows)}
    for row in stored:
        now = found[row["record_id"]]
        sealed = {name for name, value in row.items() if "ip" in name and value is not None}
        assert {name for name in sealed if now[name] is None} == (
            sealed if row["user_id"] == "c" else set()
        )
        plain = ("user_id", "age", "price", "is_new", "create_date")
        assert [now[name] for name in plain] == [row[name] for name in plain]
        assert now["since"] is None
    declared.ok("owner", "partitions", "attach", month, "--yes", *why)
    assert declared.sql("SELECT * FROM vault_etl.values_miscounted()") == []
    declared.ok("admin", "migrate", "--check")


def test_an_erasure_takes_every_value(declared: Vault) -> None:
    """No token, ciphertext or generation of the record stays, in the table and in a detached month."""
    month = dt.datetime.now(dt.UTC).strftime("%Y-%m")
    kept = (
        "SELECT count(*) FROM vault_etl{}.user_logins{} WHERE user_id = %s AND num_nonnulls(masked_ip,"
        " masked_ip_network, masked_home_ip, masked_home_ip_network, masked_device_id,"
        " ip_ciphertext, home_ip_ciphertext, device_id_ciphertext,"
        " token_generation) > 0"
    )
    assert declared.sql(kept.format("", ""), "b") == [(1,)]
    declared.ok("erase", "erase", "--user-id", "b", "--reason", "test", "--yes")
    assert declared.sql(kept.format("", ""), "b") == [(0,)]
    declared.ok("admin", "partitions", "detach", month, "--yes", "--reason", "test")
    detached = kept.format("_detached", "_" + month.replace("-", "_"))
    assert declared.sql(detached, "a") == [(2,)]
    declared.ok("erase", "erase", "--user-id", "a", "--reason", "test", "--yes")
    assert declared.sql(detached, "a") == [(0,)]
    declared.ok("admin", "partitions", "attach", month, "--yes", "--reason", "test")
    assert declared.sql("SELECT * FROM vault_etl.values_miscounted()") == []
