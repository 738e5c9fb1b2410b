"""A worker that is stopped for a while, as a sleeping machine stops it, serves nothing that ended meanwhile."""

import os
import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx

from tests.cli.conftest import StartServer
from tests.conftest import NO_CERTIFICATES, PostgresServer

STOPPED_S = 1.25
"""Longer than what counts as a gap."""
KEYS = 5


def client(address: str, key: str) -> httpx.Client:
    return httpx.Client(base_url=address, headers={"Authorization": f"Bearer {key}"}, timeout=60, trust_env=False, verify=NO_CERTIFICATES)


def test_a_key_that_was_revoked_meanwhile_is_refused(tmp_path: Path, serving: StartServer, postgres_server: PostgresServer) -> None:
    url = postgres_server.empty_database()
    first = serving(tmp_path, "--database-url", url)
    stopped = serving(tmp_path, "--database-url", url)
    with client(first.address, first.admin_key) as admin, ThreadPoolExecutor(KEYS) as threads:
        project = admin.get("/api/projects").json()["data"][0]["id"]
        wanted = {"keyType": "service", "name": "Key", "projectIds": [project]}
        made = [admin.post("/api/api-keys", json=wanted).json() for _ in range(KEYS)]
        callers = [client(stopped.address, each["token"]) for each in made]
        assert [caller.get("/v1/models").status_code for caller in callers] == [200] * KEYS
        os.kill(stopped.process.pid, signal.SIGSTOP)
        answers = [threads.submit(caller.get, "/v1/models") for caller in callers]
        for each in made:
            assert admin.delete(f"/api/api-keys/{each['apiKey']['id']}").status_code == 200
        threading.Event().wait(STOPPED_S)
        os.kill(stopped.process.pid, signal.SIGCONT)
        assert [answer.result().status_code for answer in answers] == [401] * KEYS
        for caller in callers:
            caller.close()
