"""A set that was changed in its place, or signed there as a login that seals can, opens no value off the record.

Two sets of one event in two folders. Every attack is refused before an intent, and no text that it writes has a value.
"""

from __future__ import annotations

import dataclasses
import shutil
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

import pytest

from tests.kit.events import event
from tests.kit.vault import Result, Vault
from tests.kit.vaults import copied
from vault_etl.archives.keys_file import KeysFile
from vault_etl.archives.manifest import SetManifest, keys_name, manifest_name, signature_name
from vault_etl.archives.sets import SetWriter
from vault_etl.audit.aws import ARCHIVE_KEY, KmsHeadSigner, KmsPublicKey
from vault_etl.platform.store_folder import FolderArchive

pytestmark = pytest.mark.command

USERS: Final = ("ann", "bob", "cyd")
SECRET: Final = "198.51.100."
PART: Final = "part-00001.parquet"
REASON: Final = ("--reason", "case 12")


@pytest.fixture(scope="module")
def vault(keyed: Vault, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Vault]:
    """Yield a vault with the sets `one` and `two`, and the quota of one opening less a row."""
    with copied(keyed, tmp_path_factory.mktemp("sets")) as made:
        made.register_audit_key()
        made.set_policy({"reveals_an_hour": 100 * len(USERS), "purposes": {}})
        for name in ("one", "two"):
            bodies = [event(user_id=user, ip=f"{SECRET}{n}") for n, user in enumerate(USERS)]
            (made.home / "rows.jsonl").write_text("\n".join(bodies))
            made.ok("ingest", "lake", "seal", "rows.jsonl", "--to", name)
        yield made


def opened(vault: Vault, name: str) -> Result:
    """The result of opening the set in this folder."""
    return vault.run("reveal", "lake", "open", name, *REASON, "--to", "-")


def manifest(folder: Path) -> SetManifest:
    """The first manifest of a set."""
    return SetManifest.parse((folder / manifest_name(1)).read_bytes())


def sign(vault: Vault, folder: Path, made: SetManifest, keys: KeysFile | None = None) -> None:
    """Sign a manifest, as a login that may seal can."""
    (folder / keys_name(made.version)).unlink(missing_ok=True)
    kms = vault.emulator.client("kms")
    key = KmsPublicKey(kms, "alias/vault-etl-archive", ARCHIVE_KEY).signing_key()
    signer = KmsHeadSigner(kms, key.kms_key_arn, ARCHIVE_KEY)
    for old in (manifest_name(made.version), signature_name(made.version)):
        (folder / old).unlink(missing_ok=True)
    held = keys or KeysFile.parse((vault.home / "one" / keys_name(1)).read_bytes())
    SetWriter(
        FolderArchive(folder), vault.home, lambda text: signer.sign(text.encode()).der, key.key
    ).commit(made, held)


def swap_part(vault: Vault, folder: Path) -> None:
    """Put the part of the other set in the place of this one's."""
    shutil.copy(vault.home / "two" / PART, folder / PART)


def swap_set(vault: Vault, folder: Path) -> None:
    """Put all files of the other set in the place of this one's."""
    for path in (vault.home / "two").iterdir():
        shutil.copy(path, folder / path.name)


def swap_keys(vault: Vault, folder: Path) -> None:
    """Put other wrapped keys beside the manifest."""
    del vault
    (folder / keys_name(1)).write_bytes(KeysFile(()).encode())


def link_part(vault: Vault, folder: Path) -> None:
    """Put a link to the same bytes in the place of a part."""
    (folder / PART).rename(vault.home / "moved.parquet")
    (folder / PART).symlink_to(vault.home / "moved.parquet")


def sign_fewer_rows(vault: Vault, folder: Path) -> None:
    """Sign a manifest of a set of its own that counts one row: the quota would count one too."""
    made = manifest(folder)
    part = dataclasses.replace(made.parts[0], rows=1)
    contents = dataclasses.replace(
        made.contents,
        rows=1,
        keys=tuple(dataclasses.replace(each, values=1) for each in made.contents.keys),
        generations=tuple(dataclasses.replace(each, rows=1) for each in made.contents.generations),
    )
    sign(
        vault,
        folder,
        dataclasses.replace(made, set_id=uuid.uuid4(), parts=(part,), contents=contents),
    )


def sign_next_version(vault: Vault, folder: Path) -> None:
    """Sign a second version of the set, which is not on the record, and delete the first."""
    sign(vault, folder, dataclasses.replace(manifest(folder), version=2))
    (folder / manifest_name(1)).unlink()


def sign_part_of_another_set(vault: Vault, folder: Path) -> None:
    """Sign a manifest of a new set that names the part of a set on the record."""
    sign(vault, folder, dataclasses.replace(manifest(folder), set_id=uuid.uuid4()))


Attack = Callable[[Vault, Path], None]
IN_PLACE: Final[list[Attack]] = [swap_part, swap_set, swap_keys, link_part, sign_next_version]
ELSEWHERE: Final[list[Attack]] = [
    swap_part,
    sign_fewer_rows,
    sign_next_version,
    sign_part_of_another_set,
]


@pytest.mark.parametrize(
    ("attack", "place"),
    [
        *((attack, "one") for attack in IN_PLACE),
        *((attack, "copy") for attack in ELSEWHERE),
    ],
)
def test_a_set_that_was_changed_does_not_open(vault: Vault, attack: Attack, place: str) -> None:
    """In its place, and in a copy that the record does not name: refused, without an entry and without a value."""
    kept, folder = vault.home / "kept", vault.home / place
    shutil.copytree(vault.home / "one", kept)
    if place != "one":
        shutil.copytree(kept, folder)
    before = vault.count("audit_log")
    try:
        attack(vault, folder)
        done = opened(vault, place)
    finally:
        shutil.rmtree(folder)
        if place == "one":
            shutil.copytree(kept, folder)
        shutil.rmtree(kept)
    assert done.code in (2, 65), done.stderr
    assert (done.stdout, vault.count("audit_log")) == ("", before)
    assert SECRET not in done.stderr


def test_two_openings_at_once_share_the_quota(vault: Vault) -> None:
    """Both see that the quota suffices for one of them; the database lets one pass."""
    used = sum(amount for (amount,) in vault.sql("SELECT amount FROM audit_amounts"))
    vault.set_policy({"reveals_an_hour": used + len(USERS), "purposes": {}})
    with ThreadPoolExecutor(2) as pool:
        done = sorted(
            pool.map(lambda name: opened(vault, name), ("one", "two")), key=lambda d: d.code
        )
    assert [each.code for each in done] == [0, 77], [each.stderr for each in done]
    assert {row["user_id"] for row in done[0].lines} == set(USERS)
    assert done[1].stdout == ""
    assert SECRET not in done[1].stderr


def test_no_file_of_others_is_overwritten_or_deleted(vault: Vault) -> None:
    """A set is sealed, and plaintext is written, in a place of its own alone; no other place is on the record."""
    mine = vault.home / "mine"
    mine.mkdir()
    for name in ("part-00007.parquet", "manifest-00001.json", "part-00001-00002000.parquet"):
        (mine / name).write_text(name)
    (vault.home / "file").write_text("mine")
    sets = vault.count("lake_sets")
    files = {path: path.read_bytes() for path in vault.home.rglob("*") if path.is_file()}
    for command in (
        ("ingest", "lake", "seal", "rows.jsonl", "--to", "mine"),
        ("ingest", "lake", "seal", "rows.jsonl", "--to", "file"),
        ("reveal", "lake", "open", "one", *REASON, "--to", "two", "--output", "parquet"),
    ):
        done = vault.run(*command)
        assert done.code == 2, done.stderr
    assert vault.count("lake_sets") == sets
    assert {path: path.read_bytes() for path in vault.home.rglob("*") if path.is_file()} == files
