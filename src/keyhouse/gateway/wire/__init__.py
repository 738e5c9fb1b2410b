"""Wire formats: decoded JSON in, decoded JSON out. No I/O, no HTTP client, no provider's name."""
