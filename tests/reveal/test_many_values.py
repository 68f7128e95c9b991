"""Many values at once: `find` of a list and of a range, and `tokens`, through the real command."""

from __future__ import annotations

import pytest

from tests.kit.entries import CODES
from tests.kit.many import GENEROUS, used
from tests.kit.processes import fails
from tests.kit.vault import Result, Vault

ASKED = ("--reason", "list 7", "--ticket", "T-7")
LAST = "SELECT action, decision, error_code, reason, fields::text FROM audit_log ORDER BY seq DESC LIMIT {}"


def find(vault: Vault, stdin: str, *args: str) -> Result:
    """Find these addresses."""
    return vault.run("reveal", "find", "--field", "ip", *ASKED, *args, stdin=stdin)


def tokens(vault: Vault, stdin: str | None, *args: str, field: str = "ip") -> Result:
    """Make the tokens of these values."""
    return vault.run("reveal", "tokens", "--field", field, *ASKED, *args, stdin=stdin)


@pytest.fixture
def stored(many: Vault) -> dict[str, str]:
    """Return the token of each address, found with an access of its own."""
    asked = {n: find(many, f"198.51.100.{n}").json for n in (1, 2)}
    return {f"198.51.100.{n}": answer["token"] for n, answer in asked.items()}


def test_a_range_is_one_entry_and_one_access_for_each_address(
    many: Vault, stored: dict[str, str]
) -> None:
    """The range is expanded and searched, and held addresses are listed; the entry has their number."""
    before, rows = used(many, "reveals"), many.count("audit_log")
    answer = find(many, "198.51.100.0/30\n198.51.100.2 - 198.51.100.3\n").json
    assert (answer["values"], answer["found"]) == (6, 3)
    held = [(one["number"], one["value"], one["count"], one["token"]) for one in answer["held"]]
    assert held == [
        (2, "198.51.100.1", 2, stored["198.51.100.1"]),
        (3, "198.51.100.2", 1, stored["198.51.100.2"]),
        (5, "198.51.100.2", 1, stored["198.51.100.2"]),
    ]
    assert {record["user_id"] for record in answer["held"][0]["records"]} == {"ann", "bob"}
    assert many.sql(LAST.format(2)) == [
        ("find", "done", None, "list 7", "{ip}"),
        ("find", "allowed", None, "6 values: list 7", "{ip}"),
    ]
    assert many.count("audit_log") == rows + 2
    assert used(many, "reveals") == before + 6
    table = find(many, "198.51.100.0/30", "--output", "table").stdout
    assert table.count("198.51.100.1 ") == 2
    assert "198.51.100.3" not in table


def test_a_range_counts_for_the_quota_before_the_search(
    limited: Vault, stored: dict[str, str]
) -> None:
    """With one access too few the database denies the range, on the record."""
    assert stored
    limited.set_policy({**GENEROUS, "reveals_an_hour": used(limited, "reveals") + 3})
    fails(find(limited, "198.51.100.0/30"), 77, "quota for one hour is used up")
    assert limited.sql(LAST.format(1)) == [
        ("find", "denied", "quota", "4 values: list 7", "{ip}"),
    ]
    assert find(limited, "198.51.100.0-198.51.100.2").json["found"] == 2


def test_a_reason_that_begins_like_a_number_of_values_is_a_reason(many: Vault) -> None:
    """One value or user may have any reason: the number of values comes before it, and the log verifies."""
    for asked, stdin in ((("--field", "ip"), "198.51.100.1"), (("--user-id", "ann"), None)):
        many.ok("reveal", "find", *asked, "--reason", "9 values: list 7", stdin=stdin)
        assert many.sql(LAST.format(2))[1][3] == "1 values: 9 values: list 7"
    many.ok("audit", "audit", "verify")


@pytest.mark.parametrize("text", ["10.0.0.0/15", "10.0.0.0-10.1.0.0", "2001:db8::/64"])
def test_a_range_is_bounded(many: Vault, text: str) -> None:
    """65,536 addresses at most; no entry, and the range is not repeated."""
    before = many.count("audit_log")
    result = find(many, text)
    fails(result, 2, "a range has more than 65,536 addresses")
    assert text not in result.stderr
    assert many.count("audit_log") == before


def test_a_wrong_line_of_a_list_is_named_by_its_number(many: Vault) -> None:
    """No value is searched for."""
    result = find(many, "198.51.100.1\n198.51.100.777\nhost.example.test\n")
    fails(result, 2, "the field ip cannot hold 2 of these values: number 2, 3")
    assert "777" not in result.stderr


def test_a_list_becomes_tokens_in_its_order(many: Vault, stored: dict[str, str]) -> None:
    """Tokens are printed one a line as analysts see them, with one entry for the count and a quota of their own."""
    looks, made = used(many, "reveals"), used(many, "tokens")
    result = tokens(many, "198.51.100.2\n198.51.100.1\n\n198.51.100.2\n")
    one, two = stored["198.51.100.1"], stored["198.51.100.2"]
    assert result.stdout == f"{two}\n{one}\n{two}\n"
    assert "3 tokens, generation 1, entry" in result.stderr
    assert many.sql(LAST.format(2))[1] == ("tokens", "allowed", None, "3 values: list 7", "{ip}")
    assert (used(many, "reveals"), used(many, "tokens")) == (looks, made + 3)
    joined = "SELECT count(*) FROM user_logins_masked WHERE masked_ip::text = ANY (%s)"
    assert many.sql(joined, result.stdout.split(), role="analyst") == [(3,)]


def test_a_column_of_csv_is_replaced(many: Vault, stored: dict[str, str]) -> None:
    """The other columns and the order stay; a byte order mark and quotes are CSV's, not the value's."""
    text = '\ufeffcase,"address",note\r\n1,198.51.100.1,"a, b"\r\n2,unknown,\r\n'
    result = tokens(many, text, "--column", "address", "--quiet")
    assert result.stdout == f'case,masked_ip,note\n1,{stored["198.51.100.1"]},"a, b"\n2,,\n'
    assert result.code == 65
    assert "the field ip cannot hold 1 of these values: row 3" in result.stderr
    assert "unknown" not in result.stderr
    (many.home / "list.csv").write_text("ip\n198.51.100.1\n")
    listed = tokens(many, None, "--file", "list.csv")
    assert listed.stdout == f"masked_ip\n{stored['198.51.100.1']}\n"


def test_the_quota_of_tokens_binds_in_the_database(limited: Vault) -> None:
    """More values than the quota has left are denied, on the record, and no token is printed."""
    limited.set_policy({**GENEROUS, "tokens_an_hour": used(limited, "tokens") + 2})
    fails(tokens(limited, "198.51.100.1\n" * 3), 77, "quota for one hour is used up")
    assert limited.sql(LAST.format(1))[0][:3] == ("tokens", "denied", "quota")
    assert tokens(limited, "198.51.100.1\n" * 2).code == 0
    fails(tokens(limited, "198.51.100.1\n"), 77, "quota for one hour is used up")


def test_tokens_are_under_the_policy(limited: Vault) -> None:
    """A field that the purpose may only see masked gets no tokens."""
    rule = {"fields": ["ip"], "masked_fields": ["device_id"]}
    limited.set_policy({**GENEROUS, "purposes": {"fraud": rule}})
    purpose = ("--purpose", "fraud")
    assert tokens(limited, "198.51.100.1", *purpose).code == 0
    fails(tokens(limited, "a plain one", *purpose, field="device_id"), 77, "masked only")
    fails(tokens(limited, "198.51.100.1"), 77, "does not know this purpose")


@pytest.mark.parametrize(
    ("stdin", "args", "words"),
    [
        ("198.51.100.1,x\n", (), "row 1 has 2 columns, and not 1"),
        ("a,b\n1,2\n", ("--column", "c"), "no such column"),
        ("", (), "there is no value"),
        ('"\n', (), "the list is not CSV"),
        ("198.51.100.1\n", ("198.51.100.1",), "must not be given on the command line"),
    ],
)
def test_malformed_lists_are_refused(
    many: Vault, stdin: str, args: tuple[str, ...], words: str
) -> None:
    """Exit 2 before there is an entry, and no value in the error."""
    before = many.count("audit_log")
    result = tokens(many, stdin, *args)
    fails(result, 2, words)
    assert "198" not in result.stderr
    assert many.count("audit_log") == before


def test_tokens_are_for_the_role_reveal_alone(many: Vault) -> None:
    """Any other login exits 77; what may append an entry has one that says so."""
    for role in ("analyst", "rotate"):
        result = many.run(role, "tokens", "-f", "ip", *ASKED, stdin="198.51.100.1")
        fails(result, 77)
    assert many.sql(LAST.format(1))[0][:3] == ("tokens", "denied", CODES["denied"])
