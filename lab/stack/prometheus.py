"""Prometheus beside the stack, where it is installed: deploy/monitoring, with the addresses of this stack in it.

`make monitoring-test` unpacks Debian's package into build/prometheus; one that is on the PATH will do as well.
"""

import os
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final
from urllib.request import urlopen

import yaml

from lab.stack.patience import scaled
from lab.stack.process import StackError

ROOT: Final = Path(__file__).resolve().parents[2]
MONITORING: Final = ROOT / "deploy" / "monitoring"
DASHBOARD: Final = MONITORING / "grafana" / "dashboards" / "amplitude.json"
_REPORTER: Final = re.compile(r"Started PrometheusReporter HTTP server on port (\d+)")


def program(name: str = "prometheus") -> str | None:
    """Where one of Prometheus' programs is; None when it is not installed."""
    return shutil.which(name, path=f"{ROOT}/build/prometheus/usr/bin:{os.environ['PATH']}")


def ready(address: str) -> bool:
    """Whether the Prometheus of this address answers questions; for a moment after its start it says 503."""
    try:
        urlopen(f"{address}/-/ready", timeout=scaled(2)).close()  # noqa: S310  our own http://127.0.0.1 address
    except OSError:
        return False
    return True


def reporter_port(log: Path) -> int:
    """The port at which the last Flink process of this log serves its metrics. Raises StackError without one."""
    found = _REPORTER.findall(log.read_text(encoding="utf-8", errors="replace"))
    if not found:
        msg = f"{log.stem} serves no metrics: {log} has no line 'Started PrometheusReporter'"
        raise StackError(msg)
    return int(found[-1])


def configure(folder: Path, ports: Mapping[str, list[int]], interval: str) -> Path:
    """Write deploy/monitoring into a folder, with these ports of this machine by job; returns the main file."""
    shutil.copytree(MONITORING, folder, dirs_exist_ok=True)
    path = folder / "prometheus.yml"
    config: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    config["global"] |= {"scrape_interval": interval, "evaluation_interval": interval}
    for job in config["scrape_configs"]:
        job["static_configs"] = [{"targets": [f"127.0.0.1:{port}" for port in ports[job["job_name"]]]}]
    path.write_text(yaml.safe_dump(config), encoding="utf-8")
    return path


def command(installed: str, config: Path, port: int) -> list[str]:
    """The process that reads this configuration and answers at this port of this machine."""
    return [
        installed,
        f"--config.file={config}",
        f"--storage.tsdb.path={config.parent / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--log.level=warn",
    ]
