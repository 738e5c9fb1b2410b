# The image of a server: docs/containers.md says how to run it, docs/decisions/0023-a-container-image.md why it is so.

FROM debian:trixie-slim AS python
RUN apt-get update \
 && apt-get upgrade --yes \
 && apt-get install --yes --no-install-recommends ca-certificates python3 tini \
 && rm -rf /var/lib/apt/lists/* /var/cache/apt /var/log/apt /var/log/dpkg.log

FROM python AS build
RUN apt-get update && apt-get install --yes --no-install-recommends python3-venv
WORKDIR /build
COPY requirements-build.lock requirements-serve.lock ./
RUN python3 -m venv tools && tools/bin/pip install --no-cache-dir --require-hashes --no-deps --only-binary :all: -r requirements-build.lock
RUN python3 -m venv --without-pip /opt/keyhouse \
 && tools/bin/pip --python /opt/keyhouse/bin/python install --no-cache-dir --require-hashes --no-deps --only-binary :all: -r requirements-serve.lock
COPY pyproject.toml README.md LICENSE ./
COPY src src
RUN tools/bin/pip wheel --no-cache-dir --no-deps --no-build-isolation --wheel-dir dist . \
 && tools/bin/pip --python /opt/keyhouse/bin/python install --no-cache-dir --no-deps dist/*.whl

FROM python
LABEL org.opencontainers.image.title="Keyhouse" \
      org.opencontainers.image.description="One house for a team's LLM provider credentials" \
      org.opencontainers.image.licenses="Apache-2.0"
RUN groupadd --gid 10001 keyhouse \
 && useradd --uid 10001 --gid keyhouse --no-create-home --home-dir /data --shell /usr/sbin/nologin keyhouse \
 && install --directory --owner keyhouse --group keyhouse --mode 700 /data
COPY --from=build /opt/keyhouse /opt/keyhouse
ENV PATH=/opt/keyhouse/bin:$PATH \
    KEYHOUSE_DATA_DIR=/data \
    KEYHOUSE_HOST=0.0.0.0
# A number, so that Kubernetes can see that it is not root.
USER 10001:10001
VOLUME /data
EXPOSE 5560
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s CMD ["/opt/keyhouse/bin/python", "-I", "-c", "\
import http.client, os; \
connection = http.client.HTTPConnection('127.0.0.1', int(os.environ.get('KEYHOUSE_PORT') or 5560), timeout=4); \
connection.request('GET', '/healthz'); \
raise SystemExit(connection.getresponse().status != 200)"]
# A process of id 1 misses signals that it does not wait for yet, and would be sent SIGKILL in the end.
ENTRYPOINT ["tini", "--", "keyhouse"]
CMD ["serve"]
