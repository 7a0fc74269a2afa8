"""What looks like a secret, and how it is left out: before anything is recorded, queued for Slack, or logged."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

_NAMED = r"(?i:password|passwd|secret|token|access[_-]?key)[\w-]{0,40}"
_SECRETS = re.compile(
    r"(?:xox[a-z]-|xapp-)[\w-]+"  # Slack tokens
    r"|\b(?:AKIA|ASIA)[A-Z0-9]{12,}\b"  # AWS access key ids
    r"|(?<![\w/+=])(?:FwoG|FQoG|IQoJ)[\w/+=]{40,}"  # AWS session tokens
    r"|(?<![\w/+])(?=[\w/+]*[A-Z])(?=[\w/+]*[a-z])(?=[\w/+]*[0-9])[A-Za-z0-9/+]{40}(?![\w/+])"  # AWS secret keys
    r"|(?<![\w-])eyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*"  # JSON web tokens
    r"|\bgh[opsu]_\w{20,}|\bgithub_pat_\w{20,}"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)"
    r"|(?P<before>"
    r"hooks\.slack\.com/"
    r"|://[^\s/:@]*:(?=[^\s/@]+@)"  # a password in an address
    r"|\b(?i:bearer) +"
    rf"|(?:(?i:X-Amz-Signature|X-Amz-Credential)|{_NAMED})['\"]?\s{{0,8}}[=:]\s{{0,8}}"
    rf"|--[\w-]{{0,40}}?{_NAMED}\s{{1,8}}"  # as an argument of a command
    r")(?:\"[^\"]*\"|'[^']*'|[^\s&\"',;@]+)",
    re.DOTALL,
)
"""Takes a time that grows with the text and no faster: it is typed by people, and appending waits for it."""


def redact(text: str) -> str:
    """`text` with everything that looks like a secret replaced by a mark, and without what PostgreSQL cannot hold."""
    holdable = text.replace("\x00", "").encode("utf-8", "replace").decode()
    return _SECRETS.sub(lambda found: f"{found['before'] or ''}[removed]", holdable)


def redacted(content: Any, name: str = "") -> Any:
    """The same for all texts of a message, but for a button's `value`: it is the command that the button types."""
    if isinstance(content, str):
        return content if name == "value" else redact(content)
    if isinstance(content, Mapping):
        return {key: redacted(value, key) for key, value in content.items()}
    return [redacted(value, name) for value in content] if isinstance(content, list | tuple) else content
