"""`audit verify` and `audit checkpoint` as an auditor runs them: alone, offline, against notes that were kept."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.kit.processes import fails
from tests.kit.proxy import FaultProxy, closed_port
from tests.kit.vault import Vault
from vault_etl.audit.checkpoint import Checkpoint

OFFLINE = {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{closed_port()}"}


@pytest.fixture
def public_key(site: Vault, tmp_path: Path) -> Path:
    """The audit key's public half, as an auditor keeps it."""
    found = site.emulator.client("kms").get_public_key(KeyId="alias/vault-etl-audit")
    path = tmp_path / "audit.der"
    path.write_bytes(found["PublicKey"])
    return path


@pytest.fixture
def cut(site: Vault) -> Iterator[Vault]:
    """The vault without its last two entries and their checkpoint, which are restored afterwards."""
    tables = ("audit_log", "audit_checkpoints", "audit_head", "audit_disclosed")
    keep = ";".join(f"CREATE TABLE kept_{name} AS TABLE {name}" for name in tables)
    site.sql(keep)
    yield site
    for name in tables:
        site.sql(
            f"BEGIN; SET LOCAL session_replication_role = replica; DELETE FROM {name};"  # noqa: S608 - ours
            f"INSERT INTO {name} OVERRIDING SYSTEM VALUE TABLE kept_{name}; DROP TABLE kept_{name}; COMMIT"
        )


def cut_the_end(vault: Vault) -> None:
    """Delete the last two entries from all tables."""
    vault.sql(
        "BEGIN; SET LOCAL session_replication_role = replica;"
        "DELETE FROM audit_disclosed; DELETE FROM audit_checkpoints WHERE seq > (SELECT seq - 2 FROM audit_head);"
        "DELETE FROM audit_log WHERE seq > (SELECT seq - 2 FROM audit_head);"
        "UPDATE audit_head SET (seq, hash) = (SELECT seq, hash FROM audit_log ORDER BY seq DESC LIMIT 1);"
        "COMMIT"
    )


def receipt(vault: Vault, record_id: str, path: Path, output: str) -> None:
    """Keep what a reveal prints or logs."""
    asked = ("reveal", record_id, "--reason", "x", "--output", output)
    done = vault.ok("reveal", *asked)
    path.write_text(done.stderr if output == "value" else done.stdout, encoding="utf-8")


@pytest.mark.parametrize("output", ["json", "table", "value"])
def test_a_receipt_of_any_form_proves_the_log(
    cut: Vault, record_id: str, tmp_path: Path, output: str
) -> None:
    """The JSON, the screen and the log line: with the end cut, each names the first missing entry."""
    kept = tmp_path / "receipt.txt"
    receipt(cut, record_id, kept, output)
    asked = ("audit", "verify", "--checkpoint", str(kept))
    whole = cut.ok("audit", *asked)
    assert whole.json["ok"]
    assert "without a --checkpoint" not in whole.stderr
    cut_the_end(cut)
    alone = cut.ok("audit", "audit", "verify")
    assert alone.json["ok"]
    assert "warning: without a --checkpoint" in alone.stderr
    broken = cut.run("audit", *asked)
    assert broken.code == 65
    assert broken.json == {
        **alone.json,
        "ok": False,
        "counts": {**alone.json["counts"], "tampered": 1},
        "bad_seq": alone.json["head_seq"] + 1,
        "problem": broken.json["problem"],
        "problems": broken.json["problems"],
    }
    (problem,) = broken.json["problems"]
    assert (problem["kind"], problem["seq"]) == ("tampered", broken.json["bad_seq"])
    assert f"entry {broken.json['bad_seq']} is missing" in broken.stderr
    assert "vault-etl: hint: do not repair it" in broken.stderr


def test_offline_with_the_public_key_alone(
    site: Vault, record_id: str, public_key: Path, tmp_path: Path
) -> None:
    """KMS is not asked, and need not be there; PEM will do as well as DER."""
    kept = tmp_path / "receipt.json"
    receipt(site, record_id, kept, "json")
    pem = tmp_path / "audit.pem"
    encoded = base64.encodebytes(public_key.read_bytes()).decode()
    pem.write_text(f"-----BEGIN PUBLIC KEY-----\n{encoded}-----END PUBLIC KEY-----\n", "ascii")
    for path in (public_key, pem):
        asked = ("audit", "verify", "--public-key", str(path), "--checkpoint", str(kept))
        assert site.ok("audit", *asked, extra=OFFLINE).json["ok"]
    assert site.run("audit", "audit", "verify", extra=OFFLINE).code == 69


def test_a_foreign_public_key_proves_nothing(site: Vault, public_key: Path, tmp_path: Path) -> None:
    """The foreign key alone is exit 65; given beside the right key, it does no harm."""
    other = tmp_path / "other.der"
    spki = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    other.write_bytes(ec.generate_private_key(ec.SECP256R1()).public_key().public_bytes(*spki))
    result = site.run("audit", "audit", "verify", "--public-key", str(other))
    assert result.code == 65
    assert "a key that was given signed none" in result.stderr
    both = ("--public-key", str(other), "--public-key", str(public_key))
    assert site.ok("audit", "audit", "verify", *both).json["ok"]


@pytest.mark.parametrize(
    ("option", "content", "code", "words"),
    [
        ("--checkpoint", "", 65, "has no checkpoint"),
        ("--checkpoint", '{"checkpoint": 7}\n[]\n', 65, "has no checkpoint"),
        ("--public-key", "no key", 2, "not a public key"),
    ],
)
def test_a_file_that_is_no_public_key_is_named(
    site: Vault, tmp_path: Path, option: str, content: str, code: int, words: str
) -> None:
    """The error names the file before any entry is read."""
    path = tmp_path / "file"
    path.write_text(content, encoding="utf-8")
    fails(site.run("audit", "audit", "verify", option, str(path)), code, words, str(path))


def test_a_checkpoint_in_a_file_that_is_no_signed_note(site: Vault, tmp_path: Path) -> None:
    """The checkpoint is reported with its file, and the rest is judged: a forged line in a log stops no proof."""
    path = tmp_path / "file"
    path.write_text('{"checkpoint": "signed, honestly"}', encoding="utf-8")
    result = site.run("audit", "audit", "verify", "--checkpoint", str(path))
    assert result.code == 65
    assert f"the checkpoint in {path}: it is not a signed note" in result.stderr
    assert result.json["counts"] | {"unfinished": 0, "unsigned": 0} == {
        **dict.fromkeys(("tampered", "noise", "unfinished", "unsigned"), 0),
        "unproven": 1,
    }


@pytest.mark.parametrize("option", ["--checkpoint", "--public-key"])
def test_a_missing_file_is_named(site: Vault, option: str) -> None:
    """Exit 66: otherwise a proof without the file would be taken for a proof with it."""
    fails(site.run("audit", "audit", "verify", option, "nowhere"), 66, "nowhere")


def test_a_checkpoint_of_the_head(site: Vault) -> None:
    """The output is JSON in a pipe, and the bare note on request; both are stored, and are of the newest entry."""
    before = site.count("audit_checkpoints")
    ((seq, hash_),) = site.sql("SELECT seq, hash FROM audit_head")
    made = site.ok("audit", "audit", "checkpoint").json
    assert (made["seq"], made["hash"]) == (seq, bytes(hash_).hex())
    note = site.ok("audit", "audit", "checkpoint", "--output", "table").stdout
    for text in (made["checkpoint"], note):
        assert Checkpoint.parse(text).head.seq == seq
    assert site.count("audit_checkpoints") == before + 2
    assert site.sql("SELECT seq FROM audit_head") == [(seq,)]


def test_the_first_checkpoint_registers_the_key(bare_vault: Vault) -> None:
    """The log has the registration; another key needs --new-key, and the old key still proves its part."""
    bare_vault.sql(
        "BEGIN; SET LOCAL session_replication_role = replica; DELETE FROM audit_keys;"
        " DELETE FROM audit_log; UPDATE audit_head SET seq = 0, hash ="
        " (SELECT sha256('vault-etl/1/audit-genesis'::bytea || uuid_send(vault_id)) FROM vault); COMMIT"
    )
    first = bare_vault.ok("audit", "audit", "checkpoint").json
    assert first["seq"] == 2
    actions = "SELECT action, phase, actor FROM audit_log ORDER BY seq"
    assert [row[:2] for row in bare_vault.sql(actions)] == [
        ("audit key", "intent"),
        ("audit key", "outcome"),
    ]
    assert bare_vault.sql(actions)[0][2] == bare_vault.actor("audit")
    assert bare_vault.ok("audit", "audit", "checkpoint").json["seq"] == 2
    kms = bare_vault.emulator.client("kms")
    own = kms.create_key(KeySpec="ECC_NIST_P256", KeyUsage="SIGN_VERIFY")["KeyMetadata"]["Arn"]
    replaced = {
        name: value
        for name, value in bare_vault.environment("audit").items()
        if name == "VAULT_ETL_DATABASE_URL"
    }
    extra = {
        **replaced,
        "VAULT_ETL_AUDIT_KEY": own,
        **bare_vault.access_key("admin"),
    }
    refused = bare_vault.run("audit", "audit", "checkpoint", extra=extra)
    fails(refused, 78, "is not the registered one")
    assert "--new-key" in refused.stderr
    second = bare_vault.ok("audit", "audit", "checkpoint", "--new-key", extra=extra).json
    assert second["seq"] == 4
    keys = bare_vault.home / "old.der", bare_vault.home / "new.der"
    for path, name in zip(keys, ("alias/vault-etl-audit", own), strict=True):
        path.write_bytes(kms.get_public_key(KeyId=name)["PublicKey"])
    given = [word for path in keys for word in ("--public-key", str(path))]
    assert bare_vault.ok("audit", "audit", "verify", *given).json["ok"]
    newer = bare_vault.ok("audit", "audit", "verify", *given[2:])
    assert newer.json["counts"]["noise"] == len(newer.json["problems"]) == 3
    assert "an older audit key is missing (--public-key)" in newer.stderr


def test_a_checkpoint_that_cannot_be_signed_is_not_stored(site: Vault) -> None:
    """Exit 69, and no checkpoint is stored."""
    before = site.count("audit_checkpoints")
    with FaultProxy(site.endpoint, lambda call: call.operation != "Sign") as kms:
        result = site.run("audit", "audit", "checkpoint", extra={"AWS_ENDPOINT_URL_KMS": kms.url})
    fails(result, 69, "KMS cannot be reached")
    assert site.count("audit_checkpoints") == before


def test_a_checkpoint_leaves_the_database_by_the_log(site: Vault, record_id: str) -> None:
    """Every audited command logs it as one line of JSON on standard error; `--quiet` does not."""
    asked = ("reveal", record_id, "--reason", "x")
    done = site.ok("reveal", *asked)
    (line,) = (json.loads(text) for text in done.stderr.splitlines())
    assert (line["event"], line["note"]) == ("checkpoint", done.json["checkpoint"])
    assert line["seq"] == done.json["audit_seq"] + 1
    assert site.ok("reveal", *asked, "--quiet").stderr == ""
