"""The Events API: delivers what the app is subscribed to, with retries, in the background."""

from __future__ import annotations

import asyncio
import time
import uuid

from sandbox.slack import payloads
from sandbox.slack.delivery import Delivery
from sandbox.slack.messages import Json, Message
from sandbox.slack.workspace import Workspace


class Events:
    """Follows the feed and turns new messages into `message` and `app_mention` events."""

    def __init__(self, workspace: Workspace, delivery: Delivery) -> None:
        self._workspace = workspace
        self._delivery = delivery
        self._sending: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Deliver until cancelled."""
        with self._workspace.feed.follow() as changes:
            while change := await changes.get():
                said = change.kind in ("posted", "edited")
                message = self._workspace.find(change.channel, change.ts) if said else None
                for body in self._events_of(message, change.kind == "edited") if message else []:
                    self.deliver(body)

    def deliver(self, body: Json) -> str:
        """Start the delivery of one event; returns its `event_id`, the same in every retry."""
        event_id = "Ev" + uuid.uuid4().hex[:10].upper()
        payload = payloads.event(self._workspace.config, event_id, int(time.time()), body)
        task = asyncio.create_task(self._attempt(payload))
        self._sending.add(task)
        task.add_done_callback(self._sending.discard)
        return event_id

    def home_opened(self, user: str, view: Json | None) -> None:
        """Tell the app that a person looks at its Home, if it wants to know."""
        if "app_home_opened" not in self._workspace.config.app.events:
            return
        chat = self._workspace.direct(user).id
        body = {"type": "app_home_opened", "user": user, "channel": chat, "tab": "home"}
        self.deliver(body | {"event_ts": self._workspace.new_ts()} | ({"view": view} if view else {}))

    async def verify(self) -> Json:
        """Send `url_verification`, as Slack does when a request URL is entered."""
        challenge = uuid.uuid4().hex
        body = {"type": "url_verification", "token": payloads.LEGACY_TOKEN, "challenge": challenge}
        delivered = await self._delivery.send("event", body, None)
        verified = delivered.error is None and challenge in (
            delivered.body.get("challenge"),
            delivered.body.get("text"),
        )
        return delivered.json() | {"verified": verified}

    async def stop(self) -> None:
        """Give up what is still being retried."""
        for task in self._sending:
            task.cancel()
        await asyncio.gather(*self._sending, return_exceptions=True)

    async def _attempt(self, payload: Json) -> None:
        delivered = await self._delivery.send("event", payload, None)
        for number, wait in enumerate(self._workspace.config.rules.retry_seconds, 1):
            if delivered.error is None or delivered.no_retry:
                return
            await asyncio.sleep(wait)
            reason = _REASONS.get(delivered.error, "http_error") if delivered.status is None else "http_error"
            headers = {"X-Slack-Retry-Num": str(number), "X-Slack-Retry-Reason": reason}
            delivered = await self._delivery.send("event", payload, None, headers)

    def _events_of(self, message: Message, edited: bool) -> list[Json]:
        """What Slack tells of a message that a person or the app has just posted, or a person has just edited."""
        wanted = self._workspace.config.app.events
        place = self._workspace.channels[message.channel]
        if self._workspace.bot not in place.members or (edited and message.edited is None):
            return []
        base = message.json() | {"channel": message.channel, "event_ts": message.ts}
        base["channel_type"] = "im" if place.with_user else "group" if place.is_private else "channel"
        found = []
        if "message" in wanted or (place.with_user and "message.im" in wanted):
            found.append(self._changed(base) if edited else base)
        # A mention that is edited comes again, under the same ts. Between two people there are no mentions of the app.
        mentioned = f"<@{self._workspace.bot}>" in message.text and message.user != self._workspace.bot
        if "app_mention" in wanted and mentioned and not place.with_user:
            found.append({**base, "type": "app_mention"})
        return found

    def _changed(self, message: Json) -> Json:
        about = {name: message[name] for name in ("type", "channel", "channel_type")}
        now = self._workspace.new_ts()
        return {**about, "subtype": "message_changed", "message": message, "ts": now, "event_ts": now, "hidden": True}


_REASONS = {"operation_timeout": "http_timeout", "dispatch_failed": "connection_failed"}
