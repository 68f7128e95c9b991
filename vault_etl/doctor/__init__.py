"""Checks of an installation (`doctor`), and the state of its work (`status`)."""
