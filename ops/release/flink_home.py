"""Builds build/flink, a Flink distribution out of the pip package, the connector jars and our flink-conf/.

PyFlink ships a whole Flink, but its start scripts expect one folder that also holds the connectors: Iceberg
wants Hadoop's classes from the class loader of lib/, JDBC drivers are found nowhere else, and `flink run`
takes the flink-python jar from a real folder opt/. The image runs this same module.
"""

import fcntl
import shutil
import sys
from importlib.util import find_spec
from pathlib import Path

from errors import OneLineError

ROOT = Path(__file__).resolve().parents[2]
COPIED = ("bin", "plugins", "opt")
LOGS = "log"
"""Where the scripts that start a cluster write, unless FLINK_LOG_DIR says otherwise."""


def build(root: Path = ROOT) -> Path:
    """Build the distribution when its inputs have changed and return its folder.

    A running cluster keeps its jars open, so a distribution that is still right is never touched. Of several
    programs that find it stale at once, one builds it.
    """
    home, package = root / "build" / "flink", _pyflink()
    stamp, wanted = home / ".inputs", _inputs(root, package)
    home.parent.mkdir(exist_ok=True)
    with (home.parent / ".flink.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (stamp.is_file() and stamp.read_text(encoding="utf-8") == wanted):
            _build(root, package, home)
            stamp.write_text(wanted, encoding="utf-8")
    return home


def installed_jars(root: Path = ROOT) -> set[str]:
    """Names of the jars that lib/ must have, beside Flink's own; none before `make setup`."""
    return {jar.name for jar in (root / "jars" / "flink").glob("*.jar")}


def _build(root: Path, package: Path, home: Path) -> None:
    shutil.rmtree(home, ignore_errors=True)
    for folder in COPIED:
        _copy(package / folder, home / folder)
    for script in (home / "bin").iterdir():  # wheels carry no executable bits
        script.chmod(0o755)
    _link(home / "lib", _libraries(root, package))
    _link(home / "plugins" / "s3-fs-hadoop", sorted((root / "jars" / "flink-s3").glob("*.jar")))
    (home / "conf").symlink_to(root / "flink-conf")
    (home / LOGS).mkdir()


def _copy(folder: Path, to: Path) -> None:
    """Copy a folder. Raises OneLineError, by the first of the files that cannot be written."""
    try:
        shutil.copytree(folder, to)
    except shutil.Error as error:
        _, file, why = error.args[0][0]
        msg = f"{file} cannot be written: {why}: make room, then repeat this"
        raise OneLineError(msg) from None


def _pyflink() -> Path:
    """The folder of the installed package, found without importing it."""
    spec = find_spec("pyflink")
    if spec is None or spec.origin is None:
        msg = "pyflink is not installed; run ./bootstrap.sh"
        raise ModuleNotFoundError(msg)
    return Path(spec.origin).parent


def _libraries(root: Path, package: Path) -> list[Path]:
    folders = (package / "lib", package / "opt", root / "jars" / "flink")
    return [jar for folder in folders for jar in sorted(folder.glob("*.jar")) if "sql-client" not in jar.name]


def _inputs(root: Path, package: Path) -> str:
    jars = [*_libraries(root, package), *sorted((root / "jars" / "flink-s3").glob("*.jar"))]
    return "".join([f"{LOGS}\n", *(f"{jar} {jar.stat().st_size}\n" for jar in jars)])


def _link(folder: Path, jars: list[Path]) -> None:
    folder.mkdir()
    for jar in jars:
        (folder / jar.name).symlink_to(jar)


if __name__ == "__main__":
    sys.stdout.write(f"{build()}\n")
