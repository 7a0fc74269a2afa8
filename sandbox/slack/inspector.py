"""What the page's inspector shows: the wire between workspace, app and AWS after the last thing a person did."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx

from sandbox.slack.journal import Journal
from sandbox.slack.messages import Json

SHOWN_CALLS = 40
_ANSWERS = (
    "chat.postMessage",
    "chat.postEphemeral",
    "chat.update",
    "files.completeUploadExternal",
    "views.open",
    "response_url",
)


class Inspector:
    """Reads the journal, and asks the AWS stand-in for the person's calls. `aclose` when done."""

    def __init__(self, journal: Journal, team: str, aws_url: str | None) -> None:
        self._journal = journal
        self._team = team
        self._aws_url = aws_url
        self._client = httpx.AsyncClient(trust_env=False, timeout=2)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def of(self, user: str) -> Json:
        """The last delivery of a person and everything that followed from it."""
        entries = list(self._journal.entries)
        last = next(
            (entry for entry in reversed(entries) if entry["kind"] == "delivery" and entry["user"] == user), None
        )
        if last is None:
            return {"delivery": None, "calls": [], "aws": None}
        calls = [entry for entry in entries if entry["kind"] in ("api", "hook") and entry["at"] >= last["started"]]
        answers = [last["started"] + last["ack_ms"] / 1000] if last["ack_body"] else []
        answers += [entry["at"] for entry in calls if entry["ok"] and entry["method"] in _ANSWERS]
        return {
            "delivery": last,
            "raw": readable(last["raw"]),
            "path": urlsplit(last["url"]).path,
            "first_answer_ms": round((answers[0] - last["started"]) * 1000) if answers else None,
            "calls": counted(calls)[-SHOWN_CALLS:],
            "aws": await self._aws_calls(user, last["started"]),
        }

    async def _aws_calls(self, user: str, since: float) -> Json | None:
        if not self._aws_url:
            return None
        question = {"source_identity": f"{self._team}.{user}", "since": datetime.fromtimestamp(since, UTC).isoformat()}
        try:
            answer = await self._client.get(f"{self._aws_url.rstrip('/')}/_sandbox/calls", params=question)
            answer.raise_for_status()
            records = answer.json()
        except (httpx.HTTPError, ValueError) as problem:
            return {"calls": [], "problem": f"the AWS stand-in did not answer ({type(problem).__name__})"}
        return {"calls": [aws_call(record) for record in records[-SHOWN_CALLS:]], "problem": None}


def counted(calls: list[Json]) -> list[Json]:
    """Calls in a row that went alike as one line: how often (`times`), and the last one's milliseconds."""
    lines: list[Json] = []
    for call in calls:
        line = {"method": call["method"], "ok": call["ok"], "error": call["error"]}
        if lines and lines[-1].items() >= line.items():
            lines[-1] |= {"times": lines[-1]["times"] + 1, "ms": call["ms"]}
        else:
            lines.append(line | {"times": 1, "ms": call["ms"]})
    return lines


def aws_call(record: Json) -> Json:
    """One CloudTrail record in a line."""
    identity: dict[str, Any] = record.get("userIdentity") or {}
    issuer = (identity.get("sessionContext") or {}).get("sessionIssuer") or {}
    session = str(identity.get("arn", "")).partition("/")[2]
    return {
        "name": record.get("eventName", "?"),
        "service": str(record.get("eventSource", "")).removesuffix(".amazonaws.com"),
        "role": issuer.get("userName") or session.partition("/")[0],
        "error": record.get("errorCode"),
        "message": record.get("errorMessage"),
        "session": session,
        "source_identity": (identity.get("sessionContext") or {}).get("sourceIdentity", ""),
    }


def readable(raw: str) -> str:
    """The body of a delivery for reading: a form field a line, JSON indented."""
    if raw.startswith("{"):
        return json.dumps(json.loads(raw), indent=1, ensure_ascii=False)
    fields = dict(parse_qsl(raw, keep_blank_values=True))
    if set(fields) == {"payload"}:
        return "payload=" + json.dumps(json.loads(fields["payload"]), indent=1, ensure_ascii=False)
    return "\n".join(f"{name}={value}" for name, value in fields.items())
