"""Searches by a derived form take a whole form, or a value that has it."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vault_etl.base.pii import Pii
from vault_etl.kinds.email_address import EMAIL
from vault_etl.kinds.ip import IP
from vault_etl.kinds.kind import Kind


def searched(kind: Kind, text: str) -> bytes:
    """The derived form that a search for this text has tokens of."""
    (form,) = kind.derived
    return form.canonical(kind.held(Pii.of_text(text), form).expose().decode())


SAME = {
    "an address": (IP, "198.51.100.7", "198.51.100.0/24"),
    "another address": (IP, "198.51.100.255", "198.51.100.0/24"),
    "an address of the network, with its length": (IP, "198.51.100.7/24", "198.51.100.0/24"),
    "spaces": (IP, " 198.51.100.0/24 ", "198.51.100.0/24"),
    "a mapped address": (IP, "::ffff:198.51.100.7", "198.51.100.0/24"),
    "an address of version 6": (IP, "2001:db8:1:ffff::7", "2001:db8:1::/48"),
    "another spelling": (IP, "2001:0DB8:0001::/48", "2001:db8:1::/48"),
    "a mailbox": (EMAIL, "Jo@Example.com", "example.com"),
    "another case": (EMAIL, "EXAMPLE.COM", "example.com"),
    "a domain in another script": (EMAIL, "bücher.example", "xn--bcher-kva.example"),
    "a long domain": (EMAIL, f"a@{'b.' * 125}cc", f"{'b.' * 125}cc"),
}


@pytest.mark.parametrize(("kind", "text", "form"), SAME.values(), ids=SAME)
def test_texts_that_name_one_form(kind: Kind, text: str, form: str) -> None:
    """A search for a value, and for the whole form, are one search."""
    assert searched(kind, text) == searched(kind, form)


OTHER = {
    "a shorter network": (IP, "198.51.0.0/16"),
    "a longer network": (IP, "198.51.100.0/25"),
    "the length of the other version": (IP, "198.51.100.0/48"),
    "and the other way": (IP, "2001:db8::/24"),
    "a mapped network": (IP, "::ffff:198.51.100.0/48"),
    "no length": (IP, "198.51.100.0/"),
    "a netmask": (IP, "198.51.100.0/255.255.255.0"),
    "a range": (IP, "198.51.100.0-198.51.100.9"),
    "no address": (IP, "example.com"),
    "no local part": (EMAIL, "@example.com"),
    "two signs": (EMAIL, "a@b@example.com"),
    "a list": (EMAIL, "example.com, example.org"),
    "no text": (EMAIL, ""),
}


@pytest.mark.parametrize(("kind", "text"), OTHER.values(), ids=OTHER)
def test_any_other_text_is_refused_without_it(kind: Kind, text: str) -> None:
    """No record could have a token of it."""
    with pytest.raises(ValueError, match=f"not a value of the kind {kind.name}"):
        searched(kind, text)


@given(st.ip_addresses())
def test_an_address_has_the_network_that_python_computes(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address,
) -> None:
    """The first address of the /24 or the /48, of an address that is not mapped."""
    if address.version == 6 and address.ipv4_mapped is not None:
        return
    length = 24 if address.version == 4 else 48
    network = ipaddress.ip_network((address, length), strict=False)
    assert searched(IP, str(address)) == searched(IP, str(network))
    assert searched(IP, str(address)) == IP.canonical(str(network.network_address))
