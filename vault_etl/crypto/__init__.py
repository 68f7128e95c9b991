"""Ciphertexts, tokens, padding, canonical forms, record ids, key types: pure, and exact to the byte."""
