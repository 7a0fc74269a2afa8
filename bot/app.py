"""Where everything is put together: settings in, the worker or a terminal's runner out."""

from __future__ import annotations

import logging
import signal
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from slack_sdk import WebClient
from sqlalchemy import Engine
from sqlalchemy.exc import OperationalError

from alerts.events import LIMIT, Home
from alerts.routes import RoutesFile
from bot import doctor
from bot.alerts.direct import Direct
from bot.alerts.drawing import Drawer
from bot.alerts.evidence import explain
from bot.alerts.intake import Intake, keep_forgetting
from bot.alerts.notices import Notice
from bot.alerts.queue import CRITICAL, EVENTS, UNDELIVERED, Queue, Reader
from bot.alerts.reminders import keep_reminding
from bot.alerts.tags import TagReader
from bot.alerts.undelivered import keep_announcing
from bot.anchoring import keep_anchored
from bot.bookkeeping import Books
from bot.cataloguing import Cataloguer
from bot.homes import Homes
from bot.leader import lead
from bot.runner import Case, Runner
from bot.schedule import Scheduler
from bot.settings import Settings
from bot.slack import files, forms
from bot.slack.people import People
from bot.slack.sender import Sender
from bot.slack.whisper import whisper
from bot.watcher import Watcher, expire_approvals
from bot.worker import Bells, Worker, name
from commands.batch import batch_live
from commands.cleanup import cleanup_live
from commands.command import Attachment, Command, Context, Person, no_file
from commands.dataset import profile_live
from commands.deployed import deployment_live
from commands.drift import monitor_live
from commands.estimate import Limits
from commands.execution import execution_live
from commands.explain import explanation_live
from commands.home import sections
from commands.reply import Finding, Form, Reply
from commands.schedule import REPORTS
from commands.tuning import tuning_live
from iam import mapping
from iam.policy import statements
from iam.sessions import Session, Sessions
from pipeline.errors import BadInput, Refused
from pipeline.names import Names
from pipeline.tracking import Tracking
from state import database, grants, invocations
from state.invocations import Arrival
from state.live import LiveRow
from state.schedules import ScheduleRow

log = logging.getLogger(__name__)

MIGRATE_AGAIN_S = 2.0
GIVE_BACK_S = 10.0
"""Within this a worker that stood in for the database shows others the events it had hidden."""

OBSERVER = Person(team="system", user="watcher", name="Groundcrew", role="observer")


class Workplace:
    """What runner and watcher need of the world: who people are, their AWS sessions, files, the database.

    `people` is asked whether Slack still vouches for somebody; None where whoever asks is no Slack user (a terminal).
    """

    def __init__(
        self, settings: Settings, engine: Engine, sessions: Sessions, slack: WebClient, people: People | None
    ) -> None:
        self.engine = engine
        self.limits = Limits(settings.cost_confirm_usd, settings.cost_approval_usd)
        self._settings = settings
        self._sessions = sessions
        self._slack = slack
        self._people = people
        self._access = mapping.AccessFile(settings.access_file)
        self._signed: tuple[Session, Tracking] | None = None

    def person(self, team: str, user: str, name: str) -> Person | None:
        """The person behind a Slack user with all they may act as now, None when the access file does not name them.

        Raises Refused for somebody whom Slack no longer vouches for, Unavailable when it cannot be asked.
        """
        access = self._access.now()
        role = access.role_of(team, user)
        if role is None:
            return None
        if objection := self._objection(team, user):
            raise Refused(f"Nothing is done for {user}: {objection}.", f"If that is wrong, ask {access.contact}.")
        held = [grant for grant in grants.active(self.engine, team, user, kind="elevation") if grant.role != role]
        # Events bring no names, unlike all other deliveries.
        called = name or (self._people.name(user) if self._people else "")
        return Person(team, user, called or user, role, held)

    def team_of(self, user: str) -> str:
        """The workspace in which the access file names a user; its first one for a user it does not name."""
        named = self._access.now().roles
        known = [team for team, each in named if each == user] or [team for team, _ in named]
        return known[0] if known else ""

    def able(self, role: str, team: str, *, standing: bool = False) -> Sequence[str]:
        """Slack users of a workspace who hold a role and can press a button; `standing`: not for a while only."""
        access = self._access.now()
        found = dict.fromkeys(access.members(role, team))
        if not standing:
            held = [grant.user_id for grant in grants.active(self.engine, team, kind="elevation") if grant.role == role]
            found |= dict.fromkeys(user for user in held if access.role_of(team, user))
        return [user for user in found if not self._objection(team, user)]

    def advice(self, user: str) -> str:
        """What somebody without a role should do."""
        return self._access.now().advice(user)

    def _objection(self, team: str, user: str) -> str:
        return self._people.objection(team, user) if self._people else ""

    def context(self, case: Case, tags: Mapping[str, str]) -> Context:
        """What the command may use. The person's session is taken when the command first asks AWS for something."""
        asked, person, command = case.asked, case.person, case.command
        if person is None or command is None:
            raise TypeError("a context belongs to a known person and a parsed command")
        take = partial(self._session, person, command, case.arguments, asked.id, tags)
        return Context(
            person=person,
            invocation=asked.id,
            names=self._names,
            client=_lazily(take),
            tracking=self._tracking(),
            state=self.engine,
            channel=asked.channel,
            approval=tags.get("approval"),
            attachment=self._attachment(asked),
            web_links=self._links,
            people=self._access.now().of_team(person.team),
            eyes=lambda service: self._sessions.observer("approvals").client(service),
            holders=lambda role: self.able(role, person.team),
            checkup=lambda: doctor.examine(self._settings, self._slack, self._sessions, self.engine),
            whisper=partial(whisper, self._slack, asked),
            notify=self._access.now().notify,
            zone=lambda: self._people.zone(person.user) if self._people else "",
            routes=lambda: self.routes.now(),
            local_file=_read if asked.surface == "terminal" else no_file,
            monitor=self._settings.monitor,
            clarify_image=self._settings.clarify_image,
        )

    def show(self, asked: invocations.Invocation, form: Form) -> bool:
        """Open a form for the person who asked; False where none can be opened now."""
        return forms.show(self._slack, asked, form)

    def observer_context(self, row: LiveRow) -> Context:
        """What a live message is drawn with: the bot's own read-only eyes."""
        return Context(
            person=OBSERVER,
            invocation=row.invocation,
            names=self._names,
            client=self._sessions.observer("watcher").client,
            eyes=self._sessions.observer("watcher").client,
            tracking=self._tracking(),
            state=self.engine,
            web_links=self._links,
        )

    def report_context(self, row: ScheduleRow, period: str) -> Context:
        """What a scheduled report is drawn with: the bot's own eyes, whoever set the schedule."""
        return Context(
            person=replace(OBSERVER, team=row.team, user="schedule"),
            invocation=f"schedule-{row.name}-{period}",
            names=self._names,
            client=lambda service: self._sessions.observer("schedule").client(service),
            eyes=lambda service: self._sessions.observer("schedule").client(service),
            tracking=self._tracking(),
            state=self.engine,
            channel=row.channel,
            web_links=self._links,
        )

    def books_context(self) -> Context:
        """What the books are kept with: the bot's own read-only eyes."""
        eyes = self._sessions.observer("books").client
        return Context(
            person=replace(OBSERVER, user="books"),
            invocation="books",
            names=self._names,
            client=eyes,
            eyes=eyes,
            tracking=self._tracking(),
            state=self.engine,
        )

    def catalog_context(self) -> Context:
        """What the catalog is read with: the bot's own read-only eyes."""
        return replace(self.books_context(), person=replace(OBSERVER, user="catalog"), invocation="catalog")

    def home(self, team: str, user: str) -> Sequence[Reply]:
        """What a person's Home says. Raises Refused, Unavailable, BadInput for a mistake in the access file."""
        person = self.person(team, user, "")
        if person is None:
            raise Refused("I do not know you yet.", self.advice(user))
        return sections(
            Context(
                person=person,
                invocation="home",
                names=self._names,
                client=lambda service: self._sessions.observer("home").client(service),
                tracking=self._tracking(),
                state=self.engine,
            )
        )

    def vault(self) -> tuple[Any, str]:
        """S3 as groundcrew-bot, and the name of the bucket that holds the audit log's anchors."""
        return self._sessions.bot().client("s3"), self._names.audit_bucket

    def queue(self, name: str) -> Queue:
        """A queue of events, read as groundcrew-bot."""
        return Queue(name, lambda: self._sessions.bot().client("sqs"))

    def account(self) -> Home:
        """The account and region whose events count."""
        return Home(self._names.account, self._names.region)

    def sagemaker(self) -> Any:
        """SageMaker as the bot's own read-only eyes see it."""
        return self._sessions.observer("alerts").client("sagemaker")

    @cached_property
    def routes(self) -> RoutesFile:
        """Where alerts go. Raises BadInput for a mistake in the file."""
        return RoutesFile(self._settings.routes_file)

    def alert_eyes(self) -> Callable[[str], Any]:
        """What the reasons of failures are read with: makes the bot's own read-only clients."""
        return self._sessions.observer("alerts").client

    @cached_property
    def _names(self) -> Names:
        return self._sessions.names(self._settings.data_bucket)

    @cached_property
    def _links(self) -> Mapping[str, str]:
        uri = self._settings.mlflow_ui_url or self._settings.mlflow_tracking_uri
        return {"mlflow": uri} if uri.startswith(("http://", "https://")) else {}

    @cached_property
    def _unsigned(self) -> Tracking:
        return Tracking(self._settings.mlflow_tracking_uri)

    def _tracking(self) -> Tracking:
        """MLflow as anybody sees it by http; a SageMaker MLflow app is asked with the observer's signature."""
        if not self._settings.mlflow_tracking_uri.startswith("arn:"):
            return self._unsigned
        session = self._sessions.observer("tracking")
        if self._signed is None or self._signed[0] is not session:
            signer = self._sessions.signer(session)
            self._signed = (session, Tracking(self._settings.mlflow_tracking_uri, signer))
        return self._signed[1]

    def _session(
        self, person: Person, command: Command, arguments: Mapping[str, Any], invocation: str, tags: Mapping[str, str]
    ) -> Session:
        needed = [need for need in command.needs if need.applies(arguments)]
        needs = [(need.actions, need.resource, need.env) for need in needed]
        return self._sessions.person(
            person.team,
            person.user,
            person.role,
            invocation=invocation,
            policy=statements(needs, self._names, arguments),
            changing=command.changes or any(need.only for need in needed),
            tags=tags,
        )

    def _attachment(self, asked: invocations.Invocation) -> Attachment | None:
        if asked.surface not in ("shortcut", "mention"):
            return None
        if not asked.files:
            if asked.surface == "mention":
                return None
            raise BadInput("That message has no picture.", "Use the shortcut on a message with a photo.")
        return files.fetch(self._slack, asked.files[0])


def _read(path: str) -> bytes:
    """A file of whoever types in a terminal: as much of it as an event may have, and one byte more."""
    try:
        with Path(path).open("rb") as file:
            return file.read(LIMIT + 1)
    except (OSError, ValueError) as error:
        raise BadInput(f"{path!r} cannot be read: {error}", "Name a file with one event as JSON.") from error


def _lazily(take: Callable[[], Session]) -> Callable[[str], Any]:
    """`client` of a session that is taken once, at first use: help and lists of our own need no AWS."""
    taken: list[Session] = []

    def client(service: str) -> Any:
        if not taken:
            taken.append(take())
        return taken[0].client(service)

    return client


def _parts(settings: Settings, pool: int, *, vouched: bool) -> tuple[Engine, WebClient, Workplace]:
    engine = database.engine(settings.database, pool=pool)
    # Retrying is the sender's business: it knows what may have been posted already.
    slack = WebClient(
        token=settings.slack_bot_token.get_secret_value(),
        base_url=settings.slack_api_url,
        timeout=15,
        retry_handlers=[],
    )
    sessions = Sessions(settings.aws_profile, settings.aws_region, settings.pricing_region)
    return engine, slack, Workplace(settings, engine, sessions, slack, People(slack) if vouched else None)


def worker(settings: Settings) -> None:
    """Run a worker until SIGTERM or SIGINT."""
    engine, slack, place = _parts(settings, pool=settings.worker_threads, vouched=True)
    stop, bells, me = threading.Event(), Bells(), name()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    routes = place.routes
    reachable = partial(database.answers, settings.database)
    direct = Direct(reachable, engine, place.queue(CRITICAL), slack, routes, place.account, stop)
    standby = threading.Thread(target=direct.run, name="direct", daemon=True)
    standby.start()
    _migrate(engine, stop)
    looks = {
        "execution": execution_live,
        "deployment": deployment_live,
        "explanation": explanation_live,
        "monitor": monitor_live,
        "cleanup": cleanup_live,
        "profile": profile_live,
        "batch": batch_live,
        "tuning": tuning_live,
    }
    sender = Sender(engine, slack, lambda: routes.now().fallback, bells.outbox, stop)
    watcher = Watcher(engine, looks, place.observer_context, bells.live, stop)
    scheduler = Scheduler(engine, REPORTS, place.report_context, lambda: routes.now().fallback, bells.schedules, stop)
    anchoring = partial(keep_anchored, engine, place.vault, stop)
    posted = threading.Event()
    drawer = Drawer(engine, routes.now, bells.alerts, posted, stop)
    explaining = partial(explain, engine, place.alert_eyes, posted, stop)
    reminding = partial(keep_reminding, engine, routes.now, stop)
    duties: list[Callable[[], None]] = [sender.run, watcher.run, partial(expire_approvals, engine, stop), anchoring]
    books = Books(engine, place.books_context, stop)
    cataloguer = Cataloguer(engine, place.catalog_context, bells.catalog, stop)
    drawing = Homes(engine, slack, place.home, bells.homes, stop)
    duties += [cataloguer.run, drawing.run]
    duties += [books.run, scheduler.run, drawer.run, explaining, reminding, *_intake(engine, place, stop)]
    if not stop.is_set():
        Worker(engine, settings.database, Runner(place, me), me, settings.worker_threads, bells, stop).run(
            lambda: lead(settings.database, duties, stop)
        )
    standby.join(GIVE_BACK_S)


def _migrate(engine: Engine, stop: threading.Event) -> None:
    """Bring the schema up to date, as soon as there is a database: until then critical alerts are posted directly."""
    said = False
    while not stop.is_set():
        try:
            database.migrate(engine)
            break
        except OperationalError as error:
            if not said:
                log.error("the database does not answer, waiting for it: %s", str(error.orig).strip())
            said = True
            stop.wait(MIGRATE_AGAIN_S)


def _intake(engine: Engine, place: Workplace, stop: threading.Event) -> Sequence[Callable[[], None]]:
    """What reads the queues of events; each queue on its own, so that critical ones wait for no others."""
    intake = Intake(engine, place.routes, place.account, TagReader(place.sagemaker).of)
    readers = [
        Reader(place.queue(name), intake, Notice(engine, intake, name, "reading"), stop) for name in (EVENTS, CRITICAL)
    ]
    announcing = partial(
        keep_announcing, place.queue(UNDELIVERED), Notice(engine, intake, UNDELIVERED, "undelivered"), stop
    )
    return [*(reader.run for reader in readers), announcing, partial(keep_forgetting, engine, stop)]


def checkup(settings: Settings) -> Sequence[Finding]:
    """What `python -m bot doctor` looks at: everything, however much of it is missing."""
    slack = WebClient(settings.slack_bot_token.get_secret_value(), settings.slack_api_url, 10, retry_handlers=[])
    engine = database.engine(settings.database, pool=1) if settings.database else None
    try:
        return doctor.examine(settings, slack, None, engine)
    finally:
        if engine is not None:
            engine.dispose()


def terminal(settings: Settings, team: str | None, user: str, line: str) -> tuple[Reply, str]:
    """Do what `user` would by typing `line`, in this process. Returns the reply and the invocation's id."""
    engine, _, place = _parts(settings, pool=1, vouched=False)
    me = name()
    arrival = Arrival("terminal", f"terminal:{me}:{time.monotonic_ns()}", team or place.team_of(user), user, line)
    with engine.begin() as connection:
        asked = invocations.begin(connection, arrival, me)
    stop = threading.Event()
    keeper = threading.Thread(target=_keep, args=(engine, me, stop), daemon=True)
    keeper.start()
    try:
        return Runner(place, me).run(asked), asked.id
    finally:
        stop.set()
        keeper.join()
        engine.dispose()


def _keep(engine: Engine, me: str, stop: threading.Event) -> None:
    """Keep a terminal's own lease alive."""
    while not stop.wait(invocations.LEASE.total_seconds() / 3):
        invocations.renew(engine, me)
