#!/usr/bin/env bash
# Sets up the peers that bench/gateway.py compares with, each in a folder of its own, away from this project's environment:
# LiteLLM's proxy in a virtual environment, Portkey's gateway among its own node modules. Usage: bench/peers.sh [FOLDER]
set -euo pipefail

folder=${1:-$HOME/.cache/keyhouse-peers}
litellm_version=1.106.2
portkey_version=1.15.2

python3 -m venv "$folder/litellm"
"$folder/litellm/bin/pip" install --quiet "litellm[proxy]==$litellm_version"

if command -v npm >/dev/null; then
  mkdir -p "$folder/portkey"
  # With the newer @hono/node-server that it allows (seen with 1.19.17), Portkey answers every streamed request with a 500.
  cat >"$folder/portkey/package.json" <<END
{
  "private": true,
  "dependencies": { "@portkey-ai/gateway": "$portkey_version" },
  "overrides": { "@hono/node-server": "1.13.8" }
}
END
  npm install --prefix "$folder/portkey" --no-audit --no-fund
else
  echo "npm is not installed: Portkey's gateway is left out." >&2
fi
