# Targets: `flink` (default) is the image of JobManager, TaskManager and submission, `intake` and `console` the same
# with other commands; `kinesis` and `dynamodb` are the emulators of the local stack. linux/amd64 only: pemja and DynamoDB Local's
# SQLite come for no other.

# --- Jars: the three profiles of pom.xml, as bootstrap.sh fetches them
FROM maven:3.9-eclipse-temurin-17 AS jars
WORKDIR /opt/amplitude
COPY pom.xml .
RUN for profile in flink flink-s3 dynamodb-local; do \
        mvn -q -B -ntp -P "$profile" dependency:copy-dependencies || exit 1; \
    done

# --- Python 3.11 and Java 17 of Debian 12, what bootstrap.sh asks apt for
FROM debian:bookworm-slim AS base
RUN apt-get update -qq \
    && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
        ca-certificates openjdk-17-jre-headless python3 \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /opt/amplitude

# --- The Python environment, FLINK_HOME and job.zip; the compiler is for packages that have no wheel
FROM base AS build
ARG UV_VERSION=0.13.9
RUN apt-get update -qq \
    && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
        gcc libc6-dev python3-dev python3-venv \
    && rm -rf /var/lib/apt/lists/* \
    && python3 -m venv /opt/uv \
    && /opt/uv/bin/pip install -q --no-cache-dir --disable-pip-version-check "uv==$UV_VERSION" \
    && /opt/uv/bin/uv venv -q --python /usr/bin/python3.11 .venv
COPY pyproject.toml requirements.lock ./
# The versions of the lock without its development tools.
RUN /opt/uv/bin/uv pip install -q --no-cache --compile-bytecode --python .venv/bin/python \
        -c requirements.lock -r pyproject.toml
COPY --from=jars /opt/amplitude/jars/flink jars/flink
COPY --from=jars /opt/amplitude/jars/flink-s3 jars/flink-s3
COPY . .
RUN rm -rf emulators \
    && /opt/uv/bin/uv pip install -q --no-cache --python .venv/bin/python --no-deps --no-build-isolation -e . \
    && .venv/bin/python -m ops.release.flink_home \
    && .venv/bin/python -m ops.release.job_zip

# --- Kinesis emulator; its certificate, server.json, is looked up in the working directory
FROM node:24-bookworm-slim AS kinesis
WORKDIR /opt/amplitude/emulators
COPY emulators/package.json emulators/package-lock.json ./
RUN npm ci --silent --no-audit --no-fund
WORKDIR /opt/amplitude/emulators/node_modules/kinesis-local
USER node
CMD ["node", "main.js"]

# --- DynamoDB Local
FROM base AS dynamodb
COPY --from=jars /opt/amplitude/jars/dynamodb-local jars/dynamodb-local
WORKDIR /tmp
USER nobody
CMD ["java", "-Xmx256m", "-Djava.library.path=/opt/amplitude/jars/dynamodb-local", \
     "-cp", "/opt/amplitude/jars/dynamodb-local/*", \
     "software.amazon.dynamodb.services.local.main.ServerRunner", \
     "-port", "8000", "-inMemory", "-sharedDb", "-disableTelemetry"]

# --- The product. build/flink links into .venv, jars and flink-conf, so the paths are those of the build stage.
FROM base AS product
COPY --from=build /opt/amplitude /opt/amplitude
# /srv/amplitude: the catalog of a single host; a volume mounted there takes over its owner
RUN useradd --system --uid 9999 --home-dir /opt/amplitude/var --shell /usr/sbin/nologin flink \
    && mkdir -p var/log var/pids /srv/amplitude \
    && chown -R flink:flink var /srv/amplitude
# MALLOC_ARENA_MAX: glibc's arenas under RocksDB fragment, see docs/operations.md
ENV MALLOC_ARENA_MAX=1 \
    FLINK_CONF_DIR=/opt/amplitude/flink-conf \
    FLINK_LOG_DIR=/opt/amplitude/var/log \
    FLINK_PID_DIR=/opt/amplitude/var/pids \
    HOME=/opt/amplitude/var
USER 9999

FROM product AS intake
EXPOSE 8090
CMD [".venv/bin/amplitude-bridge", "intake", "--config", "flink-conf/job.compose.toml"]

FROM product AS console
EXPOSE 8070
CMD [".venv/bin/amplitude-bridge", "console", "--config", "flink-conf/job.compose.toml", "--flink", "http://jobmanager:8081"]

FROM product AS flink
EXPOSE 6123 8081
CMD ["build/flink/bin/jobmanager.sh", "start-foreground"]
