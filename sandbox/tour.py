"""The whole story without a person: starts a fresh sandbox, plays it through Slack, stops it.

Everybody in it types and presses through Slack's control API; nothing reaches into the bot. Each step is checked
against something else than the words of the answer where there is something else: AWS's own record of calls, MLflow,
the labels of a photo.
"""

from __future__ import annotations

import argparse
import json
import re
import secrets
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sandbox import evidence
from sandbox.environment import ROOT
from sandbox.operator import Nightly
from sandbox.person import NothingCame, Person, Slack, buttons, moment
from sandbox.record import Record

TRAINING_SECONDS = 600.0
DEPLOYING_SECONDS = 120.0
LEAST_STATES = 3
LEAST_RECALL = 0.5
MOST_CHANGED = 0.5
FOR_OWN_PHOTOS = "--epochs 16 --image-size 320"


@dataclass
class Tour:
    """What the steps share: the people, and what earlier steps have found."""

    slack: Slack
    state: Path
    data: Path | None
    map_threshold: float | None
    seed: int
    ds: Person = field(init=False)
    ml: Person = field(init=False)
    reader: Person = field(init=False)
    run: str = ""
    live: dict[str, Any] = field(default_factory=dict)
    before: str = ""
    alert: dict[str, Any] = field(default_factory=dict)
    nightly: Nightly = field(init=False)
    whole: bytes = b""
    card: dict[str, Any] = field(default_factory=dict)
    figures: dict[str, float | None] = field(default_factory=lambda: {"map50": None, "train_cpu_s": None})

    def __post_init__(self) -> None:
        self.ds = self.slack.person("U0DS1")
        self.ml = self.slack.person("U0ML1")
        self.reader = self.slack.person("U0DS1", "C0ALERTS")

    @property
    def mlflow(self) -> str:
        """Address of the MLflow server."""
        return f"http://127.0.0.1:{Record(self.state).read('ports.json')['mlflow']}"

    @property
    def aws(self) -> str:
        """Address of the AWS stand-in."""
        return f"http://127.0.0.1:{Record(self.state).read('ports.json')['aws']}"

    # --- the steps, in their order ---------------------------------------------------------------------------------

    def whoami(self) -> None:
        """A data scientist asks who AWS thinks they are."""
        self.ds.asks("whoami", "groundcrew-data-scientist", "T0GC.U0DS1")

    def stranger(self) -> None:
        """Somebody without a role is refused and told whom to ask."""
        self.slack.person("U0NEW").asks("pipeline list", "I do not know you yet", "Ask ")

    def typo(self) -> None:
        """A mistyped command is answered with the right one."""
        self.ds.asks("pipelin run", "pipeline run")

    def start_run(self) -> None:
        """A data scientist starts a training run."""
        self.before = self.ds.types(" ".join(["pipeline run", *self._settings()]))
        self.live = self.ds.sees("Training run", "in dev", after=self.before)
        self.run = buttons(self.live)["Stop"].split()[2]

    def _settings(self) -> list[str]:
        """A person's own photos are usually few, large and full of small things: more epochs, more pixels, no gate."""
        settings = [] if self.data is None else FOR_OWN_PHOTOS.split()
        threshold = self.map_threshold if self.map_threshold is not None or self.data is None else 0.0
        return settings + ([] if threshold is None else ["--map-threshold", f"{threshold:g}"])

    def watch(self) -> None:
        """Its message edits itself: steps, epochs, metric, until it has succeeded."""
        shown = [self.live["words"]]
        deadline = time.monotonic() + TRAINING_SECONDS
        while not re.search(r"in dev: (done|failed|stopped|mAP50 too low)", shown[-1]):
            left = deadline - time.monotonic()
            self.live = self.ds.sees(ts=self.live["ts"], min_changes=self.live["changes"] + 1, seconds=max(1, left))
            shown.append(self.live["words"])
        _holds("in dev: done" in shown[-1], f"the run did not succeed:\n{shown[-1]}")
        _holds(len(set(shown)) >= LEAST_STATES, f"only {len(set(shown))} different states were seen")
        _holds(any(re.search(r"epoch \d+ of \d+", words) for words in shown), "no epoch was ever shown")

    def registered(self) -> None:
        """The model is registered, with its metrics and where it comes from."""
        told = self.ds.asks("registry show 1", "Detector v1 in dev", "mAP50")["words"]
        _holds(self.run in told or self.run[:4] in told, f"the version does not name its run {self.run}:\n{told}")

    def tracked(self) -> None:
        """MLflow has the run finished, with every parameter and metrics per epoch."""
        run = evidence.mlflow_run(self.mlflow, self.run)
        _holds(run.status == "FINISHED", f"MLflow says {run.status}")
        _holds({"optimizer", "lr0", "imgsz", "epochs"} <= run.params.keys(), f"parameters: {sorted(run.params)}")
        _holds(len(run.history["val/map50"]) == int(run.params["epochs"]), f"history: {run.history}")
        self.figures = {"map50": run.metrics["test/map50"], "train_cpu_s": run.metrics["train/cpu_seconds"]}

    def served_in_dev(self) -> None:
        """The pipeline has deployed it to dev."""
        self.ds.asks("deployment status --env dev", "groundcrew-dev-detector: in service")

    def predicted_in_dev(self) -> None:
        """A photo of the survey, asked by key, comes back with its objects."""
        photo = evidence.labelled_photo(self.data or self.state / "survey")
        self._prediction(self.ds, f"deployment predict survey/images/{photo.path.name} --env dev", photo)

    def requested(self) -> None:
        """A data scientist asks for a promotion to staging."""
        self.before = self.ds.types("registry request 1 --to staging")
        self.card = self.ds.sees("Approval needed", "staging", button="Approve…", after=self.before)

    def not_alone(self) -> None:
        """Whoever asked cannot approve."""
        before = self.ds.presses(self.card, "Approve…")
        self.ds.sees("You asked for this yourself", after=before)

    def approved(self) -> None:
        """An ML engineer approves; the model is in staging."""
        before = self.ml.presses(self.card, "Approve…")
        self.ml.sees("is now v1 in staging", "approved by", after=before)

    def used_once(self) -> None:
        """The card says who decided, and has no buttons any more."""
        shown = self.ml.sees("Approved", "used", ts=self.card["ts"], absent="Approval needed")
        _holds("Approve…" not in buttons(shown), "the card can still be pressed")

    def listed_in_staging(self) -> None:
        """Staging's registry lists it, approved."""
        self.ml.asks("registry list --env staging", "v1", "approved")

    def denied(self) -> None:
        """AWS itself denies a data scientist a deployment to staging."""
        told = self.ds.asks("deployment create --env staging", "AWS said no")["words"]
        _holds("not authorized to perform" in told, f"these are not AWS's words:\n{told}")
        refused = evidence.calls(self.aws, "T0GC.U0DS1", errors=True)
        _holds(any("AccessDenied" in call["errorCode"] for call in refused), "AWS has no record of a denial")

    def denied_in_production(self) -> None:
        """AWS denies the same person production as well."""
        told = self.ds.asks("deployment status --env prod", "AWS said no")["words"]
        _holds("groundcrew-prod" in told, f"AWS does not name what it refused:\n{told}")

    def deployed_to_staging(self) -> None:
        """An ML engineer deploys it to staging."""
        before = self.ml.types("deployment create --env staging --version 1")
        shown = self.ml.sees("groundcrew-staging-detector: in service", after=before, seconds=DEPLOYING_SECONDS)
        _holds("v1" in shown["words"], f"which version serves is not said:\n{shown['words']}")

    def predicted_in_staging(self) -> None:
        """Staging's endpoint finds what the labels of a photo say."""
        photo = evidence.labelled_photo(self.data or self.state / "survey", skip=1)
        self._prediction(self.ml, f"deployment predict survey/images/{photo.path.name} --env staging", photo)

    def shortcut(self) -> None:
        """A photo nobody trained on, put into a channel, is asked about by the message shortcut."""
        photos = self.slack.person("U0ML1", "C0PHOTOS")
        photo = evidence.labelled_photo(self.data) if self.data else evidence.new_photo(self.state, self.seed + 1)
        message = photos.uploads(photo.path.name, photo.path.read_bytes(), "what is on this one?")
        answer = photos.sees(" on ", photo.path.name, after=photos.chooses(message, "detect_objects"), author="U0BOT")
        self._compare(answer, photo)

    def stopped(self) -> None:
        """A second run is stopped while it works."""
        before = self.ds.types("pipeline run --epochs 50")
        live = self.ds.sees("Training run", "in dev", after=before)
        run = buttons(live)["Stop"].split()[2]
        self.ds.presses(live, "Stop")
        self.ds.sees("in dev: stopped", ts=live["ts"], seconds=DEPLOYING_SECONDS)
        self.ds.asks(f"pipeline show {run}", "stopped")

    def alerted(self) -> None:
        """A nightly run that nobody follows fails on a broken photo: one alert, with its step and the reason."""
        self.nightly = Nightly.draw(self.state, self.seed)
        self.whole = self.nightly.break_photo()
        self.nightly.load()
        self.before = moment()
        self.run = self.nightly.start()
        wanted = ("Warning:", self.run[:4], "Preprocess", self.nightly.photo.name)
        self.alert = self.reader.sees(*wanted, button="Retry the run", after=self.before, seconds=60)

    def acknowledged(self) -> None:
        """A data scientist acknowledges it; everybody sees who has it."""
        self.reader.presses(self.alert, "Acknowledge")
        self.reader.sees("Acknowledged by", ts=self.alert["ts"])

    def retried(self) -> None:
        """The photo is put right, the run goes on after the failed step, and its end resolves the alert."""
        self.nightly.photo.write_bytes(self.whole)
        self.nightly.load()
        before = self.reader.presses(self.alert, "Retry the run")
        going = self.reader.sees("Training run", self.run[:4], after=before)
        self.reader.sees("in dev: done", ts=going["ts"], seconds=TRAINING_SECONDS)
        resolved = self.reader.sees("Resolved:", ts=self.alert["ts"], seconds=60)
        _holds("Acknowledge" not in buttons(resolved), "a resolved alert still asks to be acknowledged")

    def recorded(self) -> None:
        """The audit table has opened and closed every invocation; AWS knows the person behind the run."""
        opened, closed = evidence.audit(self.state)
        _holds(opened > 0 and opened == closed, f"{opened} records opened, {closed} closed")
        names = [call["eventName"] for call in evidence.calls(self.aws, "T0GC.U0DS1")]
        _holds(names.count("StartPipelineExecution") == 2, f"AWS has this person's calls as {names}")

    def verified(self) -> None:
        """A stakeholder has the audit log verified: unbroken; a record edited by hand is named."""
        auditor = self.slack.person("U0STK")
        auditor.asks("audit verify", "records, unbroken", seconds=60)
        with evidence.edited_record(self.state, 3):
            auditor.asks("audit verify", "record 3 was edited", seconds=60)
        auditor.asks("audit verify", "records, unbroken", seconds=60)

    def ended(self) -> None:
        """Staging's endpoint is ended from the message that says what it costs a month, after asking."""
        told = self.ml.asks("cost idle --env staging --days 0", "Idle in staging", "groundcrew-staging-detector", "USD")
        before = self.ml.presses(told, "Delete the deployment in staging…")
        question = self.ml.sees("Really delete", after=before, button="Yes, do it")
        before = self.ml.presses(question, "Yes, do it")
        self.ml.sees("groundcrew-staging-detector: deleted", after=before, seconds=DEPLOYING_SECONDS)

    def cleaned_up(self) -> None:
        """Dev is cleaned up, its name typed out: nothing is left that costs by the hour."""
        self.ds.asks("cleanup plan dev", "groundcrew-dev-detector", "USD a month", "cleanup apply dev --confirm dev")
        self.ds.asks("cleanup apply dev --confirm prod", "nothing was done")
        before = self.ds.types("cleanup apply dev --confirm dev")
        self.ds.sees("Cleaned up dev", "USD a month", after=before, seconds=DEPLOYING_SECONDS)
        for person, env in ((self.ds, "dev"), (self.ml, "staging"), (self.ml, "prod")):
            person.asks(f"cleanup plan {env}", f"Nothing in {env} runs or is left over")
        names = [call["eventName"] for call in evidence.calls(self.aws, "T0GC.U0DS1")]
        _holds(names.count("DeleteStack") == 1, f"AWS has this person's calls as {names}")

    # --- what several steps do -------------------------------------------------------------------------------------

    def _prediction(self, person: Person, line: str, photo: evidence.Photo) -> None:
        self._compare(person.asks(line, " on ", photo.path.name, seconds=60), photo)

    def _compare(self, answer: dict[str, Any], photo: evidence.Photo) -> None:
        """The picture is the photo, drawn on where objects were found; on the synthetic survey the labels are there."""
        picture = self.slack.bytes_of(evidence.picture(answer))
        nothing = "No objects on" in answer["words"]
        changed = evidence.changed(picture, photo)
        _holds(changed == 0 if nothing else 0 < changed < MOST_CHANGED, f"{changed:.0%} of the photo are drawn over")
        if self.data is None:
            share = evidence.recall(answer, photo)
            _holds(share >= LEAST_RECALL, f"only {share:.0%} of the labelled objects were found:\n{answer['words']}")


STEPS: tuple[Callable[[Tour], None], ...] = (
    Tour.whoami,
    Tour.stranger,
    Tour.typo,
    Tour.start_run,
    Tour.watch,
    Tour.registered,
    Tour.tracked,
    Tour.served_in_dev,
    Tour.predicted_in_dev,
    Tour.requested,
    Tour.not_alone,
    Tour.approved,
    Tour.used_once,
    Tour.listed_in_staging,
    Tour.denied,
    Tour.denied_in_production,
    Tour.deployed_to_staging,
    Tour.predicted_in_staging,
    Tour.shortcut,
    Tour.stopped,
    Tour.alerted,
    Tour.acknowledged,
    Tour.retried,
    Tour.recorded,
    Tour.verified,
    Tour.ended,
    Tour.cleaned_up,
)


@dataclass
class Results:
    """How every step went."""

    rows: list[dict[str, Any]] = field(default_factory=list)

    def do(self, name: str, words: str, act: Callable[[], None], *, always: bool = False) -> bool:
        """Do one step, say how it went; after a failure the later ones are not tried and count as failed."""
        if not self.passed and not always:
            self.rows.append({"name": name, "ok": False, "seconds": 0.0})
            return False
        began = time.monotonic()
        why = ""
        try:
            act()
        except (AssertionError, KeyError, OSError, subprocess.CalledProcessError, evidence.Unanswered) as error:
            why = f"{type(error).__name__}: {error}"
        seconds = round(time.monotonic() - began, 2)
        self.rows.append({"name": name, "ok": not why, "seconds": seconds})
        print(f"  {'ok ' if not why else 'NO '} {seconds:6.1f} s  {words}", flush=True)
        if why:
            print("\n".join(f"      {line}" for line in why.splitlines()), flush=True)
        return not why

    @property
    def passed(self) -> bool:
        """Whether nothing has failed so far."""
        return all(row["ok"] for row in self.rows)

    def last_line(self) -> str:
        """What the tour ends with."""
        good = sum(row["ok"] for row in self.rows)
        return f"tour: {len(self.rows)} steps, {good} passed, {len(self.rows) - good} failed"


def main(options: argparse.Namespace) -> int:
    """Play it; exit status 0 only when every step passed. Writes `tour.json` beside the tour's own state folder."""
    folder = (options.state or ROOT / "var").resolve()
    state = folder / "tour"
    seed = options.seed if options.seed is not None else secrets.randbelow(1_000_000)
    data = options.data.expanduser().resolve() if options.data else None
    print(f"The tour, with {data or f'a synthetic survey, seed {seed}'}", flush=True)
    results, tour = Results(), None
    try:
        if results.do("start", "Everything starts.", lambda: _sandbox("up", state, seed, data)):
            tour = Tour(Slack(Record(state).url()), state, data, options.map_threshold, seed)
        for step in STEPS:
            results.do(step.__name__, step.__doc__ or "", lambda step=step: step(tour))  # type: ignore[misc]
    finally:
        left = Record(state).read("processes.json") or []
        results.do("stop", "Everything stops, and leaves no process.", lambda: _stop(state, left), always=True)
        figures = tour.figures if tour else {"map50": None, "train_cpu_s": None}
        report = {"seed": None if data else seed, "steps": results.rows, **figures}
        (folder / "tour.json").write_text(json.dumps(report, indent=1) + "\n")
    print(results.last_line(), flush=True)
    return 0 if results.passed else 1


def _stop(state: Path, processes: list[dict[str, Any]]) -> None:
    _sandbox("down", state)
    alive = [row["name"] for row in processes if evidence.alive(row["pid"], row["created"])]
    _holds(not alive, f"still running: {', '.join(alive)}")


def _sandbox(command: str, state: Path, seed: int | None = None, data: Path | None = None) -> None:
    argv = [sys.executable, "-m", "sandbox", command, "--state", str(state)]
    argv += ["--port", "0", "--seed", str(seed)] if command == "up" else []
    argv += ["--data", str(data)] if data else []
    subprocess.run(argv, check=True, cwd=ROOT)


def _holds(fact: bool, otherwise: str) -> None:
    if not fact:
        raise NothingCame(otherwise)
