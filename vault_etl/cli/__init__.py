"""The command line: each command parses its options, calls one service, and prints the result."""
