"""`vault-etl config`: every setting, its value and where it came from, and no secret."""

from __future__ import annotations

from pathlib import Path

from tests.kit.vault import Vault

SECRET = "sekret-Wort-4711"
UNSET: dict[str, str | None] = {"VAULT_ETL_DATABASE_URL": None, "VAULT_ETL_QUEUE_URL": None}


def test_every_setting_is_shown_with_its_source(loaded: Vault, tmp_path: Path) -> None:
    """The environment wins over the file, the file over the default, and each says where it is from."""
    file = tmp_path / "production.toml"
    trusted = [loaded.provisioned.key_arns[name] for name in ("data", "token")]
    listed = f"batch_size = 17\nlinger = 2.5\ntrusted_key_arns = {trusted}\n"
    file.write_text(listed, "utf-8")
    extra = {"VAULT_ETL_CONFIG": str(file), "VAULT_ETL_LINGER": "3", "VAULT_ETL_DRAIN_WAIT": None}
    shown = loaded.ok("analyst", "config", extra=extra).lines
    by_name = {line["setting"]: (line["value"], line["source"]) for line in shown}
    assert by_name["VAULT_ETL_BATCH_SIZE"] == (17, str(file))
    assert by_name["VAULT_ETL_TRUSTED_KEY_ARNS"] == (trusted, str(file))
    assert by_name["VAULT_ETL_LINGER"] == (3.0, "environment")
    assert by_name["VAULT_ETL_DRAIN_WAIT"] == (1, "default")
    assert by_name["VAULT_ETL_QUEUE_URL"] == (loaded.provisioned.queue_url, "environment")
    assert all(line["what"] for line in shown)


def test_the_database_url_is_redacted(loaded: Vault, tmp_path: Path) -> None:
    """The password of the URL is shown on no output, whether it comes from the environment or a file."""
    file = tmp_path / "some.toml"
    file.write_text(f'database_url = "postgresql://someone:{SECRET}@db/x"\n', "utf-8")
    for output in ("json", "table"):
        shown = loaded.ok(
            "analyst", "config", "--output", output, extra={**UNSET, "VAULT_ETL_CONFIG": str(file)}
        )
        assert SECRET not in shown.stdout + shown.stderr
        assert "(redacted)" in shown.stdout
    from_environment = loaded.ok("analyst", "config").stdout
    assert loaded.server.passwords.of("test_analyst") not in from_environment


def test_the_file_in_the_working_directory_is_read(loaded: Vault) -> None:
    """`vault-etl.toml` beside the caller is found, and VAULT_ETL_CONFIG leads elsewhere."""
    file = loaded.home / "vault-etl.toml"
    file.write_text("batch_size = 23\n", "utf-8")
    try:
        shown = loaded.ok("analyst", "config").lines
    finally:
        file.unlink()
    sizes = [(s["value"], s["source"]) for s in shown if s["setting"] == "VAULT_ETL_BATCH_SIZE"]
    assert sizes == [(23, "vault-etl.toml")]


def test_config_needs_no_setting(loaded: Vault) -> None:
    """Every value is a default, or missing, if nothing is set."""
    lines = loaded.ok("analyst", "config", extra={**UNSET, "VAULT_ETL_DRAIN_WAIT": None}).lines
    assert {line["source"] for line in lines} == {"default"}


def test_a_file_alone_is_enough(loaded: Vault, tmp_path: Path) -> None:
    """A command runs with its settings in a file and none in the environment."""
    file = tmp_path / "some.toml"
    file.write_text(f'database_url = "{loaded.database_url("analyst")}"\n', "utf-8")
    extra = {**UNSET, "VAULT_ETL_CONFIG": str(file)}
    assert loaded.ok("analyst", "duplicates", "-f", "ip", extra=extra).lines


def test_config_works_while_settings_are_wrong(loaded: Vault, tmp_path: Path) -> None:
    """All settings are shown, a wrong setting with its expected form; exit 78 names the first; no value is quoted."""
    file = tmp_path / "some.toml"
    file.write_text(f'batch_sise = "{SECRET}"\nlinger = 2.5\n', "utf-8")
    extra = {
        "VAULT_ETL_CONFIG": str(file),
        "VAULT_ETL_RECEIVERS": SECRET,
        "VAULT_ETL_QUEUE_ULR": SECRET,
    }
    shown = loaded.run("analyst", "config", extra=extra)
    problems = {line["setting"]: line["problem"] for line in shown.lines if line["problem"]}
    assert problems == {
        "batch_sise": "is not a setting: did you mean batch_size?",
        "VAULT_ETL_QUEUE_ULR": "is not a setting: did you mean VAULT_ETL_QUEUE_URL?",
        "VAULT_ETL_RECEIVERS": "takes a whole number from 1 to 32",
    }
    assert ("VAULT_ETL_LINGER", 2.5) in [(line["setting"], line["value"]) for line in shown.lines]
    assert (shown.code, SECRET in shown.stdout + shown.stderr) == (78, False)
    table = loaded.run("analyst", "config", "--output", "table", extra=extra).stdout
    assert all(problem in table for problem in problems.values())
    other = loaded.run("analyst", "duplicates", "-f", "ip", extra={"VAULT_ETL_LINGGER": "1"})
    assert (other.code, "did you mean VAULT_ETL_LINGER?" in other.stderr) == (78, True)


def test_config_works_without_a_file_that_can_be_read(loaded: Vault, tmp_path: Path) -> None:
    """The settings of the environment are shown beside the error."""
    (tmp_path / "some.toml").write_bytes(b"linger = \xff")
    for name, why in (("some.toml", "it is not UTF-8"), ("", "Is a directory")):
        path = str(tmp_path / name)
        shown = loaded.run("analyst", "config", extra={"VAULT_ETL_CONFIG": path})
        assert (shown.code, why in shown.stderr) == (78, True)
        assert any(line["source"] == "environment" for line in shown.lines)
