"""The upstream that ships with Keyhouse: what it prints is run as it is printed, and both clients talk to it through a house."""

import json
import re
import shlex
import signal
import subprocess
import sys
from contextlib import contextmanager

import anthropic
import httpx2
import pytest

from tests.conftest import NO_CERTIFICATES
from tests.gateway_road.conftest import openai_client


@contextmanager
def running_demo(**variables):
    """What a running demo upstream printed."""
    command = [sys.executable, "-m", "keyhouse", "demo-upstream", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={"PATH": "", **variables}) as running:
        assert running.stdout is not None
        printed = ""
        while '"stream"' not in printed:
            line = running.stdout.readline()
            assert line
            printed += line
        # It listens already; once it answers, it also hears signals.
        httpx2.get(f"{printed.split()[2]}/models", trust_env=False)
        try:
            yield printed
        finally:
            running.send_signal(signal.SIGTERM)
        assert running.wait(30) == 0


@pytest.fixture
def demo(sqlite_house):
    with running_demo(KEYHOUSE_ENDPOINT=sqlite_house.address) as printed:
        yield printed


def test_the_house_is_where_its_port_says():
    with running_demo(KEYHOUSE_PORT="5999") as printed:
        assert printed_curl(printed, "key", "-X PUT")[3] == "http://127.0.0.1:5999/api/model-providers/custom"


def printed_curl(text: str, key: str, method: str) -> list[str]:
    """The arguments of a printed curl command."""
    found = next(match for match in re.finditer(r"^curl (?:.*\\\n.*|.*)$", text, re.MULTILINE) if method in match[0])
    return shlex.split(found[0].replace("\\\n", " ").replace("$KEYHOUSE_API_KEY", key))


def test_what_is_printed_takes_a_stranger_to_a_streamed_answer(demo, sqlite_house):
    key = sqlite_house.keys.project_key
    put = printed_curl(demo, key, "-X PUT")
    stored = sqlite_house.client().put(put[3].removeprefix(sqlite_house.address), json=json.loads(put[put.index("-d") + 1]))
    assert stored.status_code == 200
    assert put[3].startswith(sqlite_house.address)
    ask = printed_curl(demo, key, "-N")
    body = json.loads(ask[ask.index("-d") + 1])
    with openai_client(sqlite_house.address, key) as client:
        chunks = list(client.chat.completions.create(**body))
        whole = client.chat.completions.create(model="demo", messages=body["messages"])
        embedded = client.embeddings.create(model="demo-embedding", input=["a", "b"])
        counted = list(client.chat.completions.create(**body, stream_options={"include_usage": True}))
        response = client.responses.create(model="demo", input="Hello")
        with client.responses.stream(
            model="demo", input=[{"role": "user", "content": [{"type": "input_text", "text": "Hello"}]}]
        ) as stream:
            text = "".join(event.delta for event in stream if event.type == "response.output_text.delta")
            streamed = stream.get_final_response()
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == "This is the demo upstream. You said: Hello"
    assert whole.choices[0].message.content == "This is the demo upstream. You said: Hello"
    assert response.output_text == streamed.output_text == text == "This is the demo upstream. You said: Hello"
    assert (response.status, response.usage.output_tokens, streamed.usage.output_tokens) == ("completed", 8, 8)
    assert len(embedded.data) == 2
    assert counted[-1].usage.completion_tokens == 8


def test_anthropics_client_talks_to_it_too(demo, sqlite_house):
    address = re.search(r"http://127\.0\.0\.1:\d+", demo)
    assert address is not None
    keys = {"ANTHROPIC_BASE_URL": address[0], "ANTHROPIC_API_KEY": "sk-demo-key-of-the-demo-upstream"}
    assert sqlite_house.client().put("/api/model-providers/anthropic", json={"enabled": True, "customKeys": keys}).status_code == 200
    transport = httpx2.Client(trust_env=False, verify=NO_CERTIFICATES)
    with anthropic.Anthropic(base_url=sqlite_house.address, api_key=sqlite_house.keys.project_key, http_client=transport) as client:
        whole = client.messages.create(model="claude-x", max_tokens=9, messages=[{"role": "user", "content": "Hi"}])
        with client.messages.stream(model="claude-x", max_tokens=9, messages=[{"role": "user", "content": "Hi"}]) as stream:
            streamed = stream.get_final_message()
    assert whole.content[0].text == streamed.content[0].text == "This is the demo upstream. You said: Hi"


def test_without_its_key_it_answers_nobody(demo):
    address = re.search(r"http://127\.0\.0\.1:\d+", demo)
    assert address is not None
    with httpx2.Client(trust_env=False, verify=NO_CERTIFICATES) as client:
        assert client.get(f"{address[0]}/v1/models").status_code == 401
        headers = {"authorization": "Bearer sk-demo-key-of-the-demo-upstream"}
        assert [model["id"] for model in client.get(f"{address[0]}/v1/models", headers=headers).json()["data"]] == [
            "demo",
            "demo-embedding",
        ]
        for no_request in (b"[]", b'{"model": "demo", "messages": "\xff"}'):
            assert client.post(f"{address[0]}/v1/chat/completions", headers=headers, content=no_request).status_code == 400
        assert client.get(f"{address[0]}/v1/nothing", headers=headers).status_code == 404
