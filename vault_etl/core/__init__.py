"""Pure rules: formats, keys, tokens, records. No I/O, no clock, no environment, no logging."""
