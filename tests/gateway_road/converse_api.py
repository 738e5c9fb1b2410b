"""An upstream that behaves as Converse is documented, as far as the tests ask.

https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html and ..._ConverseStream.html (2026-11-23).
"""

import json
import struct
import zlib

from tests.gateway.fault_upstream import ReceivedRequest, chunked_response
from tests.gateway_road.upstreams import json_answer

USAGE = {"inputTokens": 7, "outputTokens": 3, "totalTokens": 10}


def answer(request: ReceivedRequest) -> bytes:
    """What the API answers."""
    path = request.line.split(b" ")[1].decode()
    if "error" in path:
        return json_answer({"message": "Slow down."}, b"429 Too Many", b"x-amzn-errortype: ThrottlingException:http://internal\r\n")
    said = f"You said: {json.loads(request.body)['messages'][-1]['content'][0]['text']}"
    if path.endswith("/converse"):
        message = {"role": "assistant", "content": [{"text": said}]}
        return json_answer({"output": {"message": message}, "stopReason": "end_turn", "usage": USAGE, "metrics": {"latencyMs": 5}})
    events = [
        ("messageStart", {"role": "assistant"}),
        *(("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": piece}}) for piece in said.partition(":")),
        ("contentBlockStop", {"contentBlockIndex": 0}),
        ("messageStop", {"stopReason": "end_turn"}),
        ("metadata", {"usage": USAGE, "metrics": {"latencyMs": 5}}),
    ]
    frames = b"".join(frame(name, data) for name, data in events)
    whole = chunked_response(frames[:10], frames[10:37], frames[37:])
    return whole.replace(b"200 OK\r\n", b"200 OK\r\ncontent-type: application/vnd.amazon.eventstream\r\n", 1)


def frame(name: str, data: dict[str, object]) -> bytes:
    """One message of an AWS event stream."""
    headers = b"".join(_header(key, value) for key, value in ((":event-type", name), (":message-type", "event")))
    payload = json.dumps(data).encode()
    prelude = struct.pack(">II", 16 + len(headers) + len(payload), len(headers))
    message = prelude + struct.pack(">I", zlib.crc32(prelude)) + headers + payload
    return message + struct.pack(">I", zlib.crc32(message))


def _header(name: str, value: str) -> bytes:
    return struct.pack(">B", len(name)) + name.encode() + b"\x07" + struct.pack(">H", len(value)) + value.encode()
