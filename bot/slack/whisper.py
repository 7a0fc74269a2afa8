"""A link for one person's eyes: said at once and kept nowhere, neither in the outbox nor in the audit log.

Everything else goes through the outbox and the sender. A link that is a key must not be stored, so this one is posted
by the thread that works on the command: it is said once or, with the reason, not at all.
"""

from __future__ import annotations

import http.client

from slack_sdk import WebClient
from slack_sdk.errors import SlackClientError
from slack_sdk.webhook import WebhookClient

from bot.slack.words import mrkdwn
from commands.reply import Link
from pipeline.errors import Refused, Unavailable
from state.invocations import Invocation

TIMEOUT_S = 10


def whisper(slack: WebClient, asked: Invocation, link: Link) -> None:
    """Show a link to the person who asked, and to nobody else.

    Raises Refused where nobody can be whispered to (a terminal), Unavailable when Slack does not take it.
    """
    text = mrkdwn([link])
    blocks = [{"type": "section", "text": {"type": "mrkdwn", "text": text, "verbatim": True}}]
    try:
        if asked.response_url:
            body = {"response_type": "ephemeral", "replace_original": False, "text": link.label, "blocks": blocks}
            answer = WebhookClient(asked.response_url, timeout=TIMEOUT_S, retry_handlers=[]).send_dict(body)
            if answer.status_code != 200:
                raise _untold()
        elif asked.channel and asked.channel.startswith(("U", "W")):
            chat = slack.conversations_open(users=asked.user_id)["channel"]["id"]
            slack.chat_postMessage(channel=chat, text=link.label, blocks=blocks)
        elif asked.channel:
            slack.chat_postEphemeral(channel=asked.channel, user=asked.user_id, text=link.label, blocks=blocks)
        else:
            raise Refused("This link is for one person alone, so it is shown in Slack only.", "Type it there.")
    except (SlackClientError, OSError, http.client.HTTPException):
        # Without its cause: an error's text may hold the request, and with it the link.
        raise _untold() from None


def _untold() -> Unavailable:
    return Unavailable("Slack did not take the message with your link, so nobody has seen it.", "Ask again.")
