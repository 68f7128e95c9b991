"""Failures on the way to AWS's credentials, by the real command: the exit code, and what the error names."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.kit.credentials_server import CredentialsServer, Reply
from tests.kit.processes import fails
from tests.kit.vault import Result, Vault

Setting = Callable[[Path, str], dict[str, str]]
"""What is set instead of keys, from a folder of the case's own and the address of its server."""

AT_ONCE = 8
START_URL = "https://sign-in.example/start"
SSO = f"""[default]
sso_start_url = {START_URL}
sso_region = us-east-1
sso_account_id = 111122223333
sso_role_name = ingest
"""


@dataclass(frozen=True, slots=True)
class Case:
    """A case without credentials, and the error that it must raise."""

    code: int
    says: str
    hint: str
    setting: Setting
    reply: Reply = None


def profile(text: str) -> Setting:
    """A config file with this text, in which FOLDER is the case's folder and SERVER its server."""

    def make(folder: Path, url: str) -> dict[str, str]:
        path = folder / "config"
        path.write_text(text.replace("FOLDER", str(folder)), encoding="utf-8")
        return {"AWS_CONFIG_FILE": str(path), "AWS_ENDPOINT_URL_STS": url}

    return make


def program(script: str) -> Setting:
    """A credential_process that runs this line of a shell."""

    def make(folder: Path, url: str) -> dict[str, str]:
        path = folder / "process"
        path.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
        path.chmod(0o700)
        return profile("[default]\ncredential_process = FOLDER/process\n")(folder, url)

    return make


def container(_folder: Path, url: str) -> dict[str, str]:
    """The settings of a container's endpoint."""
    return {"AWS_CONTAINER_CREDENTIALS_FULL_URI": f"{url}/role"}


def instance(_folder: Path, url: str) -> dict[str, str]:
    """The settings of an EC2 instance."""
    return {"AWS_EC2_METADATA_SERVICE_ENDPOINT": url, "AWS_EC2_METADATA_DISABLED": "false"}


def pod(folder: Path, url: str) -> dict[str, str]:
    """EKS's pod identity, with a token file that is not there."""
    token = {"AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": str(folder / "gone")}
    return container(folder, url) | token


def web_identity(folder: Path, url: str) -> dict[str, str]:
    """The settings of IRSA."""
    (folder / "token").write_text("token", encoding="utf-8")
    return {
        "AWS_WEB_IDENTITY_TOKEN_FILE": str(folder / "token"),
        "AWS_ROLE_ARN": "arn:aws:iam::111122223333:role/vault-etl-ingest",
        "AWS_ENDPOINT_URL_STS": url,
    }


def gone(folder: Path, url: str) -> dict[str, str]:
    """The settings of IRSA, with a token file that does not exist."""
    return web_identity(folder, url) | {"AWS_WEB_IDENTITY_TOKEN_FILE": str(folder / "gone")}


def empty(folder: Path, url: str) -> dict[str, str]:
    """The settings of IRSA, with an empty token file."""
    settings = web_identity(folder, url)
    (folder / "token").write_text("", encoding="utf-8")
    return settings


def no_bundle(folder: Path, url: str) -> dict[str, str]:
    """Access keys, and CA certificates that do not exist."""
    return {
        "AWS_ACCESS_KEY_ID": "A",
        "AWS_SECRET_ACCESS_KEY": "B",
        "AWS_CA_BUNDLE": str(folder / "gone"),
        "AWS_ENDPOINT_URL_KMS": url.replace("http:", "https:"),
    }


def signed_in_once(folder: Path, url: str) -> dict[str, str]:
    """An expired SSO token in the cache."""
    cache = folder / ".aws" / "sso" / "cache"
    cache.mkdir(parents=True)
    name = hashlib.sha1(START_URL.encode(), usedforsecurity=False).hexdigest()
    token = {"accessToken": "token", "expiresAt": "2020-01-01T00:00:00Z"}
    (cache / f"{name}.json").write_text(json.dumps(token), encoding="utf-8")
    return profile(SSO)(folder, url) | {"HOME": str(folder)}


def only(**settings: str) -> Setting:
    """An environment with these settings alone."""
    return lambda _folder, _url: settings


def sts(code: str, status: int = 403) -> Reply:
    """A refusal of STS."""
    text = f"<ErrorResponse><Error><Type>Sender</Type><Code>{code}</Code></Error></ErrorResponse>"
    return status, text.encode()


WEB_IDENTITY = "AWS_WEB_IDENTITY_TOKEN_FILE"
FULL_URI = "AWS_CONTAINER_CREDENTIALS_FULL_URI"

CASES = {
    "keys expired": Case(
        78,
        "have run out",
        "AWS_CREDENTIAL_EXPIRATION",
        only(
            AWS_ACCESS_KEY_ID="A",
            AWS_SECRET_ACCESS_KEY="B",
            AWS_CREDENTIAL_EXPIRATION="2020-01-01T00:00:00Z",
        ),
    ),
    "instance away": Case(69, "metadata service", "a role", instance, (503, b"")),
    "instance silent": Case(69, "metadata service", "a role", instance),
    "instance without a role": Case(69, "metadata service", "a role", instance, (404, b"")),
    "nothing set": Case(78, "no credentials", "set AWS_PROFILE", only()),
    "half": Case(78, "half of the credentials", "AWS_ACCESS_KEY_ID", only(AWS_ACCESS_KEY_ID="A")),
    "unknown profile": Case(78, "no profile", "set AWS_PROFILE", only(AWS_PROFILE="none")),
    "broken config": Case(78, "config file", "AWS_CONFIG_FILE", profile("[default\n")),
    "role without a source": Case(
        78,
        "profile cannot",
        "check the profile",
        profile("[default]\nrole_arn = arn:aws:iam::1:role/x\n"),
    ),
    "never signed in": Case(78, "sign-in", "aws sso login", profile(SSO)),
    "sign-in expired": Case(78, "sign-in", "aws sso login", signed_in_once),
    "process fails": Case(
        69, "credential_process failed", "by hand", program("echo no >&2; exit 3")
    ),
    "process babbles": Case(69, "credential_process failed", "by hand", program("echo no")),
    "process is a list": Case(69, "does not", "between", program("echo []")),
    "process keeps old ones": Case(
        69,
        "had run out",
        "the clock",
        program(
            """echo '{"Version": 1, "AccessKeyId": "a", "SecretAccessKey": "b",'"""
            """' "SessionToken": "c", "Expiration": "2020-01-01T00:00:00Z"}'"""
        ),
    ),
    "process missing": Case(
        78, "does not start", "profile", profile("[default]\ncredential_process = FOLDER/none\n")
    ),
    "container busy": Case(69, "at the moment", FULL_URI, container, (429, b"{}")),
    "container away": Case(69, "at the moment", FULL_URI, container, (503, b"")),
    "container silent": Case(69, "at the moment", FULL_URI, container),
    "container babbles": Case(69, "at the moment", FULL_URI, container, (200, b"<html>")),
    "container without keys": Case(69, "does not", FULL_URI, container, (200, b'{"Code": "x"}')),
    "container refuses": Case(77, "to this process", FULL_URI, container, (404, b"{}")),
    "container elsewhere": Case(
        78, "malformed", FULL_URI, only(AWS_CONTAINER_CREDENTIALS_FULL_URI="http://192.0.2.1/")
    ),
    "pod's token gone": Case(69, "token", "AUTHORIZATION_TOKEN_FILE", pod, (200, b"{}")),
    "IRSA's token gone": Case(69, "token", WEB_IDENTITY, gone, (200, b"{}")),
    "IRSA's token not written": Case(69, "holds none", WEB_IDENTITY, empty, (200, b"{}")),
    "no CA certificates": Case(78, "CA certificates", "AWS_CA_BUNDLE", no_bundle, (200, b"")),
    "role denied": Case(77, "STS denies", "AWS_ROLE_ARN", web_identity, sts("AccessDenied")),
    "region closed": Case(78, "region", "AWS_REGION", web_identity, sts("RegionDisabledException")),
    "STS fails": Case(69, "STS did not", WEB_IDENTITY, web_identity, sts("InternalFailure", 500)),
    "STS unreachable": Case(
        69,
        "the source of AWS credentials cannot be reached",
        WEB_IDENTITY,
        lambda folder, _url: web_identity(folder, "http://127.0.0.1:9"),
    ),
}


def run(vault: Vault, folder: Path, case: Case) -> Result:
    """A drain of a process that has what the case sets, and no keys."""
    folder.mkdir()
    with CredentialsServer(case.reply) as server:
        extra: dict[str, str | None] = {
            "AWS_ACCESS_KEY_ID": None,
            "AWS_SECRET_ACCESS_KEY": None,
            "AWS_EC2_METADATA_DISABLED": "true",
            **case.setting(folder, server.url),
        }
        return vault.run("ingest", "ingest", extra=extra, seconds=120)


@pytest.fixture(scope="module")
def results(loaded: Vault, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Result]]:
    """The results of all cases, several at a time: botocore waits for seconds before it gives up on an endpoint."""
    home = tmp_path_factory.mktemp("credentials")
    with ThreadPoolExecutor(AT_ONCE) as pool:
        running = {
            name: pool.submit(run, loaded, home / name.replace(" ", "-"), case)
            for name, case in CASES.items()
        }
        yield {name: future.result() for name, future in running.items()}


@pytest.mark.parametrize("name", CASES)
def test_the_error_names_the_fault_of_the_credentials(
    results: dict[str, Result], name: str
) -> None:
    """Exit 78 for a wrong setting, 77 for a refusal, 69 for an outage; the setting is named."""
    case, result = CASES[name], results[name]
    fails(result, case.code, case.says)
    assert case.hint in result.stderr.splitlines()[-1], result.stderr
