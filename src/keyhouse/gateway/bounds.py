"""How much of a connection to an upstream comes or goes at once. In bytes, but for the digits of a length."""

# Most that may come without a byte of body: heads (1xx ones together with the last), chunk extensions, trailers.
MAX_HEAD_BYTES = 64 * 1024
# Of a body's length: the parser passes over any number of zeros, and `int` refuses thousands.
MAX_LENGTH_DIGITS = 20
# Up to here a body goes out in one write with its head; a larger one, which is never copied whole, in pieces, each when the last was taken.
SMALL_BODY_BYTES = 64 * 1024
PIECE_BYTES = 256 * 1024
# Where one read brought so much of an answer, there is more: others come to their turn before it is read on. uvloop would read 32 times.
LARGE_READ_BYTES = 128 * 1024
