"""Failed connections to Postgres: exit, error and hint follow from stable codes, not from a language."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.kit.postgres_front import Authority, front, refusal
from tests.kit.processes import fails
from tests.kit.proxy import closed_port
from tests.kit.vault import Vault

SECRET = "sekret-Wort-4711"
DUPLICATES = ("duplicates", "--field", "ip")
URL = "VAULT_ETL_DATABASE_URL"
GERMAN = "Passwort-Authentifizierung für Benutzer »test_analyst« fehlgeschlagen"
RUSSIAN = 'пользователь "test_analyst" не прошёл проверку подлинности'


@dataclass(frozen=True, slots=True)
class Site:
    """A vault, what is before its Postgres, and an analyst's URL for each."""

    vault: Vault
    ports: dict[str, int]
    files: Path
    root: Path

    def url(self, port: int | str, *options: str) -> str:
        """The analyst's URL, with its password."""
        right = self.vault.database_url("analyst")
        port = self.ports[port] if isinstance(port, str) else port
        url = right.replace(f":{self.vault.server.port}/", f":{port}/")
        return "?".join((url, "&".join(options))) if options else url


@pytest.fixture(scope="module")
def site(loaded: Vault, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Servers on a port each: TLS with the right name, another name or an expired certificate, and refusals."""
    files = tmp_path_factory.mktemp("certificates")
    ours, others = Authority(files / "ours"), Authority(files / "others")
    server = loaded.server.port
    with ExitStack() as stack:
        ports = {
            "tls": stack.enter_context(front(upstream=server, tls=ours.server("127.0.0.1"))),
            "another name": stack.enter_context(
                front(upstream=server, tls=ours.server("db.example"))
            ),
            "run out": stack.enter_context(
                front(upstream=server, tls=ours.server("127.0.0.1", days=-1))
            ),
            "no Postgres": stack.enter_context(front(says=b"HTTP/1.1 400 Bad Request\r\n\r\n")),
        }
        for name, says in REFUSALS.items():
            ports[name] = stack.enter_context(front(says=says))
        (files / "others.crt").write_bytes(others.file.read_bytes())
        yield Site(loaded, ports, files, ours.file)


REFUSALS = {
    "German": refusal("28P01", GERMAN),
    "Russian": refusal("28000", RUSSIAN, "ВАЖНО"),
    "full": refusal("53300", "es sind bereits zu viele Verbindungen offen"),
    "starting": refusal("57P03", "das Datenbanksystem startet"),
    "new": refusal("XX999", "Mieter nicht gefunden"),
    "pooler's user": refusal("08P01", "no such user: test_analyst"),
    "pooler's database": refusal("08P01", "no such database: x"),
    "pooler's options": refusal("08P01", "unsupported startup parameter: search_path"),
    "pooler's TLS": refusal("08P01", "SSL required"),
    "pooler's limit": refusal("08P01", "no more connections allowed (max_client_conn)"),
}


def told(site: Site, code: int, *words: str, **extra: str | None) -> None:
    """Assert that the command fails so, names no password, and does not quote the server."""
    result = site.vault.run("analyst", *DUPLICATES, extra=extra)
    fails(result, code)
    for word in words:
        assert word in result.stderr
    for secret in (site.vault.server.passwords.of("test_analyst"), SECRET, GERMAN, RUSSIAN):
        assert secret not in result.stderr


@pytest.mark.parametrize(
    ("port", "code", "words"),
    [
        ("German", 77, "refuses this login: the password is wrong"),
        ("Russian", 77, "refuses this login: it may not log in"),
        ("full", 69, "no connection left"),
        ("starting", 69, "takes no connections now"),
        ("new", 69, "for a reason that has no class here (SQLSTATE XX999)"),
        ("pooler's user", 77, "the pooler at"),
        ("pooler's database", 78, "has no such database"),
        ("pooler's options", 78, "ignore_startup_parameters"),
        ("pooler's TLS", 78, "demands TLS"),
        ("pooler's limit", 69, "no connection to give"),
        ("no Postgres", 78, "is not Postgres"),
    ],
)
def test_a_server_that_refuses_is_classed_by_its_sqlstate(
    site: Site, port: str, code: int, words: str
) -> None:
    """The language of the server does not count; a refusal without a class is reported with host and port."""
    told(site, code, words, f"127.0.0.1:{site.ports[port]}", **{URL: site.url(port)})


def test_tls_that_cannot_be_trusted_names_what_is_set(site: Site) -> None:
    """A root that is missing, another CA, another name, a certificate that has run out, and no TLS at all."""
    full, root = "sslmode=verify-full", f"sslrootcert={site.root}"
    told(site, 78, "offers no TLS", URL, **{URL: site.url(site.vault.server.port, full, root)})
    gone = f"sslrootcert={site.files}/gone.crt"
    told(site, 78, "root certificate", "sslrootcert", **{URL: site.url("tls", full, gone)})
    unset = {URL: site.url("tls", full), "HOME": str(site.files)}
    told(site, 78, "root certificate", "~/.postgresql/root.crt", **unset)
    others = {URL: site.url("tls", full), "PGSSLROOTCERT": str(site.files / "others.crt")}
    told(site, 78, "is of no CA in sslrootcert", "(PGSSLROOTCERT)", **others)
    told(site, 78, "another host name", URL, **{URL: site.url("another name", full, root)})
    told(site, 78, "is not valid now", **{URL: site.url("run out", full, root)})
    site.vault.ok("analyst", *DUPLICATES, extra={URL: site.url("tls", full, root)})


def test_a_wrong_setting_of_a_connection_is_named(site: Site) -> None:
    """A wrong service, option, port or host is named with its variable, or with the URL."""
    port = site.vault.server.port
    told(site, 78, "PGSERVICE is malformed: service", PGSERVICE="no_such", **{URL: site.url(port)})
    options = {"PGOPTIONS": f"-c {SECRET}=1", URL: site.url(port)}
    told(site, 78, "does not take the options", "PGOPTIONS", **options)
    refused = {"PGOPTIONS": "-c log_statement=all", URL: site.url(port)}
    told(site, 77, "not with its options", "PGOPTIONS", **refused)
    told(site, 78, "PGSSLMODE is malformed: sslmode", PGSSLMODE=SECRET, **{URL: site.url(port)})
    told(site, 69, "does not resolve", **{URL: f"postgresql://a:{SECRET}@no-such-host.invalid/x"})
    told(site, 69, "cannot be reached at 127.0.0.1", **{URL: site.url(closed_port())})
    told(
        site,
        78,
        "there is no password",
        URL,
        **{URL: f"postgresql://test_analyst@127.0.0.1:{port}/x"},
    )


@pytest.mark.parametrize(
    "url",
    [f"postgresql://a:1@{SECRET}@127.0.0.1/x", f"postgresql://a:1/{SECRET}@127.0.0.1/x"],
)
def test_a_password_that_is_not_escaped_is_not_taken_for_a_host(site: Site, url: str) -> None:
    """Otherwise the error would name a part of the password as the host that cannot be reached."""
    told(site, 78, "is malformed", "percent form", **{URL: url})


def test_a_newline_at_the_end_of_a_secret_is_no_part_of_it(site: Site) -> None:
    """A final newline, as of a mounted file, is removed from the URL, a password inside it, and libpq's variables."""
    url, password = site.url(site.vault.server.port), site.vault.server.passwords.of("test_analyst")
    without = url.replace(f":{password}@", "@")
    for extra in (
        {URL: f"{url}\n"},
        {URL: url.replace(password, f"{password}\n")},
        {URL: f"{without}\r\n", "PGPASSWORD": f"{password}\n"},
    ):
        site.vault.ok("analyst", *DUPLICATES, extra=extra)
