"""Values of settings, from the environment and from a file."""

from __future__ import annotations

from pathlib import Path

import pytest

from vault_etl.settings import Secret, load


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("batch_size", "500", 500),
        ("linger", "0.25", 0.25),
        ("linger", "2", 2.0),
        *(("strict", word, True) for word in ("true", "True", "1", "yes", "on", "T")),
        *(("strict", word, False) for word in ("false", "FALSE", "0", "no", "off", "n")),
        ("log_format", "json", "json"),
        ("queue_url", "http://127.0.0.1:5000/1/q", "http://127.0.0.1:5000/1/q"),
        ("trusted_key_arns", "arn:a, arn:b", ("arn:a", "arn:b")),
        ("database_url", "postgresql://someone@db/x\n", Secret("postgresql://someone@db/x")),
    ],
)
def test_a_text_of_the_environment_has_the_type_of_its_setting(
    name: str, text: str, value: object
) -> None:
    """A number, a word for true or false, a list with commas; and white space around it is left out."""
    found, sources = load({f"VAULT_ETL_{name.upper()}": text})
    assert (getattr(found, name), type(getattr(found, name))) == (value, type(value))
    assert (sources[name], found.given) == ("environment", frozenset({name}))


@pytest.mark.parametrize(
    ("name", "written", "value"),
    [
        ("batch_size", "500", 500),
        ("linger", "2", 2.0),
        ("strict", "true", True),
        ("trusted_key_arns", '["arn:a", " arn:b "]', ("arn:a", "arn:b")),
        ("data_key", '"alias/a"', "alias/a"),
    ],
)
def test_a_file_has_the_types_of_toml(
    tmp_path: Path, name: str, written: str, value: object
) -> None:
    """A whole number is taken for a number, and a list is a list."""
    file = tmp_path / "some.toml"
    file.write_text(f"{name} = {written}\n", encoding="utf-8")
    found, sources = load({"VAULT_ETL_CONFIG": str(file)})
    assert (getattr(found, name), type(getattr(found, name))) == (value, type(value))
    assert sources[name] == str(file)


def test_a_secret_is_equal_and_is_not_shown() -> None:
    """No form of a secret has its text."""
    secret = Secret("a password")
    assert secret == Secret("a password")
    assert secret != Secret("another")
    assert len({secret, Secret("a password")}) == 1
    assert "password" not in f"{secret} {secret!r} {[secret]}"
    assert secret.expose() == "a password"
