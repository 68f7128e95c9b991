"""One use case a file. Knows only the core and the ports."""
