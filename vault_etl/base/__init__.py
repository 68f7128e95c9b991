"""Errors, personal values, logs: what every slice may use, and which uses no slice."""
