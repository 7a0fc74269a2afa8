"""People as tour, tests and benchmarks play them: they type, press and read through Slack's control API."""

from __future__ import annotations

import base64
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import httpx

Json = dict[str, Any]
ANSWER_SECONDS = 30.0


class NothingCame(AssertionError):
    """A person waited for a message that did not appear; the message says for what, and what was there instead."""


class Slack:
    """The control API of one workspace. `close` when done."""

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        self._http = httpx.Client(base_url=self.url, headers={"X-Sandbox": "1"}, timeout=700, trust_env=False)

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def act(self, name: str, **body: Any) -> Json:
        """POST to `/_control/<name>`. Raises `httpx.HTTPStatusError` for what a person could not do."""
        answer = self._http.post(f"/_control/{name}", json=body)
        answer.raise_for_status()
        result: Json = answer.json()
        return result

    def ask(self, name: str, **query: Any) -> Any:
        """GET from `/_control/<name>`."""
        answer = self._http.get(f"/_control/{name}", params=query)
        answer.raise_for_status()
        return answer.json()

    def bytes_of(self, file: Json) -> bytes:
        """A file's content, fetched as the page fetches it."""
        if "sandbox_session" not in self._http.cookies:
            self._http.get("/").raise_for_status()
        answer = self._http.get(file["url_private"])
        answer.raise_for_status()
        return answer.content

    def person(self, user: str, channel: str = "C0DEV") -> Person:
        """Somebody, sitting in a channel."""
        return Person(self, user, channel)


@dataclass(frozen=True)
class Person:
    """A member of the workspace in one channel."""

    slack: Slack
    user: str
    channel: str

    def types(self, line: str) -> str:
        """Type a slash command; returns the moment before it, to wait after. Raises when it was not acknowledged."""
        before = moment()
        delivered = self.slack.act("command", user=self.user, channel=self.channel, text=f"/mlops {line}")
        if not delivered["ok"]:
            raise NothingCame(f"/mlops {line} was not acknowledged: {delivered['error']}")
        return before

    def asks(self, line: str, *contains: str, seconds: float = ANSWER_SECONDS, **wanted: Any) -> Json:
        """Type a slash command and wait for the answer."""
        return self.sees(*contains, after=self.types(line), seconds=seconds, **wanted)

    def presses(self, message: Json, label: str) -> str:
        """Press a button, or choose an option of a menu, by its label; returns the moment before."""
        before = moment()
        self.slack.act("press", user=self.user, channel=self.channel, ts=message["ts"], label=label)
        return before

    def says(self, text: str, thread: str | None = None) -> Json:
        """Say something in the channel, or in the thread below a message; `@name` mentions somebody."""
        return self.slack.act("say", user=self.user, channel=self.channel, text=text, thread_ts=thread)

    def form(self, title: str, seconds: float = ANSWER_SECONDS) -> Json:
        """Wait until the form of this title is open, and return its view. Raises `NothingCame`."""
        found = self._view("modal", lambda view: view["title"]["text"] == title, seconds)
        if found is None:
            raise NothingCame(f"{self.user} waited {seconds:g} s for the form {title!r}")
        return found

    def sends(self, view: Json, **values: Any) -> dict[str, str]:
        """Send the open form with some fields filled in, the others as they are. Returns what is wrong, by field."""
        given = {name: element(view, name) for name in inputs(view)}
        held = {name: {each["action_id"]: values.get(name, initial(each))} for name, each in given.items()}
        errors: dict[str, str] = self.slack.act("submit", user=self.user, values=held)["errors"]
        return errors

    def opens_home(self, *contains: str, seconds: float = ANSWER_SECONDS) -> Json:
        """Open the app's Home and wait until it holds all these texts. Raises `NothingCame`."""
        self.slack.act("home", user=self.user)
        return self.sees_home(*contains, seconds=seconds)

    def sees_home(self, *contains: str, seconds: float = ANSWER_SECONDS) -> Json:
        """Wait until the Home as it stands before the person holds all these texts."""
        found = self._view("home", lambda view: all(part in words(view) for part in contains), seconds)
        if found is None:
            there = self.slack.ask("view", user=self.user)["home"]
            raise NothingCame(f"{self.user}'s Home never held {contains}: {words(there) if there else '(nothing)'}")
        return found

    def presses_home(self, label: str) -> str:
        """Press a button of the Home, or choose an option of its menu; returns the moment before."""
        before = moment()
        self.slack.act("press", user=self.user, channel=self.channel, label=label)
        return before

    def _view(self, kind: str, wanted: Callable[[Json], bool], seconds: float) -> Json | None:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            view: Json | None = self.slack.ask("view", user=self.user)[kind]
            if view is not None and wanted(view):
                return view
            time.sleep(0.02)
        return None

    def uploads(self, name: str, data: bytes, text: str = "") -> Json:
        """Put a file into the channel."""
        encoded = base64.b64encode(data).decode()
        where = {"user": self.user, "channel": self.channel}
        return self.slack.act("upload", **where, filename=name, data=encoded, text=text)

    def chooses(self, message: Json, callback: str) -> str:
        """Choose a message shortcut; returns the moment before."""
        before = moment()
        self.slack.act("shortcut", user=self.user, channel=self.channel, ts=message["ts"], callback_id=callback)
        return before

    def sees(self, *contains: str, after: str = "", seconds: float = ANSWER_SECONDS, **wanted: Any) -> Json:
        """Wait for a message that holds all these texts (and `wanted` of the control API). Raises `NothingCame`."""
        body = {"user": self.user, "channel": self.channel, "contains": list(contains), "after_ts": after}
        message: Json | None = self.slack.act("wait", **body, **wanted, timeout=seconds)["message"]
        if message is None:
            there = "\n---\n".join(row["words"] for row in self.reads(after)[-4:]) or "(nothing)"
            what = f"{list(contains)} {wanted or ''}".strip()
            raise NothingCame(f"{self.user} waited {seconds:g} s in {self.channel} for {what}. There was:\n{there}")
        return message

    def reads(self, after: str = "") -> list[Json]:
        """What the person sees in the channel, oldest first."""
        rows: list[Json] = self.slack.ask("messages", user=self.user, channel=self.channel, since=after)
        return rows


def inputs(view: Json) -> list[str]:
    """The names of a form's fields."""
    return [block["block_id"] for block in view["blocks"] if block["type"] == "input"]


def element(view: Json, name: str) -> Json:
    """One field of a form."""
    found: Json = next(block["element"] for block in view["blocks"] if block["block_id"] == name)
    return found


def initial(field: Json) -> Any:
    """What a field holds before anybody touches it."""
    if field["type"] == "checkboxes":
        return [option["value"] for option in field.get("initial_options", [])]
    return field.get("initial_value") or (field.get("initial_option") or {}).get("value")


def words(node: Any) -> str:
    """Everything readable in blocks or a view, a line per piece."""
    if isinstance(node, list):
        return "\n".join(words(part) for part in node)
    if not isinstance(node, dict):
        return ""
    own = [value for name, value in node.items() if name in ("text", "alt_text") and isinstance(value, str)]
    return "\n".join([*own, *(words(part) for part in node.values() if isinstance(part, dict | list))])


def moment() -> str:
    """Now, as a message timestamp; both sides read the same clock."""
    return f"{time.time():.6f}"


def buttons(message: Json) -> dict[str, str]:
    """Label and value of every button of a message, and of every option of its menus."""
    elements = [
        element
        for block in blocks(message)
        for element in [*block.get("elements", []), block.get("accessory") or {}]
        if element.get("type") in ("button", "static_select", "overflow")
    ]
    pressed = [part for element in elements for part in element.get("options", [element])]
    return {part["text"]["text"]: part.get("value", "") for part in pressed}


def blocks(message: Json) -> list[Json]:
    """All blocks of a message, those of its attachments too."""
    attached = [block for attachment in message.get("attachments", []) for block in attachment.get("blocks", [])]
    return [*message.get("blocks", []), *attached]


def rows(message: Json) -> list[list[str]]:
    """The cells of a message's table, heading first; empty when it has none."""
    for block in blocks(message):
        if block["type"] in ("table", "data_table"):
            return [[_cell(cell) for cell in row] for row in block["rows"]]
    return []


def _cell(cell: Json) -> str:
    if "text" in cell:
        return str(cell["text"])
    return "".join(_cell(part) for part in cell.get("elements", []))
