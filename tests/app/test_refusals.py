"""Permanent refusals of SQS and KMS: the exit code, and the key, queue and setting that the error names."""

from __future__ import annotations

import json

import pytest

from tests.kit.processes import fails
from tests.kit.proxy import Answer, FaultProxy, Verdict
from tests.kit.vault import Vault


def queue_key(shape: str, code: str) -> Answer:
    """The answer of SQS today, which has the code of the older protocol in a header."""
    body = json.dumps({"__type": f"com.amazonaws.sqs#{shape}", "message": "203.0.113.7"})
    return Answer(400, body.encode(), (("x-amzn-query-error", f"{code};Sender"),))


OF_SQS: dict[str, tuple[Verdict, int, str]] = {
    "its key disabled": (queue_key("KmsDisabled", "KMS.DisabledException"), 77, "own KMS key"),
    "its key denied": (
        queue_key("KmsAccessDenied", "KMS.AccessDeniedException"),
        77,
        "own KMS key",
    ),
    "its key to be deleted": (
        queue_key("KmsInvalidState", "KMS.InvalidStateException"),
        77,
        "own KMS",
    ),
    "its key missing": ("KmsNotFound", 77, "own KMS key"),
    "no HTTPS": ("InvalidSecurity", 78, "HTTPS alone"),
    "no such caller": ("AuthFailure", 77, "SQS denies this"),
    "region closed": ("RegionDisabled", 78, "in this region"),
    "not valid": ("ValidationException", 78, "not valid"),
    "never heard of": ("NewlyMadeException", 77, "SQS refuses this"),
    "never heard of, its own fault": (
        Answer(503, b'{"__type": "NewException"}'),
        69,
        "SQS did not",
    ),
}

OF_KMS: dict[str, tuple[Verdict, int, str]] = {
    "disabled": ("DisabledException", 77, "does not use this key"),
    "missing": ("NotFoundException", 77, "does not use this key"),
    "malformed": ("InvalidArnException", 78, "not valid"),
    "region closed": ("OptInRequired", 78, "in this region"),
}


@pytest.mark.parametrize("name", OF_SQS)
def test_a_refusal_of_sqs_is_told(loaded: Vault, name: str) -> None:
    """The error names the queue and VAULT_ETL_QUEUE_URL, or another cause, and quotes nothing of AWS's answer."""
    verdict, code, says = OF_SQS[name]
    stderr = refused(loaded, "AWS_ENDPOINT_URL_SQS", verdict, code, says)
    assert loaded.provisioned.queue_url.rpartition("/")[2] in stderr.splitlines()[0]
    assert any(word in stderr for word in ("VAULT_ETL_QUEUE_URL", "AWS_REGION", "AWS_ENDPOINT_URL"))
    assert "203.0.113.7" not in stderr


@pytest.mark.parametrize("name", OF_KMS)
def test_a_refusal_of_kms_is_told(loaded: Vault, name: str) -> None:
    """The error names the alias of new keys, and VAULT_ETL_TOKEN_KEY."""
    verdict, code, says = OF_KMS[name]
    stderr = refused(loaded, "AWS_ENDPOINT_URL_KMS", verdict, code, says)
    assert "alias/vault-etl-token" in stderr
    assert "VAULT_ETL_TOKEN_KEY" in stderr


def refused(vault: Vault, setting: str, verdict: Verdict, code: int, says: str) -> str:
    """The error of a drain whose calls of one service are all answered so."""
    with FaultProxy(vault.endpoint, lambda _call: verdict) as proxy:
        result = vault.run("ingest", "ingest", extra={setting: proxy.url})
    fails(result, code, says)
    return result.stderr
