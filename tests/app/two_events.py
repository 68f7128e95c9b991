"""Messages and months of a vault of two events."""

from __future__ import annotations

import json

HOME, OFFICE = "198.51.100.7", "203.0.113.9"
WHY = ("--reason", "test")


def sign_up(person: str, home: str, office: str | None = None) -> str:
    """A message of the event `sign_ups`."""
    event = {
        "type": "sign-up",
        "client": {"user": person, "ip": home},
        "is_new": True,
        "card": f"card of {person}",
        "price": 7.5,
    }
    return json.dumps({**event, **({"office": {"ip-address": office}} if office else {})})


def order(buyer: str, ip: str | None = HOME) -> str:
    """A message of the event `orders`."""
    return json.dumps({"type": "order", "buyer": buyer, **({"ip": ip} if ip else {})})
