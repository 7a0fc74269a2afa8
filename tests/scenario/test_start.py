"""Starting and stopping: what a person sees when it does not work, and what is left when it has stopped."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from tests.conftest import ROOT, Sandbox, start, stop


def test_a_taken_port_is_named_with_the_cure_and_nothing_is_started(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        said = start(tmp_path, "--port", str(port))
    assert said.returncode == 1
    assert f"Port {port} is taken" in said.stderr
    assert f"make up PORT={port + 1}" in said.stderr
    assert said.stderr.count("\n") == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("made", "missing"),
    [([], "images and labels and classes.txt missing"), (["images", "labels", "classes.txt"], "no .jpg or .png")],
)
def test_a_folder_that_is_no_data_set_is_refused_with_the_layout(tmp_path: Path, made: list[str], missing: str) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    for name in made:
        (folder / name).touch() if name.endswith(".txt") else (folder / name).mkdir()
    said = start(tmp_path / "state", "--data", str(folder))
    assert said.returncode == 1
    assert missing in said.stderr
    assert "images/*.jpg" in said.stderr
    assert not (tmp_path / "state").exists()


def test_a_second_start_says_where_the_first_one_is(sandbox: Sandbox) -> None:
    said = start(sandbox.state)
    assert said.returncode == 0
    assert sandbox.slack.url in said.stdout


def test_the_start_says_what_it_does_and_where_the_page_is(sandbox: Sandbox) -> None:
    for part in ("database", "AWS", "Slack and the page", "the bot", "pipelines published", "photos in the bucket"):
        assert re.search(rf"\d+\.\d s  {part}", sandbox.said), part
    assert sandbox.slack.url in sandbox.said


def test_the_control_c_of_a_start_leaves_no_process(tmp_path: Path) -> None:
    """Interrupted in the middle, when half of it runs; the supervisor is its own process group, as in a terminal."""
    with foreground(tmp_path, until="database") as demo:
        family = psutil.Process(demo.pid).children(recursive=True)
        assert family
        os.killpg(demo.pid, signal.SIGINT)
        assert demo.wait(30) == 0
    said = (tmp_path / "said").read_text()
    assert "Traceback" not in said
    assert said.endswith("Stopped.\n")
    assert not [process for process in family if process.is_running() and process.status() != psutil.STATUS_ZOMBIE]


def test_a_part_that_dies_is_named_and_the_rest_is_stopped(tmp_path: Path) -> None:
    with foreground(tmp_path, until="AWS") as demo:
        family = psutil.Process(demo.pid).children(recursive=True)
        next(process for process in family if "sandbox.aws" in process.cmdline()).kill()
        assert demo.wait(30) == 1
    said = (tmp_path / "said").read_text()
    assert re.search(r"aws was ended by SIGKILL|(infra|publish|load) ended with status 1", said), said
    assert "Its last lines" in said
    assert "Traceback" not in said.split("Its last lines")[0]
    _, alive = psutil.wait_procs(family, timeout=20)
    assert not [process.cmdline() for process in alive]


def test_a_killed_supervisor_takes_everything_with_it(tmp_path: Path) -> None:
    with foreground(tmp_path, until="AWS") as demo:
        family = psutil.Process(demo.pid).children(recursive=True)
        demo.kill()
    if sys.platform != "linux":  # only Linux tells children that their parent was killed; elsewhere `down` finds them
        stop(tmp_path)
    _, alive = psutil.wait_procs(family, timeout=20)
    assert not [process.cmdline() for process in alive]


@contextmanager
def foreground(state: Path, until: str) -> Iterator[subprocess.Popen[bytes]]:
    """`sandbox demo` in a process group of its own, as in a terminal, once it has said that a part is there."""
    argv = [sys.executable, "-m", "sandbox", "demo", "--state", str(state), "--port", "0"]
    with (state / "said").open("w") as said:
        demo = subprocess.Popen(argv, cwd=ROOT, stdout=said, stderr=said, start_new_session=True)
    try:
        deadline = time.monotonic() + 60
        while not re.search(rf"s  {until} \(", text := (state / "said").read_text()):
            assert demo.poll() is None, text
            assert time.monotonic() < deadline, text
            time.sleep(0.05)
        yield demo
    finally:
        demo.kill()
        demo.wait()
