"""An archive that is not the one that was made restores nothing, and drops nothing: exit 65, nothing changed."""

from __future__ import annotations

import dataclasses
import datetime as dt
import os
import shutil
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.kit.declarations import BOTH_APART
from tests.kit.messages import numbered
from tests.kit.months import WHY, entries, months, partition_of_this_month, table, widest_event
from tests.kit.vault import Vault
from tests.kit.vaults import KeyedOf, filled_vault
from vault_etl.archives.manifest import ManifestMonth, SetManifest
from vault_etl.archives.manifest_note import ManifestNote
from vault_etl.audit.checkpoint import AuditKey
from vault_etl.crypto.digest import sha256

PART = "part-00001.parquet"
KEYS = "keys-00001.json"
ARCHIVE_KEY = "alias/vault-etl-archive"
AUDIT_KEY = "alias/vault-etl-audit"


@dataclass(frozen=True, slots=True)
class Kept:
    """A vault whose month is archived, and a copy of the archive that a test may damage."""

    vault: Vault
    month: str
    recorded: Path
    copy: Path

    def restore(self, *args: str) -> tuple[int, str]:
        """Restore the month from the copy, and what came of it."""
        result = self.vault.run(
            "owner", "partitions", "restore", self.month, "--from", str(self.copy), *args, *WHY
        )
        return result.code, result.stderr

    def sign(
        self, note_of: uuid.UUID | None = None, key_id: str = ARCHIVE_KEY, /, **changes: object
    ) -> None:
        """Change the copy's manifest, and sign it as the owner does, or as the owner of another vault."""
        manifest = SetManifest.parse((self.copy / "manifest-00001.json").read_bytes())
        content = dataclasses.replace(manifest, **changes).encode()  # type: ignore[arg-type]
        note = ManifestNote(note_of or manifest.vault_id, sha256(content))
        kms = self.vault.emulator.client("kms")
        signed = kms.sign(
            KeyId=key_id,
            Message=note.text.encode(),
            MessageType="RAW",
            SigningAlgorithm="ECDSA_SHA_256",
        )
        key = AuditKey(kms.get_public_key(KeyId=key_id)["PublicKey"])
        (self.copy / "manifest-00001.json").write_bytes(content)
        (self.copy / "manifest-00001.sig").write_bytes(
            note.signed(key, signed["Signature"]).encode()
        )


@pytest.fixture(scope="module", params=BOTH_APART)
def archived(
    request: pytest.FixtureRequest, keyed_of: KeyedOf, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Kept]:
    """Made once: no test of this file changes the vault."""
    home, declaration = tmp_path_factory.mktemp("damage"), request.param
    place = home / "archives"
    place.mkdir()
    bodies = [numbered(declaration, n).decode() for n in range(4)]
    with filled_vault(keyed_of(declaration), home, bodies) as vault:
        month = partition_of_this_month(vault)
        for command in (("detach",), ("archive", "--to", str(place)), ("drop",)):
            yes = () if command[0] == "archive" else ("--yes",)
            vault.ok("owner", "partitions", command[0], month, *command[1:], *WHY[:2], *yes)
        (recorded,) = place.iterdir()
        yield Kept(vault, month, recorded, recorded)


@pytest.fixture
def kept(archived: Kept, tmp_path: Path) -> Kept:
    """With a copy of its own."""
    copy = tmp_path / archived.recorded.name
    shutil.copytree(archived.recorded, copy)
    return dataclasses.replace(archived, copy=copy)


def flip(path: Path) -> None:
    """Change a byte in the middle of a file."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def by_another_key(folder: Path) -> None:
    """Sign the manifest with another key than the one that signs archives."""
    secret = ec.generate_private_key(ec.SECP256R1())
    public = secret.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    note = ManifestNote.parse((folder / "manifest-00001.sig").read_bytes())
    bare = ManifestNote(note.vault_id, note.sha256)
    signature = secret.sign(bare.text.encode(), ec.ECDSA(hashes.SHA256()))
    (folder / "manifest-00001.sig").write_bytes(bare.signed(AuditKey(public), signature).encode())


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda folder: flip(folder / PART), f"{PART} that was changed"),
        (lambda folder: (folder / PART).unlink(), f"has no {PART}"),
        (lambda folder: (folder / "manifest-00001.sig").unlink(), "has no manifest-00001.sig"),
        (lambda folder: (folder / KEYS).unlink(), f"has no {KEYS}"),
        (
            lambda folder: flip(folder / "manifest-00001.json"),
            "no manifest with the recorded SHA-256",
        ),
        (by_another_key, "VAULT_ETL_ARCHIVE_KEY did not sign the manifest"),
        (lambda folder: os.truncate(folder / PART, 2**28), f"{PART} is too large"),
        (lambda folder: os.truncate(folder / "manifest-00001.json", 2**28), "json is too large"),
    ],
    ids=["byte", "part", "signature", "keys", "manifest", "key", "long part", "long manifest"],
)
def test_a_damaged_archive_is_refused(
    kept: Kept, damage: Callable[[Path], object], said: str
) -> None:
    """A restore and its dry run refuse it alike; the undamaged archive is restored after all cases."""
    before = entries(kept.vault)
    damage(kept.copy)
    for args in ((), ("--dry-run",)):
        code, stderr = kept.restore(*args)
        assert (code, said in stderr) == (65, True), stderr
    assert months(kept.vault)[kept.month] == "archived"
    assert entries(kept.vault) == before


MAY_2019 = (
    uuid.UUID("016a70d0-0000-0000-0000-000000000000"),
    uuid.UUID("016b0ffd-0000-0000-0000-000000000000"),
)
ANOTHER = uuid.UUID(int=5)


def test_a_signature_is_not_enough(kept: Kept) -> None:
    """A month on the record has one archive, whatever else its vault has signed."""
    kept.sign(made_at=dt.datetime(2020, 1, 1, tzinfo=dt.UTC))
    code, stderr = kept.restore()
    assert (code, "no manifest with the recorded SHA-256" in stderr) == (65, True)


@pytest.mark.iam
def test_the_audit_key_signs_no_archive(kept: Kept) -> None:
    """The audit key is refused as the archive key, by alias and ARN, and its signature does not count."""
    vault, args = kept.vault, ("partitions", "restore", kept.month, "--dry-run")
    for role, name in (("owner", AUDIT_KEY), ("admin", vault.provisioned.key_arns["audit"])):
        refused = vault.run(role, *args, extra={"VAULT_ETL_ARCHIVE_KEY": name})
        said = "VAULT_ETL_ARCHIVE_KEY is the key that signs the audit log"
        assert (refused.code, said in refused.stderr) == (78, True), refused.stderr
    extra = {"VAULT_ETL_ARCHIVE_KEY": vault.provisioned.key_arns["audit"]}
    assert vault.run("owner", *args, extra=extra).code == 77, "its role may not even read it"
    kept.sign(None, AUDIT_KEY)
    code, stderr = kept.restore()
    assert (code, "did not sign the manifest" in stderr) == (65, True), stderr


def test_after_a_new_archive_key_the_old_one_is_named(kept: Kept) -> None:
    """A signature of the old key fails under the new key, and holds under the old key's ARN."""
    vault, args = kept.vault, ("partitions", "restore", kept.month, "--dry-run")
    new = vault.emulator.client("kms").create_key(KeySpec="ECC_NIST_P256", KeyUsage="SIGN_VERIFY")
    extra = {
        "VAULT_ETL_ARCHIVE_KEY": new["KeyMetadata"]["Arn"],
        **vault.access_key("admin"),
    }
    refused = vault.run("owner", *args, extra=extra)
    assert (refused.code, "name the ARN of the old key" in refused.stderr) == (65, True), (
        refused.stderr
    )
    old = vault.provisioned.key_arns["archive"]
    assert vault.ok("owner", *args, extra={"VAULT_ETL_ARCHIVE_KEY": old}).json["on_the_record"]


@pytest.mark.parametrize(
    ("note_of", "changes", "month", "said"),
    [
        (None, {}, "2019-05", "rows that do not belong to {of}"),
        (None, {}, "2019-06", "the archive is of {of}"),
        (None, {"month": None}, "2019-05", "is no archive of a month"),
        (None, {"vault_id": ANOTHER}, "2019-05", "of another vault"),
        (ANOTHER, {}, "2019-05", "of another vault"),
        (ANOTHER, {"vault_id": ANOTHER}, "2019-05", "belongs to another vault"),
    ],
    ids=["rows", "month", "set", "vault", "signature", "another"],
)
def test_a_month_that_is_not_on_the_record_is_judged_by_what_it_says(
    kept: Kept, note_of: uuid.UUID | None, changes: dict[str, object], month: str, said: str
) -> None:
    """Signed as it is: of this vault, of that month, with rows of that month. Nothing is made otherwise."""
    vault, event = kept.vault, widest_event(kept.vault).name
    of = table("2019-05", event)
    kept.sign(note_of, **{"month": ManifestMonth(of, *MAY_2019), **changes})
    restore = ("partitions", "restore", table(month, event), "--from", str(kept.copy), *WHY)
    result = vault.run("owner", *restore)
    assert (result.code, said.format(of=of) in result.stderr) == (65, True), result.stderr
    assert vault.sql("SELECT to_regclass(%s)", f"vault_etl_detached.{of}") == [(None,)]
    assert of not in months(vault)


def test_a_month_without_its_archive_is_not_dropped(kept: Kept) -> None:
    """A detached month stays when its archive is damaged: what is recorded is read, and not only there."""
    vault, recorded = kept.vault, kept.recorded
    assert vault.ok("owner", "partitions", "restore", kept.month, *WHY).json["state"] == "detached"
    part = recorded / PART
    whole = part.read_bytes()
    flip(part)
    refused = vault.run("owner", "partitions", "drop", kept.month, *WHY)
    part.write_bytes(whole)
    assert (refused.code, f"{PART} that was changed" in refused.stderr) == (65, True)
    assert months(vault)[kept.month] == "detached"
    assert vault.ok("owner", "partitions", "drop", kept.month, *WHY).json["state"] == "archived"
