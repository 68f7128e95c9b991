"""Rotations of data keys and tokens, while the loaders run."""
