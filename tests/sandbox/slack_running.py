"""A Slack stand-in running on a socket, and an app behind it whose answers a test scripts."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx

from sandbox.slack.__main__ import HOST, Server, uvicorn
from sandbox.slack.app import Around, build
from sandbox.slack.config import ChannelSeed, Secrets, load
from sandbox.slack.delivery import signature

TOKEN, SECRET = "xoxb-of-the-test", "signing-secret-of-the-test"


@dataclass
class Received:
    """One request the app got. `signed` tells whether signature and timestamp are right."""

    headers: dict[str, str]
    raw: bytes
    signed: bool

    @property
    def payload(self) -> dict[str, Any]:
        """Form fields, the interactive payload, or the event."""
        if self.headers["content-type"] == "application/json":
            return dict(json.loads(self.raw))
        fields = {name: values[0] for name, values in parse_qs(self.raw.decode(), keep_blank_values=True).items()}
        return dict(json.loads(fields["payload"])) if "payload" in fields else fields


Answer = tuple[int, dict[str, str], bytes]


@dataclass
class ScriptedApp:
    """Answers every delivery with what `answer` says and keeps what it got; plays the record of AWS calls too."""

    got: list[Received] = field(default_factory=list)
    answer: Callable[[Received], Answer] = lambda received: (200, {}, b"")
    aws_calls: list[dict[str, Any]] = field(default_factory=list)
    aws_asked: list[dict[str, list[str]]] = field(default_factory=list)


def _handler(app: ScriptedApp) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            raw = self.rfile.read(int(self.headers["content-length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            stamp = headers["x-slack-request-timestamp"]
            fresh = stamp.isdigit() and abs(time.time() - int(stamp)) < 300
            signed = fresh and headers["x-slack-signature"] == signature(SECRET, stamp, raw)
            received = Received(headers, raw, signed)
            app.got.append(received)
            status, more, body = app.answer(received)
            self.send_response(status)
            for name, value in {**more, "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def do_GET(self) -> None:
            app.aws_asked.append(parse_qs(urlsplit(self.path).query))
            body = json.dumps(app.aws_calls).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *arguments: Any) -> None:
            """Say nothing."""

    return Handler


@dataclass
class Slack:
    """The running workspace as a test uses it."""

    url: str
    app: ScriptedApp
    client: httpx.Client

    def control(self, act: str, **body: Any) -> dict[str, Any]:
        """A POST to the control API that must succeed."""
        answer = self.client.post(f"/_control/{act}", json=body, headers={"X-Sandbox": "1"})
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def messages(self, user: str = "U0DS1", channel: str = "C0DEV", since: str = "") -> list[dict[str, Any]]:
        """What a person sees."""
        asked = {"user": user, "channel": channel, "since": since}
        answer = self.client.get("/_control/messages", params=asked, headers={"X-Sandbox": "1"})
        assert answer.status_code == 200, answer.text
        return list(answer.json())

    def api(self, method: str, token: str | None = TOKEN, **arguments: Any) -> dict[str, Any]:
        """A Web API call as JSON."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        answer = self.client.post(f"/api/{method}", json=arguments, headers=headers)
        return dict(answer.json()) | {"status": answer.status_code, "headers": dict(answer.headers)}


def free_port() -> int:
    """A port nobody listens on now."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


@contextmanager
def running(
    state: Path,
    *,
    commands: Path | None = None,
    events: Sequence[str] = (),
    aws: bool = False,
    request_url: str = "",
    app_token: str = "",
    **rules: Any,
) -> Iterator[Slack]:
    """Run a workspace with one more channel the app is not in; `rules` replace the workspace file's.

    Deliveries go to the scripted app, to `request_url`, or with an `app_token` to whoever connects in Socket Mode.
    """
    app = ScriptedApp()
    listener = ThreadingHTTPServer((HOST, 0), _handler(app))
    port = free_port()
    seed = load()
    channels = [
        *seed.channels,
        ChannelSeed("C0AWAY", "away", members=["U0DS1"]),
        ChannelSeed("C0SECRET", "secret", members=["U0DS1"], is_private=True),
        ChannelSeed("C0OLD", "old", is_archived=True),
    ]
    config = replace(
        seed,
        channels=channels,
        app=replace(seed.app, events=events),
        rules=replace(seed.rules, **{"ack_seconds": 0.5, "retry_seconds": (0.0, 0.05, 0.1), "page_size": 3} | rules),
    )
    behind = f"http://{HOST}:{listener.server_port}"
    around = Around(
        f"http://{HOST}:{port}",
        state,
        request_url or f"{behind}/slack/events",
        aws_url=behind if aws else None,
        commands=commands,
    )
    served = uvicorn.Config(
        build(config, Secrets(TOKEN, SECRET, app_token), around),
        host=HOST,
        port=port,
        log_level="error",
        ws="websockets-sansio" if app_token else "none",
    )
    server = Server(served)
    threads = [threading.Thread(target=listener.serve_forever, args=(0.02,)), threading.Thread(target=server.run)]
    for thread in threads:
        thread.start()
    with httpx.Client(base_url=around.base_url, trust_env=False, timeout=10) as client:
        while not server.started:
            assert threads[1].is_alive(), "the stand-in did not start"
            threads[1].join(0.01)
        yield Slack(around.base_url, app, client)
    server.should_exit = True
    listener.shutdown()
    for thread in threads:
        thread.join()
    listener.server_close()
