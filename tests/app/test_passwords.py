"""Passwords that are asked for at each connect: from a file, Secrets Manager and IAM, through the real command."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

import pytest

from tests.kit.doctor import wrong as wrong_checks
from tests.kit.postgres_front import Authority, front
from tests.kit.processes import fails
from tests.kit.vault import Result, Vault

DUPLICATES: Final = ("duplicates", "--field", "ip")
URL: Final = "VAULT_ETL_DATABASE_URL"
PASSWORD: Final = "VAULT_ETL_DATABASE_PASSWORD"
LOGIN: Final = "test_analyst"
IN_CLEAR: Final = b"R\0\0\0\x08\0\0\0\x03"
"""AuthenticationCleartextPassword: what RDS asks for a token with."""


def run(vault: Vault, password: str, **extra: str) -> Result:
    """A command of the analyst, whose URL has no password."""
    right = vault.server.passwords.of(LOGIN)
    url = vault.database_url("analyst").replace(f":{right}@", "@")
    result = vault.run("analyst", *DUPLICATES, extra={URL: url, PASSWORD: password, **extra})
    assert right not in result.stdout + result.stderr
    return result


def refused(result: Result, code: int, *words: str) -> None:
    """Check the refusal: these words, and the name of the setting."""
    fails(result, code)
    for word in (*words, PASSWORD):
        assert word in result.stderr


def test_a_file_holds_the_password(loaded: Vault, tmp_path: Path) -> None:
    """The file has the password alone, with or without a newline; errors about the file do not quote it."""
    file, right = tmp_path / "password", loaded.server.passwords.of(LOGIN)
    for content in (right, f"{right}\n", f"{right}\r\n"):
        file.write_text(content, "utf-8", newline="")
        assert run(loaded, f"file:{file}").code == 0
    for wrong, words in (
        (b"", "is empty"),
        (b"\n", "is empty"),
        (b"a\0b", "holds a NUL"),
        (b"\xff", "is not UTF-8"),
        (b"x" * 8_193, "is longer than"),
    ):
        file.write_bytes(wrong)
        refused(run(loaded, f"file:{file}"), 78, words)
    refused(run(loaded, f"file:{tmp_path}/gone"), 78, "cannot be read")
    file.write_text("another", "utf-8")
    refused(run(loaded, f"file:{file}"), 77, "the password is wrong")


def test_a_password_is_in_one_place(loaded: Vault) -> None:
    """A password is not in the URL as well, and the setting has the place of the password, never the password."""
    both = {URL: loaded.database_url("analyst")}
    refused(run(loaded, "file:/run/secrets/database", **both), 78, URL, "holds a password")
    for text in (loaded.server.passwords.of(LOGIN), "file:", "env:X", "secretsmanager:name"):
        refused(run(loaded, text), 78, "file:/run/secrets/database")


@pytest.fixture
def aws(loaded: Vault) -> dict[str, str]:
    """The access key of a caller who may read secrets, and may make them here."""
    return loaded.access_key("admin")


def test_a_secret_holds_the_password(loaded: Vault, aws: dict[str, str]) -> None:
    """A secret is this login's password as text, or as RDS keeps it. Refusals of AWS name setting and secret."""
    secrets = loaded.emulator.client("secretsmanager")
    right = loaded.server.passwords.of(LOGIN)
    arn = secrets.create_secret(Name="analyst", SecretString=right)["ARN"]
    source = f"secretsmanager:{arn}"
    assert run(loaded, source, **aws).code == 0
    for secret, code, words in (
        ({"username": LOGIN, "password": right, "port": 5432}, 0, ""),
        ({"username": "someone", "password": right}, 78, "another login"),
        ({"username": LOGIN}, 78, "has no password"),
    ):
        secrets.put_secret_value(SecretId=arn, SecretString=json.dumps(secret))
        result = run(loaded, source, **aws)
        if code:
            refused(result, code, words)
        else:
            assert result.code == 0, result.stderr
    refused(run(loaded, source), 77, "Secrets Manager denies this", arn)
    plain = {**aws, PASSWORD: source, "AWS_ENDPOINT_URL_SECRETS_MANAGER": "http://0.0.0.0:9"}
    named = wrong_checks(loaded, "analyst", {**plain, URL: "postgresql://worker@127.0.0.1:1/vault"})
    assert "Secrets Manager" in named["aws_endpoints"]["detail"]
    refused(run(loaded, f"{source}x", **aws), 78, f"{arn}x")


def test_a_token_of_iam_goes_over_tls_that_was_checked_and_nowhere_else(
    loaded: Vault, tmp_path: Path
) -> None:
    """A server that asks for the password in clear, as RDS does, gets a token behind TLS, and nothing without TLS."""
    authority, heard = Authority(tmp_path / "ours"), list[bytes]()
    tls = authority.server("127.0.0.1")
    with front(tls=tls, says=IN_CLEAR, heard=heard) as port:
        url = f"postgresql://worker@127.0.0.1:{port}/vault?sslrootcert={authority.file}"
        for mode in ("", "&sslmode=disable", "&sslmode=prefer", "&sslmode=require"):
            refused(run(loaded, "rds-iam", **{URL: url + mode}), 78, "sslmode=verify-full")
        assert heard == []
        fails(run(loaded, "rds-iam", **{URL: f"{url}&sslmode=verify-full"}), 69)
        assert len(heard) == 1
        # A service goes before libpq's variables: the token is for what they say, and goes there.
        services = tmp_path / "services"
        services.write_text("[other]\nhost=localhost\nport=1\nuser=another\n", "utf-8")
        by_variables = {
            URL: f"postgresql:///vault?sslmode=verify-full&sslrootcert={authority.file}",
            "PGHOST": "127.0.0.1",
            "PGPORT": str(port),
            "PGUSER": "worker",
            "PGSERVICE": "other",
            "PGSERVICEFILE": str(services),
        }
        fails(run(loaded, "rds-iam", **by_variables), 69)
    message, again = heard
    assert again.partition(b"&X-Amz-Date")[0] == message.partition(b"&X-Amz-Date")[0]
    token = message[5:-1].decode()
    assert message[:1] == b"p"
    assert token.startswith(f"127.0.0.1:{port}/?Action=connect&DBUser=worker&X-Amz-Algorithm=")
    for part in ("%2Fus-east-1%2Frds-db%2Faws4_request", "X-Amz-Expires=900", "X-Amz-Signature="):
        assert part in token


def test_a_token_is_for_one_server_and_a_login(loaded: Vault) -> None:
    """The URL, or libpq's variables, name the server and the login of a token."""
    for url in (
        "postgresql://worker@/vault?sslmode=verify-full",
        "postgresql://worker@a,b/vault?sslmode=verify-full",
        "postgresql://db.example/vault?sslmode=verify-full",
        "host=db.example user=worker port=\u0665 sslmode=verify-full",
    ):
        refused(run(loaded, "rds-iam", **{URL: url}), 78, "one host and a login")
