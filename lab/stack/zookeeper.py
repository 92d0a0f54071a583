"""High availability for the embedded stack: one ZooKeeper, the server that Flink's distribution carries.

It knows where the JobManager's metadata lies; a JobManager that starts again takes its jobs up from there.
"""

from pathlib import Path

from lab.stack.process import is_free


def command(home: Path, folder: Path, port: int) -> list[str | Path]:
    """What bin/zookeeper.sh comes to, which reads its configuration in the folder of Flink's, not of a stack."""
    folder.mkdir(parents=True, exist_ok=True)
    configuration = {
        "clientPort": port,
        "clientPortAddress": "127.0.0.1",
        "dataDir": folder,
        "tickTime": 2_000,
        "initLimit": 10,
        "syncLimit": 5,
        "admin.enableServer": "false",  # a web server on port 8080
    }
    path = folder / "zoo.cfg"
    path.write_text("".join(f"{key}={value}\n" for key, value in configuration.items()), encoding="utf-8")
    script = home / "bin" / "flink-console.sh"
    return [script, "zookeeper", "--zkConfigFile", path, "--peerId", "1"]


def listens(port: int) -> bool:
    """Whether it takes connections; it speaks no HTTP."""
    return not is_free(port)


def options(folder: Path, port: int) -> dict[str, str]:
    """The Flink options of a stack in this folder, for its processes and its client alike."""
    return {
        "high-availability.type": "zookeeper",
        "high-availability.zookeeper.quorum": f"127.0.0.1:{port}",
        "high-availability.storageDir": f"file://{folder}/ha",
        "high-availability.cluster-id": f"/{folder.name}",
        "zookeeper.sasl.disable": "true",  # there is none; each connection would log an error
    }
