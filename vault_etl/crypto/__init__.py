"""Ciphertexts, tokens, padding, record ids, key types: pure, and exact to the byte."""
