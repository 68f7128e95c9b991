"""The personal values in the vault of these tests."""

from __future__ import annotations

ADDRESSES = ("198.51.100.77", "198.51.100.78", "198.51.100.79")


DEVICE = "canary-device-4711"
