"""From a first command to a model in staging: train, ask, approve, be denied, deploy, predict, stop."""

from __future__ import annotations

import re
import time
from typing import Any

from sandbox import evidence
from sandbox.person import Person, buttons, rows
from sandbox.tour.story import DEPLOYING_SECONDS, TRAINING_SECONDS, Step, Tour, holds

LEAST_STATES = 3
MOST_CHANGED = 0.5
LEAST_RECALL = 0.5
PROFILING_SECONDS = 180.0
BATCH_SECONDS = 300.0
FOR_OWN_PHOTOS = "--epochs 16 --image-size 320"


def whoami(tour: Tour) -> None:
    """A data scientist asks who AWS thinks they are."""
    tour.ds.asks("whoami", "groundcrew-data-scientist", "T0GC.U0DS1")


def stranger(tour: Tour) -> None:
    """Somebody without a role is refused and told whom to ask."""
    tour.slack.person("U0NEW").asks("pipeline list", "I do not know you yet", "Ask ")


def typo(tour: Tour) -> None:
    """A mistyped command is answered with the right one."""
    tour.ds.asks("pipelin run", "pipeline run")


def profiled(tour: Tour) -> None:
    """The data set is profiled: counts, sizes, balance, and what is odd about it, with photos below."""
    live = tour.ds.asks("dataset profile", "survey/")
    told = tour.ds.sees("Data set survey/", "objects of", ts=live["ts"], seconds=PROFILING_SECONDS)
    holds(len(rows(told)) > 1, f"no table of classes:\n{told['words']}")
    tour.ds.sees("with the boxes of their labels", thread_ts=live["ts"], seconds=60)


def start_run(tour: Tour) -> None:
    """A data scientist starts a training run."""
    tour.before = tour.ds.types(" ".join(["pipeline run", *_settings(tour)]))
    tour.live = tour.ds.sees("Training run", "in dev", after=tour.before)
    tour.run = buttons(tour.live)["Stop"].split()[2]
    tour.runs += 1


def watch(tour: Tour) -> None:
    """Its message edits itself: steps, epochs, metric, until it has succeeded."""
    tour.live, shown = follow(tour.ds, tour.live)
    holds(len(set(shown)) >= LEAST_STATES, f"only {len(set(shown))} different states were seen")
    holds(any(re.search(r"epoch \d+ of \d+", words) for words in shown), "no epoch was ever shown")


def priced(tour: Tour) -> None:
    """What the run cost stands beside what was estimated, and the next one is estimated from it."""
    told = tour.ds.sees("in dev: done", "(estimate", ts=tour.live["ts"], seconds=60)["words"]
    holds(re.search(r"\d USD \(estimate [\d.]+ to [\d.]+\)", told) is not None, f"no cost beside an estimate:\n{told}")
    tour.ds.asks("cost estimate pipeline run", "About", " like this")


def registered(tour: Tour) -> None:
    """The model is registered, with its metrics and where it comes from."""
    told = tour.ds.asks("registry show 1", "Detector v1 in dev", "mAP50")["words"]
    holds(tour.run in told or tour.run[:4] in told, f"the version does not name its run {tour.run}:\n{told}")


def tracked(tour: Tour) -> None:
    """MLflow has the run finished, with every parameter and metrics per epoch."""
    run = evidence.mlflow_run(tour.mlflow, tour.run)
    holds(run.status == "FINISHED", f"MLflow says {run.status}")
    holds({"optimizer", "lr0", "imgsz", "epochs"} <= run.params.keys(), f"parameters: {sorted(run.params)}")
    holds(len(run.history["val/map50"]) == int(run.params["epochs"]), f"history: {run.history}")
    tour.figures = {"map50": run.metrics["test/map50"], "train_cpu_s": run.metrics["train/cpu_seconds"]}


def served_in_dev(tour: Tour) -> None:
    """The pipeline has deployed it to dev."""
    tour.ds.asks("deployment status --env dev", "groundcrew-dev-detector: in service")


def predicted_in_dev(tour: Tour) -> None:
    """A photo of the survey, asked by key, comes back with its objects."""
    photo = evidence.labelled_photo(tour.data or tour.state / "survey")
    _prediction(tour, tour.ds, f"deployment predict survey/images/{photo.path.name} --env dev", photo)


def batched(tour: Tour) -> None:
    """The registered version looks through a whole folder of photos; a picture says what it has found."""
    before = tour.ds.types("deployment batch 1 survey/images/ --instances 2 --yes")
    told = tour.ds.sees("objects on", "survey/images/", after=before, seconds=BATCH_SECONDS)
    holds(bool(tour.slack.bytes_of(evidence.picture(told))), "the summary has no picture")


def requested(tour: Tour) -> None:
    """A data scientist asks for a promotion to staging."""
    tour.before = tour.ds.types("registry request 1 --to staging")
    tour.card = tour.ds.sees("Approval needed", "staging", button="Approve…", after=tour.before)


def not_alone(tour: Tour) -> None:
    """Whoever asked cannot approve."""
    before = tour.ds.presses(tour.card, "Approve…")
    tour.ds.sees("You asked for this yourself", after=before)


def approved(tour: Tour) -> None:
    """An ML engineer approves; the model is in staging."""
    before = tour.ml.presses(tour.card, "Approve…")
    tour.ml.sees("is now v1 in staging", "approved by", after=before)


def used_once(tour: Tour) -> None:
    """The card says who decided, and has no buttons any more."""
    shown = tour.ml.sees("Approved", "used", ts=tour.card["ts"], absent="Approval needed")
    holds("Approve…" not in buttons(shown), "the card can still be pressed")


def listed_in_staging(tour: Tour) -> None:
    """Staging's registry lists it, approved."""
    tour.ml.asks("registry list --env staging", "v1", "approved")


def denied(tour: Tour) -> None:
    """AWS itself denies a data scientist a deployment to staging."""
    told = tour.ds.asks("deployment create --env staging", "AWS said no")["words"]
    holds("not authorized to perform" in told, f"these are not AWS's words:\n{told}")
    refused = evidence.calls(tour.aws, "T0GC.U0DS1", errors=True)
    holds(any("AccessDenied" in call["errorCode"] for call in refused), "AWS has no record of a denial")


def denied_in_production(tour: Tour) -> None:
    """AWS denies the same person production as well."""
    told = tour.ds.asks("deployment status --env prod", "AWS said no")["words"]
    holds("groundcrew-prod" in told, f"AWS does not name what it refused:\n{told}")


def deployed_to_staging(tour: Tour) -> None:
    """An ML engineer deploys it to staging."""
    before = tour.ml.types("deployment create --env staging --version 1")
    shown = tour.ml.sees("groundcrew-staging-detector: in service", after=before, seconds=DEPLOYING_SECONDS)
    holds("v1" in shown["words"], f"which version serves is not said:\n{shown['words']}")


def predicted_in_staging(tour: Tour) -> None:
    """Staging's endpoint finds what the labels of a photo say."""
    photo = evidence.labelled_photo(tour.data or tour.state / "survey", skip=1)
    _prediction(tour, tour.ml, f"deployment predict survey/images/{photo.path.name} --env staging", photo)


def shortcut(tour: Tour) -> None:
    """A photo nobody trained on, put into a channel, is asked about by the message shortcut."""
    photos = tour.slack.person("U0ML1", "C0PHOTOS")
    photo = evidence.labelled_photo(tour.data) if tour.data else evidence.new_photo(tour.state, tour.seed + 1)
    message = photos.uploads(photo.path.name, photo.path.read_bytes(), "what is on this one?")
    answer = photos.sees(" on ", photo.path.name, after=photos.chooses(message, "detect_objects"), author="U0BOT")
    _compare(tour, answer, photo)


def stopped(tour: Tour) -> None:
    """A second run is stopped while it trains."""
    before = tour.ds.types("pipeline run --epochs 50")
    tour.runs += 1
    live = tour.ds.sees("Training run", "in dev", after=before)
    tour.second = buttons(live)["Stop"].split()[2]
    live = tour.ds.sees("epoch 2 of 50", ts=live["ts"], seconds=TRAINING_SECONDS)
    tour.ds.presses(live, "Stop")
    tour.ds.sees("in dev: stopped", ts=live["ts"], seconds=DEPLOYING_SECONDS)
    tour.ds.asks(f"pipeline show {tour.second}", "stopped")


def compared(tour: Tour) -> None:
    """The two runs beside each other: what differs in their parameters, the metrics, and the curves."""
    told = tour.ds.asks(f"experiments compare {tour.run} {tour.second}", "2 runs compared", seconds=60)
    table = {row[0]: row[1:] for row in rows(told)}
    holds(table["epochs"][1] == "50" != table["epochs"][0], f"the table does not say what differs: {table}")
    holds(bool(tour.slack.bytes_of(evidence.picture(told))), "there is no chart")


def follow(person: Person, live: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """A run's message once the run has succeeded, and all the texts it went through. Raises NothingCame."""
    shown = [live["words"]]
    deadline = time.monotonic() + TRAINING_SECONDS
    while not re.search(r"in dev: (done|failed|stopped|mAP50 too low)", shown[-1]):
        left = deadline - time.monotonic()
        live = person.sees(ts=live["ts"], min_changes=live["changes"] + 1, seconds=max(1, left))
        shown.append(live["words"])
    holds("in dev: done" in shown[-1], f"the run did not succeed:\n{shown[-1]}")
    return live, shown


def _settings(tour: Tour) -> list[str]:
    """A person's own photos are usually few, large and full of small things: more epochs, more pixels, no gate."""
    settings = [] if tour.data is None else FOR_OWN_PHOTOS.split()
    threshold = tour.map_threshold if tour.map_threshold is not None or tour.data is None else 0.0
    return settings + ([] if threshold is None else ["--map-threshold", f"{threshold:g}"])


def _prediction(tour: Tour, person: Person, line: str, photo: evidence.Photo) -> None:
    _compare(tour, person.asks(line, " on ", photo.path.name, seconds=60), photo)


def _compare(tour: Tour, answer: dict[str, Any], photo: evidence.Photo) -> None:
    """The picture is the photo, drawn on where objects were found; on the synthetic survey the labels are there."""
    picture = tour.slack.bytes_of(evidence.picture(answer))
    nothing = "No objects on" in answer["words"]
    changed = evidence.changed(picture, photo)
    holds(changed == 0 if nothing else 0 < changed < MOST_CHANGED, f"{changed:.0%} of the photo are drawn over")
    if tour.data is None:
        share = evidence.recall(answer, photo)
        holds(share >= LEAST_RECALL, f"only {share:.0%} of the labelled objects were found:\n{answer['words']}")


STEPS: tuple[Step, ...] = (
    whoami,
    stranger,
    typo,
    profiled,
    start_run,
    watch,
    priced,
    registered,
    tracked,
    served_in_dev,
    predicted_in_dev,
    batched,
    requested,
    not_alone,
    approved,
    used_once,
    listed_in_staging,
    denied,
    denied_in_production,
    deployed_to_staging,
    predicted_in_staging,
    shortcut,
    stopped,
    compared,
)
