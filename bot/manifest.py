"""The Slack app's manifest, made from what the bot declares; every scope says what it is for."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from bot.surfaces import GLOBAL_SHORTCUTS, SHORTCUTS, SLASH_COMMAND

REQUEST_URL = "https://YOUR-HOST/slack/events"

SCOPES: Mapping[str, str] = MappingProxyType(
    {
        "commands": f"the slash command {SLASH_COMMAND} and the shortcuts",
        "chat:write": "answers, live messages and their edits, private answers",
        "files:write": "pictures with detections drawn on them",
        "files:read": "the photo that a message shortcut points at",
        "channels:history": "after a crash: find out whether a message was posted already (public channels)",
        "groups:history": "the same in private channels the bot was invited to",
        "im:write": "a picture that only one person may see goes into the conversation with them",
        "users:read": "whether Slack still vouches for a person who asks for something, and that person's time zone",
        "im:history": "what people write to the bot in its own chat; after a crash: the same look in there",
        "app_mentions:read": "what people ask by mentioning the bot, in threads too",
    }
)


EVENTS: Mapping[str, str] = MappingProxyType(
    {
        "app_mention": "a question by a mention",
        "message.im": "a question in the bot's own chat",
        "app_home_opened": "somebody looks at their Home",
    }
)


def manifest(*, socket: bool = False) -> str:
    """YAML for api.slack.com/apps > Create New App > From a manifest. `socket`: for Socket Mode, without addresses."""
    url = "" if socket else f"\n      url: {REQUEST_URL}"
    request_url = "" if socket else f"\n    request_url: {REQUEST_URL}"
    about = "Slack needs no address of yours." if socket else "Put your own host into the request URLs (https)."
    scopes = "\n".join(f"      - {scope}  # {reason}" for scope, reason in SCOPES.items())
    shortcuts = "\n".join(
        f"""    - name: {name}
      type: message
      callback_id: {callback_id}
      description: {name} on the picture of a message"""
        for callback_id, (name, _) in SHORTCUTS.items()
    )
    shortcuts += "".join(
        f"""
    - name: {name}
      type: global
      callback_id: {callback_id}
      description: Choose a command and fill in its form"""
        for callback_id, (name, _) in GLOBAL_SHORTCUTS.items()
    )
    events = "\n".join(f"      - {event}  # {reason}" for event, reason in EVENTS.items())
    return f"""\
# Made by `python -m bot manifest`. {about}
display_information:
  name: Groundcrew
  description: Trains, promotes, deploys and watches the drone-imagery models
  background_color: "#0b6e4f"
features:
  app_home:
    home_tab_enabled: true
    messages_tab_enabled: true
    messages_tab_read_only_enabled: false
  bot_user:
    display_name: Groundcrew
    always_online: true
  slash_commands:
    - command: {SLASH_COMMAND}
      description: Train, promote, deploy and ask the models
      usage_hint: help{url}
      should_escape: true
  shortcuts:
{shortcuts}
oauth_config:
  scopes:
    bot:
{scopes}
settings:
  event_subscriptions:{request_url}
    bot_events:
{events}
  interactivity:
    is_enabled: true{request_url}
  org_deploy_enabled: false
  socket_mode_enabled: {str(socket).lower()}
  token_rotation_enabled: false
"""
