"""The service of docs/how-to/fastapi.md makes the tokens of the vault, and says no value in any answer or log."""

from __future__ import annotations

from collections.abc import Iterator
from types import ModuleType

import pytest
from fastapi.testclient import TestClient

from tests.kit.pages import documented
from tests.kit.proxy import closed_port
from tests.kit.vault import Vault

SECRET = "sekret-4711"


@pytest.fixture
def service(filled: Vault, monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    """The service, with the rights of the role ingest."""
    for name, value in filled.environment("ingest").items():
        monkeypatch.setenv(name, value)
    with TestClient(_app().app) as client:
        yield client


def test_a_service_hands_on_the_tokens_that_records_have(
    filled: Vault, service: TestClient
) -> None:
    """The tokens of a list join the records, and no entry is written; after a rotation the new ones do."""
    entries = filled.count("audit_log")
    logins = [{"user_id": f"u{n}", "ip": f"203.0.0.{n}"} for n in (2, 0, 2)]
    answer = service.post("/logins", json=logins)
    assert answer.status_code == 200, answer.text
    masked = [each["masked_ip"] for each in answer.json()]
    found = filled.sql("SELECT masked_ip::text FROM user_logins")
    assert masked[0] == masked[2] != masked[1]
    assert {(each,) for each in masked} < set(found)
    assert [each["user_id"] for each in answer.json()] == ["u2", "u0", "u2"]
    assert filled.count("audit_log") == entries
    filled.ok("re-encrypt", "keys", "rotate", "--tokens", "--yes")
    rotated = {each["masked_ip"] for each in service.post("/logins", json=logins).json()}
    assert {(each,) for each in rotated} < set(
        filled.sql("SELECT masked_ip::text FROM user_logins")
    )
    assert not rotated & set(masked)


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (f'[{{"user_id": "u", "ip": "{SECRET}"}}]', "number 1"),
        (f'[{{"user_id": "u", "ip": ["{SECRET}"]}}]', "string_type"),
        (f'[{{"user_id": {{"{SECRET}": 1}}, "ip": "203.0.113.7"}}]', "string_type"),
        (f'[{{"ip": "203.0.113.7", "{SECRET}": "{SECRET}"}}]', "missing"),
        (f'{{"ip": "{SECRET}"}}', "list_type"),
        (f'[{{"ip": "{SECRET}", ', "json_invalid"),
        (f"{SECRET}", "json_invalid"),
        (f'[{{"user_id": "u", "ip": "\\ud800{SECRET}"}}]', "number 1"),
    ],
)
def test_no_answer_echoes_a_value(
    service: TestClient,
    body: str,
    told: str,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Whatever is wrong with a request, the answer 422 and the logs say where and of what kind."""
    answer = service.post("/logins", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 422, answer.text
    assert told in answer.text
    assert SECRET not in answer.text + caplog.text + "".join(capfd.readouterr())


def test_a_vault_that_does_not_answer_is_503(
    filled: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The answer says what is missing; the client may ask again."""
    for name, value in filled.environment("ingest").items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("VAULT_ETL_DATABASE_URL", f"postgresql://a:b@127.0.0.1:{closed_port()}/c")
    with TestClient(_app().app) as client:
        answer = client.post("/logins", json=[{"user_id": "u", "ip": "203.0.113.7"}])
    assert answer.status_code == 503, answer.text


def _app() -> ModuleType:
    """The module of the page."""
    (source,) = documented("how-to/fastapi.md", "python")
    module = ModuleType("app")
    exec(compile(source, "app.py", "exec", dont_inherit=True), module.__dict__)  # noqa: S102 - the page's own code
    return module
