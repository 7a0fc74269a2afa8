"""What a command answers: content without any knowledge of Slack.

`bot.slack.render` and the terminal turn it into something to see.
Text is a plain string, or a sequence of strings and the inline parts below. Strings are data: a renderer shows
every character of them and obeys none (no mentions, links or markup can be smuggled in).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal


class Outcome(StrEnum):
    """How an invocation ended; the same words in replies, audit, database and exit codes."""

    OK = "ok"
    DENIED = "denied"
    ERROR = "error"
    EXPIRED = "expired"
    INTERRUPTED = "interrupted"
    NEEDS_CONFIRMATION = "needs_confirmation"
    PENDING_APPROVAL = "pending_approval"


class Audience(StrEnum):
    """Who sees an answer."""

    CHANNEL = "channel"
    PERSON = "person"


@dataclass(frozen=True)
class Mention:
    """A person, or a group of people, by Slack id."""

    user: str


@dataclass(frozen=True)
class Channel:
    """A channel, by Slack id."""

    id: str


@dataclass(frozen=True)
class Code:
    """A name, id or command, set in a fixed-width face."""

    text: str


@dataclass(frozen=True)
class Strong:
    """Words that matter most in a line."""

    text: str


@dataclass(frozen=True)
class Link:
    """An http(s) link with its label."""

    url: str
    label: str


@dataclass(frozen=True)
class Moment:
    """A point in time (UTC epoch seconds), shown in the reader's own zone."""

    at: float


Inline = str | Mention | Channel | Code | Strong | Link | Moment
Text = str | Sequence[Inline]


@dataclass(frozen=True)
class Fact:
    """One labelled value, e.g. mAP50 0.966."""

    label: str
    value: Text


StepState = Literal["waiting", "running", "done", "failed", "stopped", "skipped"]


@dataclass(frozen=True)
class Step:
    """One line of a progress list. `progress` (0..1) draws a bar."""

    name: str
    state: StepState
    detail: Text = ""
    progress: float | None = None


@dataclass(frozen=True)
class Table:
    """Rows under headings; `caption` names it for screen readers. All rows are as long as `columns`."""

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    caption: str


@dataclass(frozen=True)
class Picture:
    """An encoded image (PNG or JPEG bytes) with a file name and a description for those who cannot see it."""

    data: bytes = field(repr=False)
    name: str
    alt: str


@dataclass(frozen=True)
class Document:
    """A text file to keep, with its name. It goes to the person who asked, and the words of the reply go with it."""

    text: str = field(repr=False)
    name: str


@dataclass(frozen=True)
class Confirm:
    """A question asked before a button acts."""

    title: str
    text: str
    yes: str
    no: str = "Cancel"


@dataclass(frozen=True)
class Action:
    """A button. Pressing it is typing `command`; with `url` it only opens a page."""

    label: str
    command: str = ""
    style: Literal["primary", "danger"] | None = None
    confirm: Confirm | None = None
    url: str | None = None


@dataclass(frozen=True)
class Menu:
    """A few commands under one label, e.g. for how long. Choosing one is typing its command.

    A menu holds only short commands without a question; a renderer makes buttons of the others.
    """

    label: str
    options: Sequence[Action]


@dataclass(frozen=True)
class Follow:
    """Keep this reply up to date until the named thing has ended. `kind` is a key of `bot.watcher`'s table."""

    kind: Literal["execution", "deployment", "explanation", "monitor", "cleanup", "profile", "batch", "tuning"]
    arn: str


@dataclass(frozen=True)
class Finding:
    """One thing that was checked: what, whether it is as it should be, what was seen, and how to mend it."""

    what: str
    fine: bool
    said: str
    fix: str = ""


@dataclass(frozen=True)
class Choice:
    """One thing a field offers. `typed` is the piece of command line that choosing it means; empty for nothing."""

    label: str
    typed: str


@dataclass(frozen=True)
class Field:
    """One field of a form: the `choices` where there are some (`several`: any of them), else a number or a text.

    In a text with `words` each word is a value of its own. `typed` is what stands before the value on the line
    (`--epochs`), nothing for a positional argument. `value` is what it holds at first, of a choice its piece of line;
    `default` what the command takes without it.
    """

    name: str
    label: str
    typed: str = ""
    hint: str = ""
    required: bool = False
    choices: Sequence[Choice] = ()
    several: bool = False
    words: bool = False
    number: bool = False
    whole: bool = False
    low: float | None = None
    high: float | None = None
    step: int | None = None
    value: str = ""
    default: str = ""


@dataclass(frozen=True)
class Form:
    """A command to be filled in. Sending it is typing `line` and what the fields hold."""

    title: str
    line: str
    fields: Sequence[Field]
    intro: Text = ""
    send: str = "Run"


@dataclass(frozen=True)
class Reply:
    """A command's answer, in the order a person reads it: what happened, who and which, state, evidence, next step.

    `slot` names a message that is edited in place: the first reply with that slot posts it, later ones update it.
    `quote` is shown fixed-width (AWS's own words, log lines).
    `approval` is the request this is about: its card is brought up to date together with the answer.
    `form` is shown instead of the reply where a form can be opened now; the reply says how to get to it elsewhere.
    `also` are further messages; those of a live message hang in its thread once it has ended.
    `to` (a channel's or a user's id) sends one elsewhere than where it was asked.
    """

    title: str
    outcome: Outcome = Outcome.OK
    context: Text = ""
    text: Text = ""
    steps: Sequence[Step] = ()
    facts: Sequence[Fact] = ()
    table: Table | None = None
    quote: str = ""
    picture: Picture | None = None
    document: Document | None = None
    actions: Sequence[Action | Menu] = ()
    environment: Literal["dev", "staging", "prod"] | None = None
    audience: Audience | None = None
    slot: str | None = None
    follow: Follow | None = None
    approval: str | None = None
    form: Form | None = None
    also: Sequence[Reply] = ()
    to: str | None = None
