"""Paths: one value each, and one shortest spelling."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vault_etl.declaration.json_path import MAX_NAMES, JsonPath

names = st.text(
    st.characters(exclude_characters="'\\", exclude_categories=["Cc", "Cs"]),
    min_size=1,
    max_size=12,
)


@given(st.lists(names, min_size=1, max_size=MAX_NAMES))
def test_a_path_is_its_spelling(parts: list[str]) -> None:
    """The spelling of a path parses to the same names."""
    path = JsonPath(tuple(parts))
    assert JsonPath.parse(str(path)) == path


def test_spellings_of_one_path_are_equal() -> None:
    """A quoted name is the same name, and the shortest spelling is shown."""
    assert JsonPath.parse("$['client'].ip") == JsonPath.parse("$.client['ip']")
    assert str(JsonPath.parse("$['client']['ip-v4']")) == "$.client['ip-v4']"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "$",
        "ip",
        "$ip",
        "$.",
        "$..ip",
        "$.client.",
        "$.client-ip",
        "$.a b",
        "$.ips[0]",
        "$.ips[*]",
        "$[]",
        "$['']",
        "$['a'b']",
        "$['a\\n']",
        "$['a\n']",
        '$["ip"]',
        "$.1a",
        "$.ip\n",
        " $.ip",
        "$" + ".a" * (MAX_NAMES + 1),
    ],
)
def test_every_other_text_is_refused(text: str) -> None:
    """A path with a filter, an index, a wildcard or without a name is not a path to one value."""
    with pytest.raises(ValueError, match=r"^not a path to one value$"):
        JsonPath.parse(text)


def test_the_value_at_a_path() -> None:
    """The value is found below objects alone, and a missing one is None."""
    path = JsonPath.parse("$.client.ip")
    assert path.find({"client": {"ip": "192.0.2.1"}}) == "192.0.2.1"
    for message in ({}, {"client": None}, {"client": "ip"}, {"client": [{"ip": 1}]}, {"ip": 1}):
        assert path.find(message) is None


def test_a_path_is_within_itself_and_what_it_is_a_part_of() -> None:
    """`$.client` holds `$.client.ip`, and not `$.client_ip`."""
    client = JsonPath.parse("$.client")
    assert client.is_within(client)
    assert JsonPath.parse("$.client.ip").is_within(client)
    assert not client.is_within(JsonPath.parse("$.client.ip"))
    assert not JsonPath.parse("$.client_ip").is_within(client)
