"""Messages and months of a vault of two events."""

from __future__ import annotations

import datetime as dt
import json

HOME, OFFICE = "198.51.100.7", "203.0.113.9"
WHY = ("--reason", "test")
MONTH = dt.datetime.now(dt.UTC).strftime("%Y-%m")
ORDERS, SIGN_UPS = (f"{event}_{MONTH.replace('-', '_')}" for event in ("orders", "sign_ups"))


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
