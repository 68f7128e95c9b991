"""The command line: each command parses its options, calls one service, and prints the result."""

import gc

MADE_BETWEEN_SEARCHES = 200_000
"""Objects that are made between two searches for garbage: more than a short command makes. Modules make 100,000 that
stay: to search at each 700 takes an eighth of the imports. So it is set before the first of them."""

gc.set_threshold(MADE_BETWEEN_SEARCHES)
