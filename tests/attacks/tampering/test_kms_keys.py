"""The KMS key that the row of a data key names, and KMS keys that are not ours."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.attacks.tampering.by_hand import bytes_of, context, forge, kms_of, put_key
from tests.attacks.tampering.site import Site, opens, refused
from tests.kit.declared import IP
from vault_etl.base.errors import UnusableKeyError


@pytest.mark.parametrize("named", ["ours", "theirs"])
@pytest.mark.parametrize("region", [None, "us-west-2"], ids=["another key", "another region"])
def test_a_key_wrapped_by_another_kms_key_does_not_open(
    site: Site, region: str | None, named: str
) -> None:
    """Its maker's own KMS key, under the right context: everything in the rows agrees with it.

    Where the emulator would open it, the list of trusted KMS keys is the only guard.
    """
    mine = site.key_of(IP)
    kms = kms_of(site, "admin", region)
    arn = kms.create_key()["KeyMetadata"]["Arn"]
    made = kms.generate_data_key(
        KeyId=arn, NumberOfBytes=32, EncryptionContext=context("data", "ip", mine.key_id)
    )
    arn_in_row = arn if named == "theirs" else None
    forge(site, made["Plaintext"], made["CiphertextBlob"], arn=arn_in_row)
    refused(site, site.records[0], IP, error=UnusableKeyError)


ARNS: dict[str, Callable[[Site, str], str]] = {
    "the token key": lambda site, _: site.key_of(IP, "token").kms_key_arn,
    "the audit key": lambda site, _: site.vault.provisioned.key_arns["audit"],
    "its alias": lambda _, arn: arn.rpartition(":")[0] + ":alias/vault-etl-data",
    "its id alone": lambda _, arn: arn.rpartition("/")[2],
    "another account": lambda _, arn: arn.replace(arn.split(":")[4], "111122223333"),
    "another region": lambda _, arn: arn.replace("us-east-1", "eu-west-1"),
    "another partition": lambda _, arn: arn.replace("arn:aws:", "arn:aws-cn:"),
    "capitals": lambda _, arn: arn.upper(),
    "nonsense": lambda *_: "nonsense",
    "a star": lambda *_: "*",
}


@pytest.mark.parametrize("edit", ARNS.values(), ids=ARNS.keys())
def test_another_kms_key_in_the_row_does_not_open(
    site: Site, edit: Callable[[Site, str], str]
) -> None:
    """Only the KMS key that the configuration trusts is ever asked, whatever the row says."""
    mine = site.key_of(IP)
    put_key(site, bytes_of(mine), arn=edit(site, mine.kms_key_arn))
    text = refused(site, site.records[0], IP, error=UnusableKeyError)
    assert "is not trusted here" in text


def test_a_listed_kms_key_is_trusted_and_no_other(site: Site) -> None:
    """A list replaces what the aliases point at; a trusted key still has to be the one that wrapped it."""
    mine, other = site.key_of(IP), site.key_of(IP, "token")
    both = f"{mine.kms_key_arn},{other.kms_key_arn}"
    assert opens(site, site.records[0], reveal=site.reveal(VAULT_ETL_TRUSTED_KEY_ARNS=both))
    token_alone = site.reveal(VAULT_ETL_TRUSTED_KEY_ARNS=other.kms_key_arn)
    refused(site, site.records[0], IP, reveal=token_alone, error=UnusableKeyError)
    put_key(site, bytes_of(mine), arn=other.kms_key_arn)
    edited = site.reveal(VAULT_ETL_TRUSTED_KEY_ARNS=both)
    refused(site, site.records[0], IP, reveal=edited, error=UnusableKeyError)
