"""The image, its compose files and the Kubernetes example are held to the project: paths, packages, settings, port, user, probes, times."""

import json
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from keyhouse.settings import PREFIX, SECRETS, Settings
from tests.cli.commands import Server, environment
from tests.cli.conftest import StartServer

ROOT = Path(__file__).parent.parent.parent
PORT = Settings.model_fields["port"].default
STOPS_WITHIN_S = Settings.model_fields["shutdown_timeout_s"].default
USER = "10001"
COMPOSE = ("compose.yaml", "compose.postgres.yaml")
PAGE = (ROOT / "docs" / "containers.md").read_text(encoding="utf-8")


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def instructions(word: str) -> list[str]:
    """What follows each instruction of a kind in the Dockerfile, in order."""
    lines = [line for line in read("Dockerfile").splitlines() if not line.startswith("#")]
    joined = "\n".join(lines).replace("\\\n", "")
    return re.findall(rf"^{word} (.*)$", joined, re.MULTILINE)


def copied() -> list[str]:
    """Everything of the project that gets into the build."""
    return [source for line in instructions("COPY") if "--from" not in line for source in line.split()[:-1]]


def kubernetes() -> dict[str, Any]:
    """The objects of the example by their kind."""
    block = re.search(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    assert block is not None
    return {found["kind"]: found for found in yaml.safe_load_all(block[1])}


def pod() -> dict[str, Any]:
    found: dict[str, Any] = kubernetes()["Deployment"]["spec"]["template"]["spec"]
    return found


def test_nothing_gets_into_the_build_but_what_is_copied() -> None:
    first, *others = [line for line in read(".dockerignore").splitlines() if not line.startswith("#")]
    assert first == "*"
    assert sorted(line[1:] for line in others if line.startswith("!")) == sorted(copied())
    assert [name for name in copied() if not (ROOT / name).exists()] == []


def test_what_the_package_is_built_from_is_there() -> None:
    project = tomllib.loads(read("pyproject.toml"))
    packages = project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    named = [project["project"]["readme"], *project["project"]["license-files"], *packages]
    assert {name.partition("/")[0] for name in named} <= {*copied()}


def test_every_package_is_held_to_its_hash() -> None:
    installs = re.findall(r"pip\S* (?:--python \S+ )?install (.*?)(?: && |$)", "\n".join(instructions("RUN")), re.MULTILINE)
    from_lists = [line for line in installs if "dist/" not in line]
    assert sorted(line.split()[-1] for line in from_lists) == ["requirements-build.lock", "requirements-serve.lock"]
    assert all({"--require-hashes", "--no-deps"} <= {*line.split()} for line in from_lists)
    assert all("--no-deps" in line for line in installs)


def test_it_runs_a_command_of_this_project() -> None:
    (entry,), (arguments,) = instructions("ENTRYPOINT"), instructions("CMD")
    assert json.loads(entry) == ["tini", "--", "keyhouse"]
    assert "tini" in instructions("RUN")[0].split()
    assert "keyhouse" in tomllib.loads(read("pyproject.toml"))["project"]["scripts"]
    assert json.loads(arguments) == ["serve"]


@pytest.mark.parametrize("name", ["Dockerfile", *COMPOSE, "docs/containers.md"])
def test_every_variable_is_a_setting(name: str) -> None:
    known = {PREFIX + field.upper() for field in Settings.model_fields} | {f"{PREFIX}{field.upper()}_FILE" for field in SECRETS}
    named = set(re.findall(rf"{PREFIX}[A-Z_]+", read(name)))
    assert named
    assert named <= known


@pytest.mark.parametrize("name", ["Dockerfile", ".dockerignore", *COMPOSE])
def test_no_address_and_no_secret_is_named(name: str) -> None:
    assert "://" not in read(name)
    assert re.findall(r"PASSWORD: |PASSWORD=|sk-", read(name)) == []
    images = re.findall(r"^(?:FROM| +image:) (\S+)", read(name), re.MULTILINE)
    assert [image for image in images if "/" in image] == []


def test_secrets_of_compose_are_kept_out_of_the_repository() -> None:
    files = [secret["file"] for secret in yaml.safe_load(read("compose.postgres.yaml"))["secrets"].values()]
    assert files
    ignored = subprocess.run(["git", "check-ignore", "--no-index", *files], cwd=ROOT, capture_output=True, text=True, check=False)
    assert ignored.stdout.split() == files
    assert [file for file in files if f"> {file.removeprefix('./')}" not in PAGE] == []


def test_the_port_is_that_of_the_code() -> None:
    assert instructions("EXPOSE") == [str(PORT)]
    assert yaml.safe_load(read("compose.yaml"))["services"]["keyhouse"]["ports"] == [f"127.0.0.1:{PORT}:{PORT}"]
    (container,) = pod()["containers"]
    assert [port["containerPort"] for port in container["ports"]] == [PORT]


def test_the_user_is_a_number_and_everywhere_the_same() -> None:
    assert instructions("USER") == [f"{USER}:{USER}"]
    made = next(line for line in instructions("RUN") if "useradd" in line)
    assert re.findall(r"--[ug]id (\d+)", made) == [USER, USER]
    assert pod()["securityContext"]["fsGroup"] == int(USER)
    assert f"-o {USER} -g {USER}" in PAGE


def test_streams_may_end_before_a_container_is_killed() -> None:
    assert pod()["terminationGracePeriodSeconds"] > STOPS_WITHIN_S
    grace = yaml.safe_load(read("compose.yaml"))["services"]["keyhouse"]["stop_grace_period"]
    given = [grace.removesuffix("s"), *re.findall(r"--stop-timeout (\d+)", PAGE)]
    assert all(int(seconds) > STOPS_WITHIN_S for seconds in given)


def test_mounted_secrets_are_those_that_settings_name() -> None:
    (container,) = pod()["containers"]
    folder = container["volumeMounts"][0]["mountPath"]
    files = {variable["value"] for variable in container["env"] if variable["value"].startswith("/")}
    assert files == {f"{folder}/{name}" for name in kubernetes()["Secret"]["stringData"]}
    assert pod()["volumes"][0]["secret"]["secretName"] == kubernetes()["Secret"]["metadata"]["name"]


def _check_health(port: int) -> int:
    """Run the image's health check with this Python in the place of the image's; its exit code."""
    (check,) = instructions("HEALTHCHECK")
    python, *arguments = json.loads(check.partition(" CMD ")[2])
    assert python == "/opt/keyhouse/bin/python"
    # Where a proxy is set, it must not be asked for what runs in the same container.
    variables = environment(KEYHOUSE_PORT=str(port), HTTP_PROXY="http://127.0.0.1:9", http_proxy="http://127.0.0.1:9")
    return subprocess.run([sys.executable, *arguments], env=variables, capture_output=True, check=False).returncode


def _port(server: Server) -> int:
    return httpx.URL(server.address).port or 0


def test_health_and_probes_are_answered_by_a_server_and_by_nobody_else(tmp_path: Path, serving: StartServer) -> None:
    server = serving(tmp_path)
    assert _check_health(_port(server)) == 0
    (container,) = pod()["containers"]
    paths = [container[probe]["httpGet"]["path"] for probe in ("startupProbe", "livenessProbe", "readinessProbe")]
    assert paths == ["/healthz", "/healthz", "/readyz"]
    assert [httpx.get(server.address + path, trust_env=False).status_code for path in paths] == [200, 200, 200]
    assert server.stop() == 0
    assert _check_health(_port(server)) == 1


def test_commands_of_the_page_are_commands(tmp_path: Path) -> None:
    blocks = re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)
    assert len(blocks) > 3
    for block in blocks:
        assert subprocess.run(["bash", "-n"], input=block, text=True, cwd=tmp_path, check=False).returncode == 0
        assert shlex.split(block, comments=True)
