"""The one error tree of the project. Every error says what happened and what the reader can do about it.

    GroundcrewError
    ├── BadInput      the person's words or data are wrong; carries the usage or the offending files
    ├── NotFound      a named thing does not exist; carries the nearest existing names
    ├── Refused       allowed in principle, but not now or not by this person (state, approval, ownership)
    ├── Denied        AWS refused the call; the message holds AWS's own words
    └── Unavailable   a service behind us does not answer; trying again later may help

It lives in `pipeline` because the code that SageMaker runs ships only this package; `iam`, `state`, `commands`
and `bot` import it from here.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class GroundcrewError(Exception):
    """Base of all expected errors: `message` is what happened, `advice` what to do next (one sentence each)."""

    def __init__(self, message: str, advice: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.advice = advice


class BadInput(GroundcrewError):
    """What the person typed or supplied cannot be used."""


class NotFound(GroundcrewError):
    """A named pipeline, execution, version, endpoint, key or approval does not exist."""

    def __init__(self, kind: str, name: str, existing: Iterable[str] = (), advice: str = "") -> None:
        names = list(existing)
        near = difflib.get_close_matches(name, names, n=3, cutoff=0.4) or names[:3]
        hint = f"Nearest: {', '.join(near)}." if near else ""
        super().__init__(f"There is no {kind} {name!r}.", " ".join(part for part in (hint, advice) if part))
        self.nearest = near


class Refused(GroundcrewError):
    """The thing exists and the request is well formed, but it may not happen now or not by this person."""


class Denied(GroundcrewError):
    """AWS refused a call. `message` quotes AWS; the bot never decides this itself."""


class Unavailable(GroundcrewError):
    """A service behind us (MLflow, Slack, the database, an endpoint) does not answer."""
