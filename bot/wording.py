"""What Slack does to typed text, undone in one place; and errors as replies."""

from __future__ import annotations

import html
import re

from botocore.exceptions import ClientError, CredentialRetrievalError, HTTPClientError, NoCredentialsError

from commands.reply import Action, Code, Fact, Inline, Mention, Moment, Outcome, Reply, Text
from pipeline.errors import Denied, GroundcrewError, Unavailable

TITLE = 120
"""Characters of a sentence that still reads as a title."""
REFUSALS = frozenset({"AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "NotAuthorized", "403"})
BUSY = frozenset({"Throttling", "ThrottlingException", "TooManyRequestsException", "SlowDown", "ServiceUnavailable"})
STALE = frozenset({"ExpiredToken", "ExpiredTokenException", "RequestExpired"})

UNREACHABLE = (HTTPClientError, NoCredentialsError, CredentialRetrievalError)

_SMART = str.maketrans({"“": '"', "”": '"', "„": '"', "«": '"', "»": '"', "‘": "'", "’": "'", "‚": "'", "\u00a0": " "})
_LINK = re.compile(r"<(?:mailto:|tel:)?(https?://[^|>\s]+|[^|>\s@#!<]+)(?:\|([^>]*))?>")
_USER = re.compile(r"<@([UW][A-Z0-9]+)(?:\|[^>]*)?>")
_CHANNEL = re.compile(r"<#([CGD][A-Z0-9]+)(?:\|[^>]*)?>")
_LONG_DASH = re.compile(r"(?<!\S)[—–](?=\w)|(?<!\S)—-?(?=\w)")


def typed(text: str, command: str = "/mlops") -> str:
    """The words as the person typed them: entities, smart quotes, long dashes, links and mentions undone.

    `<@U123>` becomes `U123`, `<#C123|name>` becomes `C123`, `<http://x.y|x.y>` becomes what was typed, `x.y`.
    """
    text = _USER.sub(r"\1", _CHANNEL.sub(r"\1", text))
    text = _LINK.sub(lambda link: link[2] or link[1], text)
    text = html.unescape(text).translate(_SMART)
    text = _LONG_DASH.sub("--", text)
    return text.strip().removeprefix(command).strip()


def mistake(error: GroundcrewError) -> Reply:
    """An expected error as a reply: what happened, then what to do."""
    if isinstance(error, Denied):
        return denied(error, "")
    short = len(error.message) <= TITLE and "\n" not in error.message
    return Reply(
        title=error.message if short and "<@" not in error.message else "That did not work",
        outcome=Outcome.ERROR,
        text=_marked(error.advice if short and "<@" not in error.message else f"{error.message}\n{error.advice}"),
    )


def denied(error: Denied, role: str, command: str = "", environment: str | None = None) -> Reply:
    """AWS's refusal: of which command, in AWS's own words, and what can be done about it."""
    within = f" in {environment}" if environment else ""
    why = f'access why "{command}"' + (f" --env {environment}" if environment else "")
    acting: Text = ["You act as ", Code(role), ". "] if role else ""
    advice = error.advice or (
        "Nothing was changed by this call. Ask somebody whose role includes it, or have the right added to yours."
    )
    return Reply(
        title=f"AWS said no to {command}{within}" if command else "AWS said no",
        outcome=Outcome.DENIED,
        text=[*acting, *_marked(advice)],
        quote=error.message,
        actions=[*([Action("Why?", why)] if command else ()), Action("What may I do?", "whoami")],
    )


def of_aws(error: ClientError) -> GroundcrewError | None:
    """What an AWS error means for the person: not allowed, busy, session over; None for a request refused as such."""
    code = str(error.response.get("Error", {}).get("Code", ""))
    said = str(error.response.get("Error", {}).get("Message", "")) or code
    if code in REFUSALS:
        # S3 answers a HEAD request without a body, so there are no words to quote but the call itself.
        return Denied(said if " " in said else f"{error.operation_name}: {said} ({code})")
    if code in BUSY:
        return Unavailable(f"AWS is busy: {said}", "Try again in a minute.")
    if code in STALE:
        return Unavailable(f"The AWS session has ended: {said}", "Repeat the command: it gets a fresh session.")
    return None


def refused_request(error: ClientError, invocation: str) -> Reply:
    """AWS understood who asks and refused what is asked (a name taken, a value out of range)."""
    return Reply(
        title=f"AWS refused {error.operation_name}",
        outcome=Outcome.ERROR,
        text="Compare what AWS says with what you typed, then try again.",
        quote=str(error.response.get("Error", {}).get("Message", "")) or str(error),
        facts=[Fact("Invocation", invocation)],
    )


def unforeseen(invocation: str) -> Reply:
    """What a person sees of a defect in Groundcrew: no traceback, but the name under which the log has it."""
    return Reply(
        title="Groundcrew could not finish this",
        outcome=Outcome.ERROR,
        text=(
            "Something went wrong inside Groundcrew, not in what you typed. Look whether it took effect before you "
            "repeat it. If it happens again, give the number below to whoever runs Groundcrew: the log knows it."
        ),
        facts=[Fact("Invocation", invocation)],
    )


def unknown_person(user: str, advice: str) -> Reply:
    """For somebody the access file does not name."""
    return Reply(
        title="I do not know you yet",
        outcome=Outcome.DENIED,
        text=["Nobody has given ", Mention(user), f" a role yet, so nothing was done. {advice}"],
    )


def interrupted(line: str, started: float) -> Reply:
    """For a changing command whose worker died: what is known, and how to find out the rest."""
    return Reply(
        title="This was interrupted",
        outcome=Outcome.INTERRUPTED,
        text=[
            "The process that worked on ",
            Code(line),
            " since ",
            Moment(started),
            " stopped. It may have taken effect or not; it was not started again. Look before you repeat it.",
        ],
        actions=_look(line),
    )


def _look(line: str) -> list[Action]:
    noun = line.split(" ", 1)[0]
    looks = {"pipeline": "pipeline list", "registry": "registry list", "approvals": "approvals list"}
    if noun == "deployment":
        env = next((word for word in ("staging", "prod") if word in line.split()), "dev")
        return [Action("Look at the deployment", f"deployment status --env {env}")]
    return [Action("Look", looks[noun])] if noun in looks else []


def _marked(text: str) -> list[Inline]:
    """Advice with the marks our own errors use: `<@U1>` for a person, backticks for what can be typed."""
    pieces: list[Inline] = []
    for piece in re.split(r"(<@[UW][A-Z0-9]+>|`[^`\n]+`)", text):
        if piece.startswith("<@"):
            pieces.append(Mention(piece[2:-1]))
        elif piece.startswith("`"):
            pieces.append(Code(piece[1:-1]))
        elif piece:
            pieces.append(piece)
    return pieces
