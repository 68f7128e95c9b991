"""Values of settings, from the environment and from a file."""

from __future__ import annotations

from pathlib import Path

import pytest

from vault_etl.base.errors import ConfigurationError
from vault_etl.settings import Secret, load

KEY = "arn:aws-cn:kms:cn-north-1:111122223333:key/mrk-"


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
        ("linger", "1e1", 10.0),
        ("linger", "+.5", 0.5),
        ("batch_size", "+12\n", 12),
        ("queue_url", "https://[::1]:4566/1/q.fifo", "https://[::1]:4566/1/q.fifo"),
        ("trusted_key_arns", f"{KEY}a, {KEY}b", (f"{KEY}a", f"{KEY}b")),
        ("database_url", "postgresql://someone@db/x\n", Secret("postgresql://someone@db/x")),
    ],
)
def test_a_text_of_the_environment_has_the_type_of_its_setting(
    name: str, text: str, value: object
) -> None:
    """A number, a word for true or false, a list with commas; and newlines at the end are left out."""
    found, sources = load({f"VAULT_ETL_{name.upper()}": text})
    assert (getattr(found, name), type(getattr(found, name))) == (value, type(value))
    assert (sources[name], found.given) == ("environment", frozenset({name}))


@pytest.mark.parametrize(
    ("name", "written", "value"),
    [
        ("batch_size", "500", 500),
        ("linger", "2", 2.0),
        ("strict", "true", True),
        ("trusted_key_arns", f'["{KEY}a", " {KEY}b "]', (f"{KEY}a", f"{KEY}b")),
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


@pytest.mark.parametrize(
    ("name", "text"),
    [
        *(
            ("batch_size", text)
            for text in (
                "\u0661\u0662",
                "\uff11\uff12",
                "1_000",
                " 12",
                "12\u00a0",
                "0x10",
                "12.0",
                "1e3",
                "9" * 5_000,
            )
        ),
        *(
            ("linger", text)
            for text in (
                "\u0663",
                "1_0.5",
                "inf",
                "nan",
                "1e999",
                "0x1p3",
                "1.5.5",
                ".",
                " 1",
                "--1",
            )
        ),
        *(("strict", text) for text in ("\uff39\uff25\uff33", " yes")),
        *(
            ("queue_url", text)
            for text in (
                *("http://x\x7fy", "http://q/\x00", "http://q/\u202ex", "http://é/q", "http://"),
                *(
                    "https://someone:word@q/1",
                    "https://word@q",
                    "https://q/\x1b[31m",
                    " http://q/1",
                ),
            )
        ),
        *(
            ("trusted_key_arns", text)
            for text in ('["a"]', "a", f"{KEY}a;{KEY}b", f"{KEY}a,alias/b", f"{KEY}a\u202e")
        ),
        ("data_key", "alias/a\u200b"),
        ("database_password", "file:/run/\x1b"),
        ("database_url", " postgresql://someone@db/x"),
    ],
)
def test_a_text_of_another_form_is_refused_by_its_name(name: str, text: str) -> None:
    """Python's own parsers take most of these numbers."""
    with pytest.raises(ConfigurationError, match=f"^VAULT_ETL_{name.upper()} takes "):
        load({f"VAULT_ETL_{name.upper()}": text})


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (f"linger = 1{'0' * 400}", "VAULT_ETL_LINGER"),
        (f"linger = -1{'0' * 400}", "VAULT_ETL_LINGER"),
        (f"batch_size = 1{'0' * 400}", "VAULT_ETL_BATCH_SIZE"),
        (f"batch_size = 1{'0' * 5_000}", "cannot be read"),
        ("linger = inf", "VAULT_ETL_LINGER"),
        ("batch_size = true", "VAULT_ETL_BATCH_SIZE"),
        ("batch_size = 10.0", "VAULT_ETL_BATCH_SIZE"),
        ("batch_size = '1_0'", "VAULT_ETL_BATCH_SIZE"),
        (f"batch_size = {'[' * 5_000}", "cannot be read"),
    ],
)
def test_a_number_of_a_file_that_is_none_is_refused(
    tmp_path: Path, content: str, says: str
) -> None:
    """However large it is, or however deep the file is nested."""
    file = tmp_path / "some.toml"
    file.write_text(content, encoding="utf-8")
    with pytest.raises(ConfigurationError, match=says):
        load({"VAULT_ETL_CONFIG": str(file)})


def test_a_secret_is_equal_and_is_not_shown() -> None:
    """No form of a secret has its text."""
    secret = Secret("a password")
    assert secret == Secret("a password")
    assert secret != Secret("another")
    assert len({secret, Secret("a password")}) == 1
    assert "password" not in f"{secret} {secret!r} {[secret]}"
    assert secret.expose() == "a password"
