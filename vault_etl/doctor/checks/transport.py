"""What is said to Postgres and to AWS is encrypted, and said to nobody else, unless it stays on this machine."""

from __future__ import annotations

import ipaddress
import urllib.parse
from collections.abc import Callable, Mapping
from typing import Final

from vault_etl.audit.log import Identity
from vault_etl.doctor.checks.logins import is_emulated
from vault_etl.doctor.doctor import Verdict
from vault_etl.doctor.views import ServerFacts

VERIFIED: Final = "verify-full"


def postgres_tls(
    facts: ServerFacts,
    identity: Callable[[], Identity],
    setting: str = "VAULT_ETL_DATABASE_URL",
) -> Verdict:
    """Every server that libpq may turn to is this machine, or its certificate and name are checked.

    In an emulator, where no key is worth anything, a weaker one is said and no fault.
    """
    found = facts.transport()
    away = [host for host in found.hosts if not _is_here(host)]
    if not away:
        return Verdict.good("on this machine")
    if found.sslmode == VERIFIED:
        return Verdict.good(f"sslmode={VERIFIED}")
    detail = f"sslmode={found.sslmode} to {', '.join(away)}: anybody in between may read and answer"
    if is_emulated(identity):
        return Verdict.good(f"warning: {detail}; no fault in an emulator")
    return Verdict.bad(detail, f"sslmode={VERIFIED} and sslrootcert in {setting}")


def aws_endpoints(endpoints: Mapping[str, str], *, is_key_of_aws: bool) -> Verdict:
    """Each service is asked over HTTPS, or on this machine.

    An endpoint in plain text is a fault even if it says that it is an emulator: any could. With an
    access key that AWS cannot have issued, as in `docker-compose.yml`, no key of AWS's KMS is in
    reach, whatever answers there: it is told and no fault.
    """
    open_ones = {
        service: url
        for service, url in endpoints.items()
        if (parts := urllib.parse.urlsplit(url)).scheme != "https"
        and not _is_here(parts.hostname or "")
    }
    if not open_ones:
        return Verdict.good("HTTPS, or on this machine")
    hosts = sorted({urllib.parse.urlsplit(url).hostname or "?" for url in open_ones.values()})
    detail = f"{', '.join(open_ones)} in plain text, from {', '.join(hosts)}"
    if not is_key_of_aws:
        return Verdict.good(f"warning: {detail}; no fault with an access key that is none of AWS's")
    return Verdict.bad(
        detail,
        "an https:// address in AWS_ENDPOINT_URL, AWS_ENDPOINT_URL_… and endpoint_url, or none",
    )


def _is_here(host: str) -> bool:
    """Whether it is a Unix socket (libpq: nothing, a path, or `@`), or a loopback address or name."""
    if not host or host.startswith(("/", "@")):
        return True
    name = host.lower().rstrip(".")
    if name == "localhost":
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
