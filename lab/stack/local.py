"""The embedded stack: Kinesis and DynamoDB emulators, JobManager and TaskManagers as real processes.

Everything a stack leaves on disk is under var/<name>: logs, checkpoints, savepoints, the lake, job.toml.
A start wipes what the last run of that name left. Nothing here needs more than `./bootstrap.sh` installs.
"""

import json
import os
import re
import shutil
import signal
import sys
import time
from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from pyarrow.fs import LocalFileSystem

from lab.stack import amplitude, emulators, intake, lock, machine, prometheus, zookeeper
from lab.stack.checkpoints import Checkpoints
from lab.stack.emulators import Emulator
from lab.stack.flink_client import FlinkClient
from lab.stack.machine import Ports
from lab.stack.process import Process, StackError, answers, free_port
from ops.console.people import Role, added
from ops.release import flink_home, job_zip
from settings import STACK, Kinesis, load
from stores import seal
from udfs.intake import KEY_BYTES

ROOT = Path(__file__).resolve().parents[2]
CONSOLE_ACCOUNT = "operator"
"""Who may come into the console of a stack."""
INHERITED = ("PATH", "HOME", "USER", "LANG", "TMPDIR", "JAVA_HOME")


class Stack:
    """One stack. A context manager: entering starts it, leaving stops every process it has started."""

    def __init__(  # noqa: PLR0913  by name, all but the first two
        self,
        name: str = "local",
        ports: Ports | None = None,
        *,
        taskmanagers: int = 1,
        flink_options: Mapping[str, str] | None = None,
        high_availability: bool = False,
        objects_port: int | None = None,
        durable: bool = False,
        brief: bool = False,
    ) -> None:
        """`flink_options` go over flink-conf/config.yaml, for the processes and the jobs submitted alike.

        With `high_availability` ZooKeeper runs too, and a JobManager that is started again resumes its jobs. With
        `objects_port` warehouse, checkpoints and savepoints are on an object store. `durable` emulators hold after
        a restart what they held before. The JVMs of a `brief` one compile quickly rather than well: such a cluster
        costs half the CPU in its first minutes.
        """
        if not re.fullmatch(r"[a-z0-9][a-z0-9-]*", name):
            msg = f"stack name {name!r}: use a-z, 0-9 and -"
            raise StackError(msg)
        self.name, self.ports, self.folder = name, ports or Ports(), ROOT / "var" / name
        self._redeliver_port = 0
        self._beside: dict[str, str] = {}  # addresses of what runs beside the job, by name
        self.stream, self.region = Kinesis().stream, Kinesis().region
        self.kinesis_endpoint = f"http://127.0.0.1:{self.ports.kinesis}"
        self.dynamodb_endpoint = f"http://127.0.0.1:{self.ports.dynamodb}"
        self.catalog_uri = f"sqlite:///{self.folder}/catalog.db"
        self._objects_port, self._durable, self._brief = objects_port, durable, brief
        self._state = f"s3://{emulators.BUCKET}" if objects_port else f"file://{self.folder}"
        files = emulators.s3(objects_port, self.region) if objects_port else LocalFileSystem()
        self.warehouse = f"{self._state}/warehouse"
        self.checkpoints = Checkpoints(files, f"{self._state}/checkpoints")
        self.settings_path = self.folder / "job.toml"
        self.ready_after: dict[str, float] = {}
        """Seconds from the start to each process answering."""
        self._wanted_taskmanagers = taskmanagers
        self.high_availability = high_availability
        self._zookeeper_port = free_port() if high_availability else None
        self._options = self._flink_options(flink_options or {})
        self._processes: list[Process] = []  # in order of start
        self._taskmanagers = 0  # ever started, for their names
        self._lock: IO[str] | None = None
        self._description: Path | None = None
        self._home = ROOT / "build" / "flink"
        environment = self._environment("client")
        self.flink = FlinkClient(self._home, self.ports.flink_rest, environment, self._options)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Start everything and return when all of it answers; on any failure stop what has been started.

        Raises StackError with one line: a port that is taken, something not installed, a full disk, or the
        process that did not come up with the last line of its log.
        """
        try:
            self._lock = lock.take(self.folder.with_suffix(".lock"), self.name)
            machine.check(ROOT, self.ports)
            self._prepare_folder()
            self._start_processes()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stop every process in reverse order and what they left behind. Data and logs stay."""
        processes = self._processes[::-1]
        for process in processes:
            process.terminate()
        for process in processes:
            # of emulators nothing is to be saved; kinesis-local would wait for its clients to leave
            process.stop(patience=0 if process.name in emulators.NAMES else 10)
        self._processes.clear()
        if self._description:
            self._description.unlink(missing_ok=True)
        if self._lock:
            self._lock.close()
        self._description = self._lock = None

    def pid(self, kind: str) -> int:
        """The oldest running process of this kind. Raises StackError when there is none."""
        return self._oldest(kind).pid

    def workers(self) -> list[int]:
        """The Python workers of all TaskManagers."""
        taskmanagers = [one for one in self._processes if one.name.startswith("taskmanager") and one.running]
        return [pid for one in taskmanagers for pid in one.others()]

    def pids(self) -> dict[str, int]:
        """The processes that run now, by name."""
        return {process.name: process.pid for process in self._processes if process.running}

    def start_taskmanager(self) -> None:
        """Start one more TaskManager and wait until the JobManager has registered it."""
        process = self._start_taskmanager()
        process.wait_until(partial(self._registered, process), seconds=90)

    def kill_taskmanager(self) -> None:
        """End the oldest TaskManager as a crash would (KILL to the JVM), then its orphaned Python workers.

        Its job looks RUNNING until the JobManager notices: wait for `flink.restarts` to rise.
        """
        self._kill("taskmanager")

    def start_watch(self) -> None:
        """Start `usage watch` for the settings of this stack; the job's tables must be there."""
        program = Path(sys.executable).parent / "amplitude-bridge"
        address = f"127.0.0.1:{self.ports.watch}"
        self._spawn("watch", [program, "usage", "--config", self.settings_path, "watch", "--listen", address])
        self._beside["usage_watch"] = f"http://{address}"

    def start_intake(self) -> None:
        """Start the intake for the settings of this stack."""
        self._processes.append(intake.start(self.settings_path, self.folder / "log" / "intake.log"))
        self._beside["intake"] = f"http://127.0.0.1:{load(self.settings_path).intake.port}"

    def start_console(self) -> str:
        """Start the console for the settings of this stack, with one operator, whose password is returned."""
        console = load(self.settings_path).console
        password = added(str(console.accounts_file), CONSOLE_ACCOUNT, Role.OPERATOR)
        program, address = (
            Path(sys.executable).parent / "amplitude-bridge",
            f"http://{console.host}:{console.port}",
        )
        command = (program, "console", "--config", self.settings_path, "--flink", self.flink.url)
        self._spawn("console", command).wait_until(partial(answers, f"{address}/health/live"), seconds=30)
        self._beside["console"] = address
        return password

    def start_redeliver(self) -> None:
        """Start `redeliver` for the settings of this stack; the export job's tables must be there."""
        program = Path(sys.executable).parent / "amplitude-bridge"
        self._redeliver_port = free_port()
        address = f"127.0.0.1:{self._redeliver_port}"
        listen = ("--watch", "--listen", address)
        self._spawn("redeliver", [program, "redeliver", "--config", self.settings_path, *listen])
        self._beside["redeliver"] = f"http://{address}"

    def kill_redeliver(self) -> None:
        """End `redeliver` as a crash would."""
        self._kill("redeliver")

    def start_prometheus(self, interval: str = "5s") -> str | None:
        """Start Prometheus on every process that runs now; its address, None when it is not installed."""
        if (installed := prometheus.program()) is None:
            return None
        config, port = self._configure_prometheus(interval), free_port()
        process = self._spawn("prometheus", prometheus.command(installed, config, port))
        address = f"http://127.0.0.1:{port}"
        process.wait_until(partial(prometheus.ready, address), seconds=60)
        self._beside["prometheus"] = address
        return address

    def point_prometheus(self, interval: str = "5s") -> None:
        """Let Prometheus, where it runs, read what was started after it too."""
        if pid := self.pids().get("prometheus"):
            self._configure_prometheus(interval)
            os.kill(pid, signal.SIGHUP)  # it reads its configuration again

    def _configure_prometheus(self, interval: str) -> Path:
        flink = [one for one in self._processes if one.running and one.name.startswith(("job", "taskm"))]
        ports = {
            "flink": [prometheus.reporter_port(one.log) for one in flink],
            "usage-watch": [self.ports.watch],
            "redeliver": [self._redeliver_port] if "redeliver" in self.pids() else [],
            "intake": [load(self.settings_path).intake.port] if "intake" in self.pids() else [],
        }
        return prometheus.configure(self.folder / "prometheus", ports, interval)

    def start_amplitude(self) -> dict[str, dict[str, str]]:
        """Start a stand-in of Amplitude with a project and a user; the sections that lead there."""
        folder, port = self.folder / "amplitude", free_port()
        folder.mkdir()
        (folder / "keys").write_text(f"{amplitude.API_KEY}\n", encoding="ascii")
        (folder / "seal-keys").write_text(f"{seal.new_key()}\n", encoding="ascii")
        (folder / "secret-key").write_text(f"{amplitude.SECRET_KEY}\n", encoding="ascii")
        (folder / "secrets").write_text(f"{amplitude.SECRET_KEY} acme\n", encoding="ascii")
        (folder / "profiles.json").write_text(json.dumps(amplitude.USERS), encoding="utf-8")
        command: list[str | Path] = [sys.executable, "-m", "lab.stack.amplitude", str(port), folder]
        process = self._spawn("amplitude", command, cwd=ROOT)
        process.wait_until(partial(answers, f"http://127.0.0.1:{port}/"), seconds=60)
        self._beside["amplitude"] = f"http://127.0.0.1:{port}"
        endpoint = {"endpoint": self._beside["amplitude"]}
        return {
            "export": endpoint | {"seal_keys_file": str(folder / "seal-keys")},
            "amplitude_profiles": endpoint,
        }

    def kill_watch(self) -> None:
        """End `usage watch` as a crash would."""
        self._kill("watch")

    def start_jobmanager(self) -> None:
        """Start the JobManager again at its old addresses; TaskManagers return to it.

        With high availability it resumes its jobs soon after, else they are gone.
        """
        process = self._start_jobmanager()
        process.wait_until(partial(answers, f"{self.flink.url}/overview"), seconds=90)

    def kill_jobmanager(self) -> None:
        """End the JobManager as a crash would. Without high availability its jobs end with it."""
        self._kill("jobmanager")

    def restart_emulator(self, name: str) -> None:
        """End an emulator as a crash would and start it again; `durable` ones then hold what they held."""
        emulator = next(one for one in self._emulators() if one.name == name)
        self._kill(name)
        self._start_emulator(emulator).wait_until(emulator.answers, seconds=60)

    def submit(
        self, settings_path: Path, *flink_args: str, program_args: Sequence[str] = (), job: str = "ingest"
    ) -> str:
        """Package the sources, submit a job and return its id; `flink_args` such as -s, -p 2."""
        program = ("-pyfs", job_zip.build(ROOT), "-pym", f"jobs.{job}")
        return self.flink.run((*flink_args, *program), ("--config", settings_path, *program_args))

    def rest(self, path: str) -> Any:
        """What Flink's REST API answers at this path."""
        return self.flink.rest(path)

    def write_settings(self, **more: Mapping[str, object]) -> Path:
        """Write the job's settings for this stack to var/<name>/job.toml, checked, and return the path.

        `more` are whole sections.
        """
        sections: dict[str, Mapping[str, object]] = {
            "kinesis": {"stream": self.stream, "region": self.region, "endpoint": self.kinesis_endpoint,
                        "shard_discovery_interval_ms": 1_000},
            "dynamodb": {"region": self.region, "endpoint": self.dynamodb_endpoint},
            "lake": {"catalog_uri": self.catalog_uri, "warehouse": self.warehouse}
                    | ({"s3_endpoint": f"http://127.0.0.1:{self._objects_port}"} if self._objects_port else {}),
            # for somebody who waits
            "ingest": {"usage_interval_seconds": 1, "projects_refresh_seconds": 2},
            "metering": {"watch_interval_seconds": 1},
            "intake": {"mac_keys_file": str(self._key("intake-mac-keys")), "port": free_port(), "workers": 1},
            "console": {"session_keys_file": str(self._key("console-session-keys")), "port": free_port(),
                        "accounts_file": str(self.folder / "console-accounts.json")},
            **more,
        }  # fmt: skip
        lines = [
            f"[{section}]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in values.items())
            for section, values in sections.items()
        ]
        self.settings_path.write_text("\n".join(lines), encoding="utf-8")
        load(self.settings_path)
        return self.settings_path

    def _key(self, name: str) -> Path:
        """The file of a key that this stack's programs share, made once."""
        file = self.folder / name
        if not file.exists():
            file.write_bytes(b64encode(os.urandom(KEY_BYTES)) + b"\n")
        return file

    def write_description(self, path: Path = STACK) -> Path:
        """Write where everything is by now, for any tool that wants to join in; `stop` removes the file again."""
        self._description = path
        description = {
            "kinesis_endpoint": self.kinesis_endpoint,
            "region": self.region,
            "stream": self.stream,
            "dynamodb_endpoint": self.dynamodb_endpoint,
            "catalog_uri": self.catalog_uri,
            "warehouse": self.warehouse,
            "flink_rest": self.flink.url,
            "settings": str(self.settings_path),
            **self._beside,
        }
        path.write_text(json.dumps(description, indent=2) + "\n", encoding="utf-8")
        return path

    def _prepare_folder(self) -> None:
        """Empty the folder of what the last run has left."""
        shutil.rmtree(self.folder, ignore_errors=True)
        for part in ("log/flink-ui", "tmp", "pids", "checkpoints", "savepoints", "warehouse"):
            (self.folder / part).mkdir(parents=True)

    def _start_processes(self) -> None:
        """Start all at once: they wait for each other, and two cores are busy with one start already."""
        flink_home.build(ROOT)
        begin = time.monotonic()
        readiness: list[tuple[Process, Callable[[], bool]]] = []
        if port := self._zookeeper_port:
            readiness += [(self._start_zookeeper(port), partial(zookeeper.listens, port))]
        for emulator in self._emulators():
            readiness += [(self._start_emulator(emulator), emulator.answers)]
        jobmanager = self._start_jobmanager()
        workers = [self._start_taskmanager() for _ in range(self._wanted_taskmanagers)]
        readiness += [
            (jobmanager, partial(answers, f"{self.flink.url}/overview")),
            *((worker, partial(self._registered, worker)) for worker in workers),
        ]
        for process, ready in readiness:
            process.wait_until(ready, seconds=90)
            self.ready_after[process.name] = round(time.monotonic() - begin, 1)
        if self._objects_port:
            self.checkpoints.files.create_dir(emulators.BUCKET)

    def _registered(self, taskmanager: Process) -> bool:
        return taskmanager.name in self.flink.taskmanagers()

    def _emulators(self) -> list[Emulator]:
        kept = self.folder / "tmp" if self._durable else None
        started = [
            emulators.kinesis(ROOT, self.ports.kinesis, kept),
            emulators.dynamodb(ROOT, self.ports.dynamodb, kept),
        ]
        return started + ([emulators.objects(self._objects_port)] if self._objects_port else [])

    def _start_emulator(self, emulator: Emulator) -> Process:
        return self._spawn(emulator.name, emulator.command, emulator.env, emulator.cwd)

    def _start_zookeeper(self, port: int) -> Process:
        command = zookeeper.command(self._home, self.folder / "zookeeper", port)
        return self._spawn("zookeeper", command, {"JVM_ARGS": "-Xmx128m"})

    def _start_jobmanager(self) -> Process:
        script = self._home / "bin" / "jobmanager.sh"
        return self._spawn("jobmanager", [script, "start-foreground", *self._dynamic()])

    def _start_taskmanager(self) -> Process:
        self._taskmanagers += 1
        name, script = f"taskmanager-{self._taskmanagers}", self._home / "bin" / "taskmanager.sh"
        # its name as resource id: /taskmanagers and the UI tell one that is new from one that has just died
        identity = ("-D", f"taskmanager.resource-id={name}")
        return self._spawn(name, [script, "start-foreground", *self._dynamic(), *identity])

    def _spawn(
        self,
        name: str,
        command: Sequence[str | Path],
        extra: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> Process:
        env = self._environment(name) | dict(extra or {})
        # DynamoDB Local writes there, and Python workers find no code there but what was submitted
        cwd = cwd or self.folder / "tmp"
        process = Process(name, command, self.folder / "log" / f"{name}.log", env, cwd)
        self._processes.append(process)
        return process

    def _kill(self, kind: str) -> None:
        process = self._oldest(kind)
        process.kill()
        self._processes.remove(process)

    def _oldest(self, kind: str) -> Process:
        process = next((p for p in self._processes if p.name.startswith(kind) and p.running), None)
        if process is None:
            msg = f"no {kind} is running"
            raise StackError(msg)
        return process

    def _dynamic(self) -> list[str]:
        """The options as Flink's scripts take them: `-D` apart, else jobmanager.sh sees a host name."""
        return [part for key, value in self._options.items() for part in ("-D", f"{key}={value}")]

    def _flink_options(self, given: Mapping[str, str]) -> dict[str, str]:
        for key, value in given.items():
            if re.search(r"\s", value):
                msg = f"flink option {key}={value!r}: Flink's scripts split at blanks, write it without (30s)"
                raise StackError(msg)
        return {
            "jobmanager.rpc.port": str(free_port()),
            "rest.port": str(self.ports.flink_rest),
            "io.tmp.dirs": str(self.folder / "tmp"),
            "execution.checkpointing.dir": self.checkpoints.uri,
            "execution.checkpointing.savepoint-dir": f"{self._state}/savepoints",
            **(zookeeper.options(self.folder, self._zookeeper_port) if self._zookeeper_port else {}),
            **(emulators.flink_options(self._objects_port) if self._objects_port else {}),
            **(machine.QUICK_JOBS if self._brief else {}),
            **given,
        }

    def _environment(self, process: str) -> dict[str, str]:
        """What a child sees: little of ours, so that no profile, proxy or other Flink here interferes."""
        return {key: os.environ[key] for key in INHERITED if key in os.environ} | {
            "AWS_ACCESS_KEY_ID": "local",
            "AWS_SECRET_ACCESS_KEY": "local",
            "AWS_REGION": self.region,
            "AWS_CBOR_DISABLE": "true",  # the Kinesis emulator speaks JSON only; AWS SDK 1 of the connector
            "CBOR_ENABLED": "false",  # the same for its AWS SDK 2
            "MALLOC_ARENA_MAX": "1",  # glibc's arenas under RocksDB fragment: docs/operations.md
            "FLINK_CONF_DIR": str(ROOT / "flink-conf"),
            "FLINK_LOG_DIR": str(self.folder / "log" / "flink-ui"),
            "FLINK_PID_DIR": str(self.folder / "pids"),
            "FLINK_IDENT_STRING": process,
            **(machine.QUICK if self._brief else {}),
        }
