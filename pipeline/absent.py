"""How AWS says that there is no such thing: two codes, and for some things a refused request with words."""

from __future__ import annotations

import re

from botocore.exceptions import ClientError

_CODES = ("ResourceNotFound", "ResourceNotFoundException")
_WORDS = re.compile("not found|could not find|not exist", re.IGNORECASE)


def missing(error: ClientError) -> bool:
    """Whether AWS says that the thing does not exist, or does not any more."""
    code, words = str(error.response["Error"]["Code"]), error.response["Error"].get("Message", "")
    return code in _CODES or (code.startswith("Validation") and bool(_WORDS.search(words)))
