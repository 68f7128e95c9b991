"""The library: a vault in a program of its user, with the acts of the commands (docs/library.md)."""
