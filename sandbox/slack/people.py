"""What a person can do in the workspace: say, type a command, press, choose a shortcut, upload, submit a form.

The page and the control API both act through this; the app only sees the resulting deliveries.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from sandbox.slack import payloads
from sandbox.slack.blocks import check_view
from sandbox.slack.delivery import Delivered, Delivery
from sandbox.slack.errors import NoSuchThing, SlackError
from sandbox.slack.files import Files
from sandbox.slack.hooks import Hooks
from sandbox.slack.messages import Json, Message, elements_of, labels_of
from sandbox.slack.triggers import Triggers
from sandbox.slack.views import Views, input_state, refused_by_client, state_values
from sandbox.slack.workspace import Channel, Workspace

FAILURES = {
    "operation_timeout": "The app did not answer within {seconds:g} seconds.",
    "dispatch_failed": "The app could not be reached or refused the request.",
}


class People:
    """Acts as any member of the workspace."""

    def __init__(
        self,
        workspace: Workspace,
        delivery: Delivery,
        hooks: Hooks,
        triggers: Triggers,
        views: Views,
        files: Files,
    ) -> None:
        self._workspace = workspace
        self._config = workspace.config
        self._delivery = delivery
        self._hooks = hooks
        self._triggers = triggers
        self._views = views
        self._files = files

    def say(self, user: str, channel: str, text: str, thread_ts: str | None = None, **fields: Any) -> Message:
        """Post what a person typed: escaped, with `@name` turned into a mention."""
        place = self._place(user, channel)
        if thread_ts and self._workspace.find(place.id, thread_ts) is None:
            raise NoSuchThing(f"there is no message {thread_ts} to answer in {place.name}")
        return self._workspace.post(place.id, user, self._typed(text), thread_ts=thread_ts, **fields)

    def upload(self, user: str, channel: str, name: str, data: bytes, title: str = "", text: str = "") -> Message:
        """Post a file with a line of text."""
        if not data:
            raise NoSuchThing("the file is empty")
        file = self._files.add(name, data, user, title)
        return self.say(user, channel, text, files=[self._files.json(file)])

    async def command(self, user: str, channel: str, line: str, thread_ts: str | None = None) -> Delivered:
        """Type a slash command; a failure becomes a line only this person sees."""
        place = self._place(user, channel)
        word, _, text = line.strip().partition(" ")
        self._workspace.post(place.id, user, escape(line.strip()), only_for=user, kind="echo", thread_ts=thread_ts)
        if word not in self._config.app.commands:
            self._fail(
                user,
                place.id,
                f"{word} is not a valid command. This workspace knows: {', '.join(self._config.app.commands)}",
                thread_ts,
            )
            return Delivered("", 0, None, {}, "unknown_command")
        if thread_ts:
            self._fail(user, place.id, f"{word} is not supported in threads. Sorry!", thread_ts)
            return Delivered("", 0, None, {}, "not_supported_in_threads")
        body = payloads.command(
            self._config, word, escape(text.strip()), user, place,
            trigger=self._triggers.issue(user), response_url=self._hooks.issue(user, place.id),
        )  # fmt: skip
        delivered = await self._delivery.send("command", body, user)
        if not self._failed(user, place.id, word, delivered):
            try:
                self._hooks.acknowledge(user, place.id, delivered.body)
            except SlackError as refused:
                self._fail(user, place.id, f"{word} failed: the acknowledgement was not valid ({refused.code}).")
        return delivered

    async def press(self, user: str, channel: str, ts: str, *, value: str | None = None, **wanted: Any) -> Delivered:
        """Press a button (or choose `value` in a menu) of a message as this person sees it.

        `wanted` names the element: `action_id`, `block_id`, `label` (an option's too, which then is chosen); what is
        left out matches everything.
        """
        place = self._place(user, channel)
        message = self._seen(user, place, ts)
        block, element, attachment = find_element(list(message.elements()), wanted)
        action = self._action(block, element, value, wanted)
        body = payloads.block_actions(
            payloads.common(self._config, "block_actions", user, self._triggers.issue(user)),
            message, place, attachment, self._hooks.issue(user, place.id, ts),
        ) | {"actions": [action]}  # fmt: skip
        delivered = await self._delivery.send("interactive", body, user)
        label = next(iter(labels_of(element))) or element["action_id"]
        self._failed(user, place.id, f"The button “{label}”", delivered, message.thread_ts)
        return delivered

    async def press_home(self, user: str, *, value: str | None = None, **wanted: Any) -> Delivered:
        """Press a button (or choose `value` in a menu) of the app's Home as this person sees it."""
        view = self._views.home(user)
        if view is None:
            raise NoSuchThing(f"the app has published no Home for {user}")
        elements = [(block, element, None) for block in view["blocks"] for element in elements_of(block)]
        block, element, _ = find_element(elements, wanted)
        base = payloads.common(self._config, "block_actions", user, self._triggers.issue(user))
        action = self._action(block, element, value, wanted)
        body = payloads.view_actions(base, view) | {"actions": [action]}
        return await self._delivery.send("interactive", body, user)

    def _action(self, block: Json, element: Json, value: str | None, wanted: Json) -> Json:
        action: Json = {
            "type": element["type"],
            "action_id": element["action_id"],
            "block_id": block["block_id"],
            "action_ts": self._workspace.new_ts(),
        }
        if element["type"] == "button":
            return (
                action | {"text": element["text"]} | {key: element[key] for key in ("value", "style") if key in element}
            )
        return action | input_state(element, value or labels_of(element).get(wanted.get("label") or ""))

    async def global_shortcut(self, user: str, callback_id: str) -> Delivered:
        """Choose one of the app's global shortcuts, which belong to no message and no channel."""
        self._workspace.user(user)
        names = [entry["callback_id"] for entry in self._config.shortcuts("global")]
        if callback_id not in names:
            raise NoSuchThing(f"there is no global shortcut {callback_id!r}; there are {', '.join(names) or 'none'}")
        base = payloads.common(self._config, "shortcut", user, self._triggers.issue(user))
        body = payloads.global_shortcut(base, callback_id, self._workspace.new_ts())
        return await self._delivery.send("interactive", body, user)

    def edit(self, user: str, channel: str, ts: str, text: str) -> Message:
        """Change the words of one's own message."""
        message = self._seen(user, self._place(user, channel), ts)
        if message.user != user:
            raise NoSuchThing(f"{user} did not write message {ts}")
        message.text = self._typed(text)
        message.edited = {"user": user, "ts": self._workspace.new_ts()}
        self._workspace.changed(message)
        return message

    async def shortcut(self, user: str, channel: str, ts: str, callback_id: str) -> Delivered:
        """Choose a message shortcut from a message's menu."""
        place = self._place(user, channel)
        message = self._seen(user, place, ts)
        names = {entry["callback_id"]: entry["name"] for entry in self._config.shortcuts("message")}
        if callback_id not in names:
            raise NoSuchThing(f"there is no shortcut {callback_id!r}; there are {', '.join(names)}")
        if message.only_for:
            raise NoSuchThing("a message only you can see has no shortcuts")
        body = payloads.message_action(
            payloads.common(self._config, "message_action", user, self._triggers.issue(user)),
            callback_id, message, place,
            at=self._workspace.new_ts(), response_url=self._hooks.issue(user, place.id, ts),
        )  # fmt: skip
        delivered = await self._delivery.send("interactive", body, user)
        self._failed(user, place.id, names[callback_id], delivered)
        return delivered

    async def submit(self, user: str, given: Json) -> Json:
        """Submit the open modal. Returns `{"errors": {block_id: text}}` when the form stays open."""
        view = self._views.of(user)
        if view is None:
            raise NoSuchThing(f"{user} has no form open")
        if wrong := refused_by_client(view, given):
            return {"errors": wrong}
        view["state"] = {"values": state_values(view, given)}
        body = payloads.common(self._config, "view_submission", user, self._triggers.issue(user))
        delivered = await self._delivery.send("interactive", body | {"view": view, "response_urls": []}, user)
        if delivered.error:
            return {"errors": {"": f"We had some trouble connecting ({delivered.error}). Try again?"}}
        return self._answer_form(user, view["id"], delivered.body)

    async def close_view(self, user: str) -> None:
        """Close the open modal; the app hears of it only when it asked to."""
        view = self._views.close(user)
        if view and view["notify_on_close"]:
            body = payloads.common(self._config, "view_closed", user, self._triggers.issue(user))
            await self._delivery.send("interactive", body | {"view": view, "is_cleared": False}, user)

    def _answer_form(self, user: str, submitted: str, ack: Json) -> Json:
        action = ack.get("response_action")
        if action == "errors":
            return {"errors": ack.get("errors", {})}
        if action == "update":
            try:
                check_view(ack.get("view"))
            except SlackError as refused:
                return {"errors": {"": f"The app answered with a view Slack refuses ({refused.code})."}}
            self._views.put(user, ack["view"])
            return {"errors": {}}
        if action == "push":
            return {"errors": {"": "The app wants to open a second form; this sandbox shows one at a time."}}
        now = self._views.of(user)
        if now is not None and now["id"] == submitted:  # the app may have opened the next one already
            self._views.close(user)
        return {"errors": {}}

    def _place(self, user: str, channel: str) -> Channel:
        self._workspace.user(user)
        place = self._workspace.channel(channel)
        if user not in place.members:
            raise NoSuchThing(f"{user} is not in {place.name}")
        return place

    def _seen(self, user: str, place: Channel, ts: str) -> Message:
        for message in self._workspace.seen_by(user, place.id):
            if message.ts == ts:
                return message
        raise NoSuchThing(f"{user} sees no message {ts} in {place.name}")

    def _typed(self, text: str) -> str:
        by_name = {user.name: user.id for user in self._config.users.values()}

        def mention(match: re.Match[str]) -> str:
            return f"<@{by_name[match[1]]}>" if match[1] in by_name else match[0]

        return re.sub(r"(?<![\w@])@([\w.-]*\w)", mention, escape(text))

    def _failed(self, user: str, channel: str, what: str, delivered: Delivered, thread_ts: str | None = None) -> bool:
        if delivered.error is None:
            return False
        reason = FAILURES[delivered.error].format(seconds=self._config.rules.ack_seconds)
        status = f" (HTTP {delivered.status})" if delivered.status else ""
        self._fail(user, channel, f"{what} failed with the error “{delivered.error}”{status}. {reason}", thread_ts)
        return True

    def _fail(self, user: str, channel: str, text: str, thread_ts: str | None = None) -> None:
        self._workspace.post(
            channel, "USLACKBOT", escape(text), only_for=user, kind="failure", thread_ts=thread_ts,
        )  # fmt: skip


def find_element(elements: Sequence[tuple[Json, Json, int | None]], wanted: Json) -> tuple[Json, Json, int | None]:
    """The one element that was meant. Raises `NoSuchThing` with what there is."""
    for block, element, attachment in elements:
        facts = {"action_id": {element["action_id"]}, "block_id": {block["block_id"]}, "label": set(labels_of(element))}
        if all(value is None or value in facts[name] for name, value in wanted.items()):
            return block, element, attachment
    there = ", ".join(f"{[*labels_of(each)]} ({each['action_id']})" for _, each, _ in elements) or "no buttons"
    raise NoSuchThing(f"there is no such button; there is {there}")


def escape(text: str) -> str:
    """Slack's escaping of what people type."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
