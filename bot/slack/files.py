"""Files people point at in Slack, fetched with the bot's token, and with it only from Slack."""

from __future__ import annotations

from urllib.parse import urlsplit

import urllib3
from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError

from commands.command import Attachment
from pipeline.errors import BadInput, Unavailable

LARGEST = 20 * 1024 * 1024
TIMEOUT = urllib3.Timeout(connect=5, read=30)


def fetch(client: WebClient, file_id: str) -> Attachment:
    """The file's name and bytes. Raises BadInput when it is too large, Unavailable when Slack does not hand it out."""
    try:
        file = client.files_info(file=file_id)["file"]
    except (SlackApiError, OSError) as error:
        raise Unavailable("Slack did not hand out the file.", "Check that the bot is in that channel.") from error
    url, name = str(file.get("url_private", "")), str(file.get("name", file_id))
    if int(file.get("size", 0)) > LARGEST:
        raise BadInput(f"{name} is larger than {LARGEST // 2**20} MiB.", "Point at a smaller picture.")
    if not _is_slacks(url, client.base_url):
        raise BadInput(f"{name} does not lie in Slack.", "Upload the picture to the channel and point at that message.")
    headers = {"Authorization": f"Bearer {client.token}"}
    try:
        response = urllib3.request("GET", url, headers=headers, timeout=TIMEOUT, redirect=False)
    except urllib3.exceptions.HTTPError as error:
        raise Unavailable(f"Slack did not deliver {name}.", "Try again.") from error
    if response.status != 200:
        raise Unavailable(
            f"Slack did not deliver {name} (HTTP {response.status}).", "Upload it again and try once more."
        )
    return Attachment(name, response.data)


def _is_slacks(url: str, api: str) -> bool:
    """The token goes to the API's own host, or by https to slack.com; a file may live elsewhere, the token must not."""
    there, home = urlsplit(url), urlsplit(api)
    if (there.scheme, there.netloc) == (home.scheme, home.netloc):
        return True
    return there.scheme == "https" and (there.hostname or "").endswith(".slack.com")
