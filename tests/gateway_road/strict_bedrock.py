"""An upstream that refuses what models of Bedrock are known to refuse in Converse, and otherwise calls a tool once and then answers.

https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html,
https://docs.aws.amazon.com/bedrock/latest/userguide/conversation-inference-supported-models-features.html,
https://docs.aws.amazon.com/nova/latest/userguide/tool-use-definition.html,
https://github.com/strands-agents/harness-sdk/issues/1223, /1241 and /644, https://github.com/earendil-works/pi/issues/3739,
https://github.com/anomalyco/opencode/issues/49443, https://github.com/BerriAI/litellm/pull/42470,
https://github.com/aws-samples/sample-spec-driven-presentation-maker/pull/352 (2026-11-30).
"""

import itertools
import json
import re
from typing import Any

from tests.gateway.fault_upstream import ReceivedRequest, chunked_response
from tests.gateway_road.converse_api import USAGE, frame
from tests.gateway_road.upstreams import json_answer

SAID, ANSWERED = "I look. \N{GRINNING FACE}", "It is sunny."


def answer(request: ReceivedRequest) -> bytes:
    """What Bedrock answers."""
    path = request.line.split(b" ")[1].decode()
    model, _, way = path.removeprefix("/model/").partition("/")
    body = json.loads(request.body)
    wrong = next(refusals(model, body, way), None)
    if wrong is not None:
        return json_answer({"message": wrong}, b"400 Bad Request", b"x-amzn-errortype: ValidationException\r\n")
    blocks, reason = said(model, body)
    if way == "converse":
        message = {"role": "assistant", "content": blocks}
        return json_answer({"output": {"message": message}, "stopReason": reason, "usage": USAGE, "metrics": {"latencyMs": 5}})
    return streamed(blocks, reason)


def said(model: str, body: dict[str, Any]) -> tuple[list[dict[str, Any]], str]:
    """Words and two calls where a tool may be called and none was; else words. One says another reason than it should."""
    has_called = any("toolResult" in block for message in body["messages"] for block in message["content"])
    if has_called or "toolConfig" not in body:
        return [{"text": ANSWERED}], "end_turn"
    name = body["toolConfig"]["tools"][0]["toolSpec"]["name"]
    calls = [
        {"toolUse": {"toolUseId": f"tooluse_{n}", "name": name, "input": {"city": city}}} for n, city in enumerate(("Oslo", "Ålesund"))
    ]
    return [{"text": SAID}, *calls], "end_turn" if "qwen" in model else "tool_use"


def refusals(model: str, body: dict[str, Any], way: str) -> Any:
    """What is wrong with a request."""
    messages, config = body["messages"], body.get("toolConfig")
    roles = [message["role"] for message in messages]
    if roles[0] != "user" or any(one == other for one, other in itertools.pairwise(roles)):
        yield "A conversation must alternate between user and assistant roles."
    yield from (wrong for number, message in enumerate(messages) for wrong in of_message(model, number, message))
    if way == "converse-stream" and config and re.search(r"meta\.llama|pixtral", model):
        yield "This model doesn't support tool use in streaming mode."
    for name, value in body.get("inferenceConfig", {}).items() if re.search("kimi-k3|grok", model) else ():
        if name in ("temperature", "topP"):
            yield f"This model doesn't support the {name} field. Remove {name} and try again."
        if name == "maxTokens" and value < 16:
            yield f"Invalid 'max_output_tokens': integer below minimum value. Expected a value >= 16, but got {value} instead."
    choice = (config or {}).get("toolChoice", {})
    for kind in choice.keys() - {"auto"}:
        if "meta.llama" in model or (kind == "tool" and not re.search("claude|nova", model)):
            yield f"This model doesn't support the toolConfig.toolChoice.{kind} field. Remove toolConfig.toolChoice.{kind} and try again."
    for number, each in enumerate((config or {}).get("tools", ())):
        schema = each["toolSpec"]["inputSchema"]["json"]
        for extra in schema.keys() - {"type", "properties", "required"} if "nova" in model else ():
            yield f"Malformed input request: #/toolConfig/tools/{number}/toolSpec/inputSchema/json: extraneous key [{extra}]"


def of_message(model: str, number: int, message: dict[str, Any]) -> Any:
    """What is wrong with a message."""
    kinds = [next(iter(block)) for block in message["content"]]
    words = {"text", "image", "document"} & set(kinds)
    if re.search(r"meta\.llama|mistral\.", model):
        for kind, told in (("toolUse", "tool use"), ("toolResult", "tool result")):
            if words and kind in kinds:
                yield f"messages.{number}.content: Conversation blocks and {told} blocks cannot be provided in the same turn."
    for place, block in enumerate(message["content"]):
        if not block.get("text", "x").strip():
            yield f"messages.{number}.content.{place}: The text field in the ContentBlock object is blank."
        if "reasoningContent" in block and "claude" not in model:
            yield "This model doesn't support the reasoningContent field."
        if "cachePoint" in block and ("nova" not in model or kinds[place - 1] != "text"):
            yield f"Malformed input request: #/messages/{number}/content/{place}: extraneous key [cachePoint] is not permitted"
        if block.get("toolResult", {}).get("status") and not re.search("claude|nova", model):
            yield "This model doesn't support the status field."
        if any("image" in inner for inner in block.get("toolResult", {}).get("content", ())) and not re.search("claude|nova|llama4", model):
            yield "This model doesn't support the image field for user messages. Remove image and try again."


def streamed(blocks: list[dict[str, Any]], reason: str) -> bytes:
    """The same as frames, cut anywhere: inside a character and inside a frame's head too."""
    events: list[tuple[str, dict[str, Any]]] = [("messageStart", {"role": "assistant"})]
    for index, block in enumerate(blocks):
        call, place = block.get("toolUse"), {"contentBlockIndex": index}
        if call is not None:
            events.append(("contentBlockStart", {**place, "start": {"toolUse": {name: call[name] for name in ("toolUseId", "name")}}}))
        text = json.dumps(call["input"], ensure_ascii=False) if call is not None else block["text"]
        deltas = ({"toolUse": {"input": letter}} if call is not None else {"text": letter} for letter in text)
        events += [("contentBlockDelta", {**place, "delta": delta}) for delta in deltas]
        events.append(("contentBlockStop", place))
    events += [("messageStop", {"stopReason": reason}), ("metadata", {"usage": USAGE, "metrics": {"latencyMs": 5}})]
    whole = b"".join(frame(name, data) for name, data in events)
    pieces = [whole[at : at + 97] for at in range(0, len(whole), 97)]
    return chunked_response(*pieces).replace(b"200 OK\r\n", b"200 OK\r\ncontent-type: application/vnd.amazon.eventstream\r\n", 1)
