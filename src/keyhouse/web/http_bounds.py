"""What a caller may send over a connection, and how long it may take for that. Times are in seconds."""

MAX_HEAD_BYTES = 64 * 1024
"""Of a request's head; and of what may come without a byte of body: chunk extensions, trailers."""
HEAD_TIMEOUT_S = 10.0
BODY_IDLE_TIMEOUT_S = 60.0
KEEP_ALIVE_S = 75
"""Longer than load balancers keep an unused connection, so that it is theirs to close."""
FIRST_REQUEST_S = 5.0
"""How long after it connected a caller may still send its first request to a server that stops."""
LINGER_S = 2.0
MAX_LINGER_BYTES = 256 * 1024
"""How long, and of how much, a connection that is closed reads on: what lies unread makes the system throw away our last answer."""
MAX_UNREAD_BYTES = 64 * 1024 * 1024
"""How much of a body may come that nobody wants, its request being answered."""
HIGH_WATER_BYTES = 64 * 1024
"""So much of a body waits for its reader; then the connection is read no further."""
