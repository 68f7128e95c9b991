"""`vault-etl schema`: the declaration in force, faults with lines, classes of changes, proposals."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

import pytest

from tests.kit.processes import on_terminal
from tests.kit.vault import Vault
from vault_etl.declaration.document import digest_of
from vault_etl.declaration.read import DEFAULT_NAME, read_declaration

DEFAULT: Final = Path(read_declaration.__code__.co_filename).with_name(DEFAULT_NAME)
DIGEST: Final = digest_of(read_declaration(None)).hex()
VARIABLE: Final = "VAULT_ETL_SCHEMA_FILE"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A declaration with one more value than the default."""
    text = DEFAULT.read_text("utf-8").replace(
        "[events.user_logins.plain]",
        'home = {field = "ip", path = "$.home.ip"}\n[events.user_logins.plain]',
    )
    path = tmp_path / "vault-etl.schema.toml"
    path.write_text(text, "utf-8")
    return path


def test_the_default_is_in_force_without_a_setting(loaded: Vault) -> None:
    """JSON has the source, the digest, the document and each value with its columns."""
    (shown,) = loaded.ok("analyst", "schema", "show").lines
    assert shown["source"] == "default.toml of the package"
    assert shown["digest"] == DIGEST
    assert shown["document"]["fields"]["ip"]["kind"] == "ip"
    by_name = {value["value"]: value for value in shown["values"]}
    assert by_name["ip"] == {
        "event": "user_logins",
        "value": "ip",
        "personal": True,
        "type": "ip",
        "field": "ip",
        "required": True,
        "retired": False,
        "path": "$.ip",
        "columns": ["masked_ip", "next_masked_ip", "ip_ciphertext"],
    }
    assert by_name["create_date"]["columns"] == ["create_date", "event_time"]


def test_the_setting_names_another_declaration(loaded: Vault, file: Path) -> None:
    """The file of the setting is in force, and a terminal shows its values as a table."""
    extra = {VARIABLE: str(file)}
    (shown,) = loaded.ok("analyst", "schema", "show", extra=extra).lines
    assert (shown["source"], shown["digest"] == DIGEST) == (str(file), False)
    table = loaded.ok("analyst", "schema", "show", "-o", "table", extra=extra).stdout
    for text in ("home_ciphertext", "$.home.ip", "subject user_id, day create_date", "text (max"):
        assert text in table


def test_a_faulty_file_in_the_setting_is_a_wrong_setting(loaded: Vault, tmp_path: Path) -> None:
    """The error names the setting, the file and the line, and is exit 78; so is a file that is missing."""
    path = tmp_path / "faulty.toml"
    path.write_text("format = 1\nfields = 1\n", "utf-8")
    shown = loaded.run("analyst", "schema", "show", extra={VARIABLE: str(path)})
    assert shown.code == 78
    assert f"error: {VARIABLE}: {path}:2: fields must be a table" in shown.stderr
    missing = loaded.run("analyst", "schema", "show", extra={VARIABLE: str(tmp_path / "none")})
    assert (missing.code, VARIABLE in missing.stderr) == (78, True)


def test_check_says_that_a_declaration_is_valid(loaded: Vault, file: Path) -> None:
    """A valid file is exit 0, with the digest and the names."""
    (shown,) = loaded.ok("analyst", "schema", "check", str(file)).lines
    assert shown["fields"] == ["ip", "device_id"]
    assert shown["events"] == ["user_logins"]
    assert len(shown["digest"]) == 64


def test_check_shows_each_fault_with_its_line(loaded: Vault, file: Path) -> None:
    """Each fault is a row, on a terminal too, and the exit code is that of bad data."""
    lines = (
        file.read_text("utf-8")
        .replace('kind = "ip"', 'kind = "mac"')
        .replace("max = 256", "max = 256\nmin = 1")
    )
    file.write_text(lines, "utf-8")
    shown = loaded.run("analyst", "schema", "check", str(file))
    assert shown.code == 65
    numbers = [
        at for at, line in enumerate(lines.splitlines(), 1) if line in {'kind = "mac"', "min = 1"}
    ]
    assert [row["line"] for row in map(json.loads, shown.stdout.splitlines())] == numbers
    assert shown.stderr.startswith(f"vault-etl: error: {file} has 2 faults\n")
    seen = on_terminal(loaded, "analyst", "schema", "check", str(file))
    assert seen.code == 65
    assert "there is no kind mac" in seen.stdout
    missing = loaded.run("analyst", "schema", "check", str(file.with_name("none")))
    assert missing.code == 66


def test_diff_shows_each_change_with_its_class(loaded: Vault, file: Path) -> None:
    """Without another file, the database has those before, whatever the setting names. Analysts do not see them."""
    added = {"key": "events.user_logins.personal.home", "change": "adds an optional value"}
    extra = {VARIABLE: str(file)}
    for role in ("audit", "owner"):
        found = loaded.ok(role, "schema", "diff", str(file), extra=extra).lines
        assert found == [{**added, "reason": None}]
    assert loaded.ok("analyst", "schema", "diff", str(file), str(file)).lines == []
    denied = loaded.run("analyst", "schema", "diff", str(file))
    assert (denied.code, denied.stdout) == (77, "")


def test_the_declaration_of_the_database_is_shown(loaded: Vault, file: Path) -> None:
    """It is the newest version, whatever the setting names, and for the role audit and the owner alone."""
    extra = {VARIABLE: str(file)}
    for role in ("audit", "owner"):
        (shown,) = loaded.ok(role, "schema", "show", "--database", extra=extra).lines
        assert (shown["source"], shown["digest"]) == ("version 1 of the database", DIGEST)
    denied = loaded.run("analyst", "schema", "show", "--database")
    assert (denied.code, denied.stdout) == (77, "")


def test_a_refused_change_is_exit_65(loaded: Vault, file: Path) -> None:
    """The change and its reason are shown, and the error says how many changes are refused."""
    shown = loaded.run("analyst", "schema", "diff", str(DEFAULT), str(file))
    assert shown.code == 65
    (row,) = [json.loads(line) for line in shown.stdout.splitlines()]
    assert row["change"] == "refused"
    assert row["reason"] == "it is missing, and nothing is deleted or renamed"
    assert "1 of 1 changes refused: events.user_logins.personal.home" in shown.stderr


def test_infer_proposes_a_declaration_without_a_value(loaded: Vault, tmp_path: Path) -> None:
    """The proposal is TOML that `check` accepts; no output, and no error, has a value of the samples."""
    sample = tmp_path / "sample.jsonl"
    events = [{"user_id": f"marked-{at}", "client": {"ip": f"203.0.113.{at}"}} for at in range(9)]
    sample.write_text("\n".join([*map(json.dumps, events), "marked rubbish"]), "utf-8")
    shown = loaded.ok("analyst", "schema", "infer", str(sample), "--event", "signups")
    assert 'client_ip = {field = "ip", path = "$.client.ip", required = true}' in shown.stdout
    assert shown.stderr == "1 of 10 records are not JSON objects, and were left out\n"
    proposal = tmp_path / "proposal.toml"
    proposal.write_text(shown.stdout, "utf-8")
    (checked,) = loaded.ok("analyst", "schema", "check", str(proposal)).lines
    assert checked["events"] == ["signups"]
    refused = loaded.run("analyst", "schema", "infer", str(sample), "--subject", "$.client.ip")
    assert refused.code == 65
    for text in (shown.stdout, shown.stderr, refused.stdout, refused.stderr):
        assert not any(value in text for value in ("marked", "203.0.113"))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--event", "data_keys"), "--event takes a name that no table of the vault has"),
        (("--event", "Sign-ups"), "--event takes a name that no table of the vault has"),
        (("--subject", "user"), "--subject takes a path"),
    ],
)
def test_infer_refuses_names_and_paths(
    loaded: Vault, tmp_path: Path, options: tuple[str, str], said: str
) -> None:
    """A name that is taken or no name, and a text that is no path, are exit 2."""
    shown = loaded.run("analyst", "schema", "infer", str(tmp_path / "none"), *options)
    assert (shown.code, said in shown.stderr) == (2, True)


def test_iam_prints_the_template_of_the_declaration(loaded: Vault, tmp_path: Path) -> None:
    """The template has the declared fields; a warning on standard error says that a call does not take it."""
    path = tmp_path / "many.toml"
    fields = "".join(f'[fields.number_{at}]\nkind = "ip"\n' for at in range(3))
    path.write_text(DEFAULT.read_text("utf-8") + fields, "utf-8")
    extra = {VARIABLE: str(path)}
    shown = loaded.ok("analyst", "schema", "iam", extra=extra)
    assert '["ip", "device_id", "number_0", "number_1", "number_2", quarantine]' in shown.stdout
    assert ("reveal-number-0" in shown.stdout, shown.stderr) == (False, "")
    roles = loaded.ok("analyst", "schema", "iam", "--role-per-field", extra=extra)
    assert "RoleName: vault-etl-reveal-number-0" in roles.stdout
    assert "CloudFormation takes 51,200 in a call: deploy it with --s3-bucket" in roles.stderr


@pytest.mark.parametrize(
    "command",
    [
        ("reveal", "01a1fc29-ca31-7f16-a77c-58d57c39a400"),
        ("find", "--field", "ip"),
        ("find", "--user-id", "1"),
        ("tokens", "--field", "ip"),
        ("subject", "export", "1", "--to", "bundle"),
        ("quarantine", "show", "01a1fc29-ca31-7f16-a77c-58d57c39a400"),
        ("duplicates", "--field", "ip"),
    ],
    ids=" ".join,
)
def test_values_are_not_read_under_another_declaration(
    loaded: Vault, file: Path, command: tuple[str, ...]
) -> None:
    """An answer would lack values that the file does not have, and a search could make tokens that no record has."""
    role, why = ("analyst", ()) if command[0] == "duplicates" else ("reveal", ("--reason", "test"))
    extra = {VARIABLE: str(file)}
    refused = loaded.run(role, *command, *why, stdin="192.0.2.1\n", extra=extra)
    assert (refused.code, refused.stdout) == (78, "")
    assert "is not the one in force" in refused.stderr
