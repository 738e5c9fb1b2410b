"""Runs operations of the REST client that the `langwatch` package carries, made by LangWatch of its own API document.

They come as JSON on standard input: `[[token, "create_api_key", {"id": "..."}, {"name": "..."} or null], ...]`.
"""

import json
import os
import sys
from importlib import import_module
from pkgutil import iter_modules

from langwatch.generated.langwatch_rest_api_client import api, models
from langwatch.generated.langwatch_rest_api_client.client import Client


def operation(name: str) -> object:
    groups = (import_module(f"{api.__name__}.{group.name}") for group in iter_modules(api.__path__))
    group = next(group for group in groups if any(found.name == name for found in iter_modules(group.__path__)))
    return import_module(f"{group.__name__}.{name}")


def outcome(token: str, name: str, path: dict[str, str], body: dict[str, object] | None) -> dict[str, object]:
    client = Client(base_url=os.environ["LANGWATCH_ENDPOINT"], headers={"Authorization": f"Bearer {token}", "X-Auth-Token": token})
    if body is not None:
        path["body"] = getattr(models, "".join(map(str.title, name.split("_"))) + "Body").from_dict(body)
    answer = operation(name).sync_detailed(client=client, **path)
    read = None if answer.parsed is None else answer.parsed.to_dict()
    return {"status": int(answer.status_code), "sent": json.loads(answer.content), "read": read}


print("\n" + json.dumps([outcome(*call) for call in json.load(sys.stdin)], default=str))
