"""Kinds of personal values: checks, canonical forms, masks and placeholders. Pure, and exact to the byte."""
