"""From a reply to outbox rows: who sees it, where it stands, and what is kept up to date."""

from __future__ import annotations

from sqlalchemy import Connection

from bot.slack.render import render
from commands.reply import Audience, Reply
from state import live, outbox
from state.invocations import Invocation
from state.outbox import Priority

_OWN_CHAT = ("D", "U", "W")
"""What a channel's id begins with where only one person reads; a person's id stands for the chat with them."""


def deliver(connection: Connection, asked: Invocation, reply: Reply, audience: Audience) -> None:
    """Queue a reply and what goes with it. `audience` counts where the reply does not say its own."""
    if reply.slot and asked.channel is not None:
        # Who asks wants an answer where they asked, not an edit of a message far above.
        outbox.detach(connection, reply.slot)
    _put(connection, asked, reply, reply.audience or audience, Priority.ANSWER)
    for message in reply.also:
        if message.to:
            _elsewhere(connection, asked, message)
        else:
            _put(connection, asked, message, message.audience or Audience.CHANNEL, Priority.POST)


def redraw(connection: Connection, reply: Reply) -> None:
    """Bring the message in the reply's slot and its copies up to date, where they were ever posted."""
    slot = reply.slot or ""
    for standing in [slot] * outbox.slot_exists(connection, slot) + [*outbox.copies(connection, slot)]:
        outbox.put(connection, "message", render(reply), priority=Priority.POST, slot=standing)


def _elsewhere(connection: Connection, asked: Invocation, reply: Reply) -> None:
    """To a channel or a person of its own. With a slot it is a copy of that message, and edited together with it."""
    slot = outbox.copy_of(reply.slot, str(reply.to)) if reply.slot else None
    content, priority = render(reply), Priority.POST
    outbox.put(connection, "message", content, priority=priority, channel=reply.to, slot=slot, invocation=asked.id)


def _put(connection: Connection, asked: Invocation, reply: Reply, audience: Audience, priority: Priority) -> None:
    slot = reply.slot or (f"live-{asked.id}" if reply.follow else None)
    for copy in outbox.copies(connection, reply.slot) if reply.slot else ():
        outbox.put(connection, "message", render(reply), priority=priority, slot=copy, invocation=asked.id)
    if slot and outbox.slot_exists(connection, slot):
        _message(connection, asked, reply, slot, priority, asked.channel)
    elif asked.channel is None:
        return  # asked from a terminal: there is no message to edit and no channel to post in
    elif audience is Audience.CHANNEL or asked.channel.startswith(_OWN_CHAT):
        _message(connection, asked, reply, slot, priority, asked.channel)
    elif reply.picture is not None or reply.document is not None:
        # An ephemeral message cannot carry a picture or a file: it goes into the conversation with that person.
        _message(connection, asked, reply, slot, priority, asked.user_id)
    else:
        outbox.put(
            connection,
            "ephemeral",
            render(reply),
            priority=priority,
            channel=asked.channel,
            user=asked.user_id,
            # Slack shows a private answer in a thread only where there is a thread already.
            thread_ts=None if asked.surface == "mention" and asked.thread_ts == asked.message_ts else asked.thread_ts,
            response_url=asked.response_url,
            invocation=asked.id,
        )


def _message(
    connection: Connection, asked: Invocation, reply: Reply, slot: str | None, priority: Priority, channel: str | None
) -> None:
    row = outbox.put(
        connection,
        "message",
        render(reply),
        priority=priority,
        channel=channel,
        user=asked.user_id,
        thread_ts=asked.thread_ts,
        response_url=asked.response_url,
        slot=slot,
        picture=reply.picture.data if reply.picture else reply.document.text.encode() if reply.document else None,
        picture_name=reply.picture.name if reply.picture else reply.document.name if reply.document else None,
        invocation=asked.id,
    )
    if reply.follow and slot and row is not None:
        live.follow(connection, kind=reply.follow.kind, arn=reply.follow.arn, slot=slot, invocation=asked.id)
