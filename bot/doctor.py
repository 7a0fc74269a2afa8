"""The check-up: everything an installation stands on, looked at once, each failure with its fix.

It changes nothing. People's roles are taken in nobody's name and with a session policy that allows nothing.
"""

from __future__ import annotations

import http.client
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import partial
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError
from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError, SlackClientError
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from alerts import routes
from bot.alerts.queue import CRITICAL, EVENTS, UNDELIVERED, Queue
from bot.manifest import SCOPES
from bot.settings import NEEDED, WHERE, Settings
from commands.reply import Finding
from iam import mapping
from iam.mapping import ROLES
from iam.sessions import Sessions
from pipeline import definition, spending
from pipeline import prices as price_list
from pipeline.errors import BadInput, GroundcrewError
from pipeline.tracking import Tracking
from state import database

SKEW_S = 60.0
"""Slack and AWS refuse what is signed five minutes off; a clock that is a minute off is on its way there."""
RULES = (
    *("groundcrew-sagemaker", "groundcrew-native-monitors", "groundcrew-alarms", "groundcrew-cost"),
    *("groundcrew-health", "groundcrew-critical-endpoints", "groundcrew-critical-executions"),
    "groundcrew-critical-alarms",
)
"""As infra/events.yaml makes them."""
TOKENS: Mapping[str, str] = {
    "xoxp": "a user's token",
    "xoxb": "a bot token",
    "xapp": "an app-level token",
    "xoxe": "a token that rotates",
    "xoxa": "an old kind of token",
}
NOTHING = {"Version": "2012-10-17", "Statement": [{"Effect": "Deny", "Action": "*", "Resource": "*"}]}
INFRA = "Run `python -m infra up --profile ab`."
FAULTS = (
    GroundcrewError,
    ClientError,
    BotoCoreError,
    SlackClientError,
    SQLAlchemyError,
    OSError,
    http.client.HTTPException,
)

Check = Callable[[], Iterator[Finding]]


def examine(
    settings: Settings, slack: WebClient, sessions: Sessions | None, engine: Engine | None
) -> Sequence[Finding]:
    """All findings. Raises nothing: what stops a check is its finding."""
    checks: list[tuple[str, str, Check]] = [
        ("Settings", "See docs/install.md.", partial(_settings, settings)),
        ("Access file", "See docs/install.md, Who is who.", partial(_access, settings)),
        ("Routes file", "See docs/alerts.md.", partial(_routes, settings)),
        ("Slack", WHERE["slack_bot_token"], partial(_slack, settings, slack)),
        ("Channels", "See config/routes.yaml.", partial(_channels, settings, slack)),
        ("Database", WHERE["database_url"], partial(_database, engine)),
        ("AWS", "Set AWS_PROFILE and AWS_REGION, or give the process an IAM role.", partial(_aws, settings, sessions)),
        ("MLflow", WHERE["mlflow_tracking_uri"], partial(_mlflow, settings, sessions)),
    ]
    return [finding for what, fix, check in checks for finding in _guarded(what, fix, check)]


def _guarded(what: str, fix: str, check: Check) -> Iterator[Finding]:
    """The findings of a check, and what stopped it."""
    try:
        yield from check()
    except FAULTS as error:
        said = error.message.rstrip(".") if isinstance(error, GroundcrewError) else _words(error)
        advice = error.advice if isinstance(error, GroundcrewError) and error.advice else fix
        yield Finding(what, False, said, advice)


def _words(error: Exception) -> str:
    if isinstance(error, SlackApiError):
        return f"Slack says {error.response.get('error', 'nothing')}"
    if isinstance(error, SQLAlchemyError):
        return f"it does not answer ({type(error).__name__})"
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def _settings(settings: Settings) -> Iterator[Finding]:
    by_socket = bool(settings.slack_app_token.get_secret_value())
    unused = "web" if by_socket else "socket"
    names = dict.fromkeys(name for process, needed in NEEDED.items() if process != unused for name in needed)
    missing = [name for name in names if not _plain(getattr(settings, name))]
    for name in missing:
        yield Finding(name.upper(), False, "it is not set", f"You find it here: {WHERE[name]}.")
    if not missing:
        yield Finding("Settings", True, f"all {len(names)} that are needed are set")
    said = "a Processing job by EventBridge Scheduler" if settings.monitor == "processing" else "Model Monitor itself"
    needs_image = settings.monitor == "native" and not settings.clarify_image
    yield Finding(
        "Monitor mode",
        not needs_image,
        f"{settings.monitor}: {said}" + (", and CLARIFY_IMAGE is not set" if needs_image else ""),
        "Set CLARIFY_IMAGE to Clarify's image in your region, or MONITOR=processing.",
    )


def _plain(value: Any) -> str:
    return str(value.get_secret_value()) if hasattr(value, "get_secret_value") else str(value or "")


def _access(settings: Settings) -> Iterator[Finding]:
    access = mapping.load(settings.access_file)
    counts = {role: len(access.members(role)) for role in ROLES}
    said = ", ".join(f"{count} {role}{'' if count == 1 else 's'}" for role, count in counts.items())
    enough = counts["ml-engineer"] >= 2  # one asks, another agrees
    fix = "Give a second person the role ml-engineer: nobody agrees to what they have asked for themselves."
    yield Finding("Access file", enough, said, fix)


def _routes(settings: Settings) -> Iterator[Finding]:
    found = routes.load(settings.routes_file)
    yield Finding("Routes file", True, f"{len(found.rules)} routes and a fallback channel")


# --- Slack ------------------------------------------------------------------------------------------------------------


def _slack(settings: Settings, slack: WebClient) -> Iterator[Finding]:
    by_socket = settings.slack_app_token.get_secret_value()
    if by_socket and not by_socket.startswith("xapp"):
        said = f"SLACK_APP_TOKEN is {TOKENS.get(by_socket[:4], 'no app-level token')}"
        yield Finding("Socket Mode token", False, said, f"You find it here: {WHERE['slack_app_token']}.")
    token = settings.slack_bot_token.get_secret_value()
    kind = token[:4]
    if kind != "xoxb":
        said = f"SLACK_BOT_TOKEN is {TOKENS.get(kind, 'no token of Slack')}" if token else "SLACK_BOT_TOKEN is not set"
        yield Finding("Slack token", False, said, f"Take the one that begins with xoxb-: {WHERE['slack_bot_token']}.")
        return
    answer = slack.auth_test()
    yield Finding("Slack token", True, f"a bot token, of {answer['user']} in {answer['team']}")
    headers = {str(name).lower(): str(value) for name, value in answer.headers.items()}
    given = {scope.strip() for scope in headers.get("x-oauth-scopes", "").split(",")}
    missing = [scope for scope in SCOPES if scope not in given]
    yield Finding(
        "Slack scopes",
        not missing,
        f"missing: {', '.join(missing)}" if missing else f"all {len(SCOPES)} of the manifest",
        "Add them at api.slack.com/apps under OAuth & Permissions and install the app again. What each is for: "
        "`python -m bot manifest`.",
    )
    yield _clock("Clock against Slack", headers.get("date", ""))


def _clock(what: str, date: str) -> Finding:
    fix = "Let the machine keep its time (systemd-timesyncd, chrony): at five minutes off requests are refused."
    if not date:
        return Finding(what, False, "the answer had no date", fix)
    off = abs((datetime.now(UTC) - parsedate_to_datetime(date)).total_seconds())
    return Finding(what, off <= SKEW_S, f"{off:.0f} seconds apart", fix)


def _channels(settings: Settings, slack: WebClient) -> Iterator[Finding]:
    """Whether the bot can post where its two files send it."""
    found = routes.load(settings.routes_file)
    wanted = [found.fallback, *(route.channel for _, route in found.rules), *_notified(settings)]
    wrong = {}
    for channel in dict.fromkeys(each for each in wanted if each):
        try:
            slack.conversations_history(channel=channel, limit=1)
        except SlackApiError as error:
            wrong[channel] = str(error.response.get("error"))
    said = ", ".join(f"{channel}: {code}" for channel, code in wrong.items())
    fix = "Type `/invite @groundcrew` in them, or name others in the routes and the access file."
    yield Finding("Channels", not wrong, said or "the bot is in all that the files name", fix)


def _notified(settings: Settings) -> Sequence[str]:
    try:
        return [*mapping.load(settings.access_file).notify.values()]
    except BadInput:
        return []  # the access file's own finding


# --- the database and MLflow ------------------------------------------------------------------------------------------


def _database(engine: Engine | None) -> Iterator[Finding]:
    if engine is None:
        return  # the setting's own finding
    now, known = database.schema(engine)
    yield Finding("Database", True, "it answers")
    behind = now is None or now in known[1:]
    said = f"at {now}, the newest" if now == known[0] else f"at {now or 'nothing yet'}, this program is at {known[0]}"
    fix = (
        "Start a worker: it brings the schema up to date."
        if behind
        else "A newer Groundcrew has used it: run that version."
    )
    yield Finding("Migrations", now == known[0], said, fix)


def _mlflow(settings: Settings, sessions: Sessions | None) -> Iterator[Finding]:
    uri = settings.mlflow_tracking_uri
    if not uri:
        return
    signed = None
    if uri.startswith("arn:"):
        ours = sessions or _sessions(settings)
        signed = ours.signer(ours.observer("doctor"))
    Tracking(uri, signed).search_runs(["groundcrew-doctor"])
    yield Finding("MLflow", True, "it answers")


# --- AWS --------------------------------------------------------------------------------------------------------------


def _sessions(settings: Settings) -> Sessions:
    return Sessions(settings.aws_profile, settings.aws_region, settings.pricing_region)


def _aws(settings: Settings, given: Sessions | None) -> Iterator[Finding]:
    if not settings.aws_region:
        return
    sessions = given or _sessions(settings)
    yield Finding("AWS account", True, f"{sessions.account}, {settings.aws_region}")
    taking: dict[str, Callable[[], Any]] = {"bot": sessions.bot, "observer": partial(sessions.observer, "doctor")}
    taking |= {role: partial(_in_nobodys_name, sessions, role) for role in ROLES}
    for role, take in taking.items():
        yield from _guarded(f"Role groundcrew-{role}", INFRA, partial(_taken, role, take))
    for what, fix, check in (
        ("Event queues", INFRA, partial(_queues, sessions)),
        ("Event rules", INFRA, partial(_rules, sessions)),
        ("Clock against AWS", "", partial(_aws_clock, sessions)),
        (
            "Prices",
            "The bot's eyes need pricing:GetProducts (iam/policies.yaml).",
            partial(_prices, settings, sessions),
        ),
        ("Cost tags", "Open Cost Explorer once, in the payer account.", partial(_tags, sessions)),
    ):
        yield from _guarded(what, fix, check)


def _in_nobodys_name(sessions: Sessions, role: str) -> Any:
    return sessions.person("TDOCTOR", "UDOCTOR", role, invocation="checkup", policy=NOTHING, changing=True)


def _taken(role: str, take: Callable[[], Any]) -> Iterator[Finding]:
    take()
    yield Finding(f"Role groundcrew-{role}", True, "it can be taken")


def _queues(sessions: Sessions) -> Iterator[Finding]:
    waiting = {
        name: Queue(name, lambda: sessions.bot().client("sqs")).waiting() for name in (EVENTS, CRITICAL, UNDELIVERED)
    }
    lost = waiting[UNDELIVERED]
    said = ", ".join(f"{count} in {name}" for name, count in waiting.items())
    yield Finding("Event queues", not lost, said, "docs/alerts.md says what to do with events that could not be read.")


def _rules(sessions: Sessions) -> Iterator[Finding]:
    events, wrong = sessions.bot().client("events"), []
    for name in RULES:
        try:
            state = events.describe_rule(Name=name)["State"]
        except events.exceptions.ResourceNotFoundException:
            state = "missing"
        if state != "ENABLED":
            wrong.append(f"{name} is {state.lower()}")
    yield Finding("Event rules", not wrong, ", ".join(wrong) or f"all {len(RULES)} are enabled", INFRA)


def _aws_clock(sessions: Sessions) -> Iterator[Finding]:
    answer = sessions.observer("doctor").client("sts").get_caller_identity()
    yield _clock("Clock against AWS", answer["ResponseMetadata"]["HTTPHeaders"].get("date", ""))


def _prices(settings: Settings, sessions: Sessions) -> Iterator[Finding]:
    instance, _ = definition.JOBS["Train"]
    found = price_list.per_hour(
        sessions.observer("doctor").client("pricing"), settings.aws_region, "Training", instance
    )
    said = f"{instance} costs {found[0].normalize():f} {found[1]} an hour" if found else f"none for {instance}"
    fix = f"The AWS Price List knows no {instance} in {settings.aws_region}: estimates will say so."
    yield Finding("Prices", found is not None, said, fix)


def _tags(sessions: Sessions) -> Iterator[Finding]:
    active = spending.active_tags(sessions.observer("doctor").client("ce"))
    ours = [tag["Key"] for tag in definition.tags("dev")]
    missing = [tag for tag in ours if tag not in active]
    yield Finding(
        "Cost tags",
        not missing,
        f"not activated: {', '.join(missing)}" if missing else f"{', '.join(ours)} are activated",
        "Activate them as cost allocation tags in the Billing console of the payer account; they count from then on.",
    )
