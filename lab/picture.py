"""`make picture`: the running job in the Flink UI, as docs/flink-ui.png, with the names of its tasks in the file.

By these names a test notices a picture of an older job. The picture is taken by Chromium, which is not installed
with the rest.
"""

import json
import shutil
import struct
import subprocess
import tempfile
import zlib
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import click

from lab.stack.flink_client import FlinkClient
from lab.stack.patience import scaled
from lab.stack.process import StackError
from ops.cli.terminal import one_line_errors

ROOT: Final = Path(__file__).resolve().parent.parent
PICTURE: Final = ROOT / "docs" / "flink-ui.png"
_STACK: Final = ROOT / "var" / "stack.json"
_BROWSERS: Final = ("chromium", "chromium-browser", "google-chrome")
# a browser that shows one page of this machine: nothing in the background, nothing to or from elsewhere
_OPTIONS: Final = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    *("--hide-scrollbars", "--window-size=1800,1000", "--virtual-time-budget=20000"),
)
_NAME: Final = "amplitude-ingest"
_HEAD: Final = 33
"""Bytes of a PNG's signature and of its first chunk, behind which a chunk of text may stand."""
_KEYWORD: Final = b"tasks\0"


def take(url: str, picture: Path) -> int:
    """Write the picture of the one ingest job at this Flink; of how many tasks it is. Raises StackError."""
    flink = FlinkClient(ROOT / "build" / "flink", urlsplit(url).port or 80, {}, {})
    job = _running(flink)
    flink.wait_until_running(job)
    tasks = [str(vertex["name"]) for vertex in flink.rest(f"/jobs/{job}")["vertices"]]
    png = _seen(f"{flink.url}/#/job/running/{job}/overview")
    picture.write_bytes(labelled(png, tasks))
    return len(tasks)


def labelled(png: bytes, tasks: list[str]) -> bytes:
    """The same picture with these names in a chunk of text."""
    body = b"tEXt" + _KEYWORD + "\n".join(tasks).encode("ascii")
    return (
        png[:_HEAD] + struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body)) + png[_HEAD:]
    )


def tasks_of(png: bytes) -> list[str]:
    """The names that `labelled` has put into a picture."""
    size, kind = struct.unpack(">I4s", png[_HEAD : _HEAD + 8])
    text = png[_HEAD + 8 : _HEAD + 8 + size]
    if kind != b"tEXt" or not text.startswith(_KEYWORD):
        return []
    return text.removeprefix(_KEYWORD).decode("ascii").splitlines()


def _running(flink: FlinkClient) -> str:
    jobs = flink.rest("/jobs/overview")["jobs"]
    ours = [job["jid"] for job in jobs if (job["state"], job["name"]) == ("RUNNING", _NAME)]
    if len(ours) != 1:
        msg = f"{flink.url}: {len(ours)} jobs {_NAME} are RUNNING there, and the picture is of one"
        raise StackError(msg)
    return str(ours[0])


def _seen(page: str) -> bytes:
    """What a browser shows of a page, as PNG."""
    browser = next(filter(None, map(shutil.which, _BROWSERS)), None)
    if browser is None:
        msg = "Chromium is not installed: `apt-get install chromium` on Debian, or any Chrome on the PATH"
        raise StackError(msg)
    with tempfile.TemporaryDirectory() as folder:
        shot = Path(folder) / "shot.png"
        command = [browser, *_OPTIONS, f"--user-data-dir={folder}/profile", f"--screenshot={shot}", page]
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=scaled(120))
        except subprocess.TimeoutExpired as error:
            msg = f"{browser} has not shown {page} within {error.timeout:.0f} s"
            raise StackError(msg) from None
        if not shot.is_file():
            msg = f"{browser} took no picture of {page}: {(done.stderr.splitlines() or ['it said nothing'])[-1]}"
            raise StackError(msg)
        return shot.read_bytes()


@click.command(context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
@click.option("--to", type=click.Path(path_type=Path, dir_okay=False), default=PICTURE, help="The file to write.")
def main(to: Path) -> None:
    """Take the picture of the job that `make run` runs."""
    with one_line_errors("picture"):
        if not _STACK.is_file():
            msg = "no stack is running here: start `make run`, wait for `Running until Ctrl-C`, then repeat this"
            raise StackError(msg)
        tasks = take(json.loads(_STACK.read_text(encoding="utf-8"))["flink_rest"], to)
    click.echo(f"{to}: {tasks} tasks")


if __name__ == "__main__":
    main()
