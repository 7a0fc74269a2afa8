"""`files.*`: the three-step upload, and what is known of a file."""

from __future__ import annotations

from sandbox.slack.errors import SlackError
from sandbox.slack.files import LARGEST
from sandbox.slack.messages import Json
from sandbox.slack.rates import TIER_4
from sandbox.slack.webapi.call import Call, Method


def get_upload_url(call: Call) -> Json:
    """`files.getUploadURLExternal`: where to POST `length` bytes."""
    name, length = call.optional("filename"), call.number("length", 0)
    if not name or length <= 0:
        raise SlackError("missing_argument")
    if length > LARGEST:
        raise SlackError("file_upload_size_restricted")
    alt = call.text("alt_txt", "")
    if len(alt) > 1000:
        raise SlackError("alt_txt_too_large")
    file = call.world.files.expect(name, length, call.workspace.bot, alt)
    return {"upload_url": f"{call.world.base_url}/upload/{file.id}", "file_id": file.id}


def complete_upload(call: Call) -> Json:
    """`files.completeUploadExternal`: with a channel, the files are posted there in one message."""
    given = call.arguments.get("files")
    if not isinstance(given, list) or not given or not all(isinstance(entry, dict) for entry in given):
        raise SlackError("invalid_arguments")
    files = [call.world.files.get(str(entry.get("id"))) for entry in given]
    if any(not file.uploaded or file.complete for file in files):
        raise SlackError("file_not_found")
    wanted = [part for part in (call.optional("channel_id") or call.text("channels", "")).split(",") if part]
    channels = [Call(call.world, {"channel": name}).writable() for name in wanted]
    thread = call.optional("thread_ts")
    if thread and any(call.workspace.find(channel.id, thread) is None for channel in channels):
        raise SlackError("thread_not_found")
    blocks = call.arguments.get("blocks") or []
    comment = call.text("initial_comment", "")
    if blocks or comment:
        Call(call.world, {"text": comment, "blocks": blocks}).content()
    for file, entry in zip(files, given, strict=True):
        file.complete = True
        file.title = entry.get("title") or file.name
    shown = [call.world.files.json(file) for file in files]
    for channel in channels:
        call.workspace.post(channel.id, call.workspace.bot, comment, blocks=list(blocks), files=shown, thread_ts=thread)
    return {"files": shown}


def file_info(call: Call) -> Json:
    """`files.info`."""
    file = call.world.files.get(call.text("file"))
    if not file.complete:
        raise SlackError("file_not_found")
    return {"file": call.world.files.json(file), "comments": []}


METHODS = {
    "files.getUploadURLExternal": Method(get_upload_url, "files:write", TIER_4),
    "files.completeUploadExternal": Method(complete_upload, "files:write", TIER_4),
    "files.info": Method(file_info, "files:read", TIER_4),
}
