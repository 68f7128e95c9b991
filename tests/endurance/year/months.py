"""Two years of logins in one vault, what is true of each, and the commands that are run on them."""

from __future__ import annotations

import datetime as dt
import json
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from tests.kit.events import event
from tests.kit.vault import Result, Vault
from vault_etl.local.template import ARCHIVE_BUCKET

MONTHS: Final = 24
ROWS: Final = 4
"""A month."""

WHY: Final = ("--reason", "a year in fast motion")
SHARED: Final = "198.51.100.7"
"""The address of every month's first login."""

BUCKET: Final = f"s3://{ARCHIVE_BUCKET}/year"
"""Where every other month's archive goes."""

_DETACHED: Final = "vault_etl_detached"
_HELD: Final = """
SELECT 'ip', vault_etl.ciphertext_key_id(ip_ciphertext), count(*) FROM {0} WHERE ip_ciphertext IS NOT NULL GROUP BY 2
UNION ALL
SELECT 'device_id', vault_etl.ciphertext_key_id(device_id_ciphertext), count(*) FROM {0}
WHERE device_id_ciphertext IS NOT NULL GROUP BY 2
UNION ALL
SELECT 'token', g, count(*) FROM {0}, LATERAL (VALUES (token_generation), (next_token_generation)) AS v (g)
WHERE g IS NOT NULL GROUP BY 2
"""


@dataclass(frozen=True, slots=True)
class Login:
    """A login that was loaded: its month is a number from 0, the oldest."""

    month: int
    user_id: str
    ip: str
    device_id: str


@dataclass(slots=True)
class Year:
    """The vault, its months, and what is true of every record that is not dropped."""

    vault: Vault
    archives: Path
    names: list[str]
    """Of the months, YYYY-MM."""
    logins: dict[str, Login] = field(default_factory=dict)
    """By record id."""
    erased: set[str] = field(default_factory=set)
    dropped: set[int] = field(default_factory=set)

    def load(self) -> None:
        """Every month's logins, by one file, as `ingest` makes partitions for it."""
        logins = [
            Login(
                month,
                f"u-{month}-{row}",
                SHARED if row == 0 else f"203.0.{month}.{row}",
                f"device-{month:02}-{row}",
            )
            for month in range(MONTHS)
            for row in range(ROWS)
        ]
        lines = [
            event(
                user_id=each.user_id,
                ip=each.ip,
                device_id=each.device_id,
                create_date=f"{self.names[each.month]}-15",
            )
            for each in logins
        ]
        path = self.vault.home / "logins.jsonl"
        path.write_text("\n".join(lines), encoding="utf-8")
        done = self.vault.ok("ingest", "ingest", "--file", str(path)).json
        assert done["stored"] == MONTHS * ROWS
        by_user = {each.user_id: each for each in logins}
        for record_id, user_id in self.vault.sql("SELECT record_id, user_id FROM user_logins"):
            self.logins[str(record_id)] = by_user[user_id]

    def partitions(self, command: str, month: int, *args: str, code: int = 0) -> Result:
        """Run a command of `partitions` on a month, with no more of AWS than the owner has."""
        role = "re-encrypt" if command == "retoken" else "owner"
        yes = () if command == "archive" else ("--yes",)
        asked = (command, self.names[month], *args, *WHY, *yes)
        done = self.vault.run(role, "partitions", *asked)
        assert done.code == code, done.stderr
        return done

    def archive(self, *months: int) -> None:
        """Take them out, and leave their rows in an archive alone."""
        for month in months:
            self.partitions("detach", month)
            in_s3 = month % 2 == 1
            self.partitions("archive", month, "--to", BUCKET if in_s3 else str(self.archives))
            self.partitions("drop", month)

    def bring_back(self, *months: int) -> None:
        """Bring a month back from an archive or the detached table, with the tokens of the day."""
        states = self.states()
        for month in months:
            if states[month] == "archived":
                self.partitions("restore", month)
            self.partitions("retoken", month)
            self.partitions("attach", month)

    def states(self) -> list[str]:
        """The state of every month, the oldest first."""
        rows = self.vault.ok("admin", "partitions", "list").lines
        by_name = {row["partition"]: row["state"] for row in rows}
        return [by_name[table(name)] for name in self.names]

    def erase(self, *months: int) -> None:
        """The second login of each month. What an archive still has is said, with exit 75."""
        rows = self.vault.ok("admin", "partitions", "list").lines
        archives = {row["partition"] for row in rows if row["archive"]}
        for month in months:
            ((record_id, _),) = [each for each in self.of(month) if each[1].user_id.endswith("-1")]
            done = self.vault.run("erase", "erase", record_id, *WHY, "--yes")
            assert done.code == (75 if table(self.names[month]) in archives else 0), done.stderr
            self.erased.add(record_id)

    def of(self, *months: int) -> list[tuple[str, Login]]:
        """The records of these months."""
        return [(key, login) for key, login in self.logins.items() if login.month in months]

    def kept(self) -> dict[str, bytes]:
        """The manifest of every archive that there is, by the name of its month's partition."""
        found = {
            each.parent.name.rpartition("-")[0]: each.read_bytes()
            for each in self.archives.glob("*/manifest-00001.json")
        }
        s3 = self.vault.emulator.client("s3")
        bucket, _, prefix = BUCKET.removeprefix("s3://").partition("/")
        for each in s3.list_objects_v2(Bucket=bucket, Prefix=prefix).get("Contents", []):
            _, name, file = each["Key"].split("/")
            if file == "manifest-00001.json":
                body = s3.get_object(Bucket=bucket, Key=each["Key"])["Body"]
                found[name.rpartition("-")[0]] = body.read()
        return found

    def held(self) -> Counter[tuple[str, int]]:
        """Count the values that each key and generation holds, row by row, and in the manifests of archives."""
        counts: Counter[tuple[str, int]] = Counter()
        states = self.states()
        tables = ["vault_etl.user_logins"] + [
            f"{_DETACHED}.{table(name)}"
            for name, state in zip(self.names, states, strict=True)
            if state == "detached"
        ]
        for each in tables:
            for kind, id_, rows in self.vault.sql(_HELD.format(each)):
                counts[kind, id_] += rows
        manifests = self.kept()
        for name, state in zip(self.names, states, strict=True):
            if state == "archived":
                manifest = json.loads(manifests[table(name)])
                for key in manifest["keys"]:
                    counts[key["field"], key["key_id"]] += key["values"]
                for each in manifest["token_generations"]:
                    counts["token", each["generation"]] += each["rows"]
        return counts

    def counted(self) -> Counter[tuple[str, int]]:
        """The same by `keys list`, which reads the counts that are kept."""
        rows = self.vault.ok("audit", "keys", "list", "--each").lines
        return Counter(
            {
                ("token", row["generation"])
                if row["purpose"] == "token"
                else (row["field"], row["key_id"]): row["rows"]
                for row in rows
                if row["rows"]
            }
        )

    def revealed(self) -> dict[str, tuple[Any, Any]]:
        """Both values of every record that is in the table, by the real command."""
        ids = [key for key, login in self.logins.items() if login.month not in self.dropped]
        done = self.vault.ok("reveal", "reveal", *WHY, stdin="\n".join(ids))
        return {
            row["record_id"]: (row["fields"].get("ip"), row["fields"].get("device_id"))
            for row in done.lines
        }


def table(month: str) -> str:
    """The name of a month's partition."""
    return f"user_logins_{month.replace('-', '_')}"


def last_months(today: dt.date, number: int) -> list[str]:
    """The last months up to this one, the oldest first."""
    first = today.year * 12 + today.month - number
    return [f"{each // 12}-{each % 12 + 1:02}" for each in range(first, first + number)]
