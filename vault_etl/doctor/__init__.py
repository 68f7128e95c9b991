"""Checks of an installation, and its status."""
