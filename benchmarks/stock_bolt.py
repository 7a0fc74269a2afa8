"""The anchor of `ack.p50_ms`: Bolt as its documentation shows it, with a listener that only acknowledges."""

from __future__ import annotations

import os

from slack_bolt import Ack, App
from slack_bolt.adapter.wsgi import SlackRequestHandler
from slack_bolt.authorization import AuthorizeResult


def create() -> SlackRequestHandler:
    """For gunicorn. Whose token it is, is known beforehand on both sides: there is no Slack to ask here."""
    app = App(
        signing_secret=os.environ["SLACK_SIGNING_SECRET"],
        authorize=lambda enterprise_id, team_id: AuthorizeResult(
            enterprise_id=enterprise_id, team_id=team_id, bot_token="xoxb-benchmark"
        ),
    )

    @app.command("/mlops")
    def acknowledge(ack: Ack) -> None:
        ack()

    return SlackRequestHandler(app)
