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
                message = self._workspace.find(change.channel, change.ts) if change.kind == "posted" else None
                for body in self._events_of(message) if message else []:
                    self.deliver(body)

    def deliver(self, body: Json) -> str:
        """Start the delivery of one event; returns its `event_id`, the same in every retry."""
        event_id = "Ev" + uuid.uuid4().hex[:10].upper()
        payload = payloads.event(self._workspace.config, event_id, int(time.time()), body)
        task = asyncio.create_task(self._attempt(payload))
        self._sending.add(task)
        task.add_done_callback(self._sending.discard)
        return event_id

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

    def _events_of(self, message: Message) -> list[Json]:
        wanted = self._workspace.config.app.events
        place = self._workspace.channels[message.channel]
        if self._workspace.bot not in place.members:
            return []
        base = message.json() | {"channel": message.channel, "event_ts": message.ts}
        base["channel_type"] = "im" if place.with_user else "group" if place.is_private else "channel"
        mentioned = f"<@{self._workspace.bot}>" in message.text and message.user != self._workspace.bot
        found = [base] if "message" in wanted else []
        return [*found, base | {"type": "app_mention"}] if "app_mention" in wanted and mentioned else found


_REASONS = {"operation_timeout": "http_timeout", "dispatch_failed": "connection_failed"}
