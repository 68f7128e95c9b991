"""Data keys and token keys: the ring, leases, KMS, init, rewrap and destroy."""
