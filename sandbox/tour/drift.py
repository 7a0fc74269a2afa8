"""The ground changes under a model in service: quiet before, one alert after, what changed, retraining, recovery.

What has become of it (fog, dusk, another camera, another mix of objects) is chosen by the tour's seed. Hours pass by
the account's clock; the photos, the answers, the monitor's jobs and the training are real.
"""

from __future__ import annotations

import time
from typing import Any

from sandbox import evidence, operator
from sandbox.hours import Hours, stamp
from sandbox.person import NothingCame, buttons, moment
from sandbox.tour.first_walk import follow
from sandbox.tour.story import DEPLOYING_SECONDS, Step, Tour, holds

KINDS = ("fog", "dusk", "camera", "mix")
WINDOWS = 4
"""Hours that pass: one as usual, two of drift, one after the new model."""
REPORT_SECONDS = 60.0
QUICKLY = "--epochs 3 --map-threshold 0.5"
"""What is tried here is the recovery, not how good a detector can become."""
RECENT = "recent"
"""Folder of the recent photos, in the bucket."""


def quiet(tour: Tour) -> None:
    """An hour of ordinary photos: the monitor looks when it is over, and nothing has moved."""
    tour.hours = Hours(tour.state, tour.seed)
    tour.hours.begin(WINDOWS)
    tour.before = moment()
    _hour(tour, "usual", "No drift in 200 images")
    _nobody_called(tour)


def noted(tour: Tour) -> None:
    """The ground changes. One window of it is a note in the reports, and calls nobody."""
    _hour(tour, _kind(tour), "Drift: ", "times its limit")
    _nobody_called(tour)


def called(tour: Tour) -> None:
    """After two windows in a row somebody is called: one alert for all of it."""
    _hour(tour, _kind(tour), "Drift: ", "times its limit")
    wanted = ("Warning:", "groundcrew-dev-detector-drift", "two windows in a row")
    tour.alert = tour.reader.sees(*wanted, button="Drift report", after=tour.before)
    said = [row for row in tour.reader.reads(tour.before) if row.get("thread_ts", row["ts"]) == row["ts"]]
    said = [row for row in said if "detector" in row["words"]]
    holds(len(said) == 1, f"{len(said)} messages about one drift")


def pictured(tour: Tour) -> None:
    """Its button leads to what moved: baseline against now, and photos of both."""
    told = tour.reader.sees("Drift in 2 of", after=tour.reader.presses(tour.alert, "Drift report"))
    before = tour.reader.presses(told, "Newest that drifts")
    report = tour.reader.sees("Drift: ", "times its limit", after=before)
    photos = tour.reader.sees("What it sees", after=before)
    for message, kind in ((report, b"\x89PNG"), (photos, b"\xff\xd8\xff")):
        holds(tour.slack.bytes_of(evidence.picture(message)).startswith(kind), "the picture is none")
    answers = {"Retrain in dev", "Roll back…", "Whole report"}
    holds(answers <= buttons(report).keys(), f"not all answers are offered: {sorted(buttons(report))}")


def retrained(tour: Tour) -> None:
    """Recent photos are labelled and put beside the survey; a model is trained on them and serves in dev."""
    folder = tour.state / "tmp" / RECENT
    operator.run(tour.state, "sandbox.traffic", "--into", folder, "--kind", _kind(tour), "--seed", tour.seed)
    operator.run(tour.state, "sandbox.survey", folder, "--prefix", RECENT)
    before = tour.ds.types(f"pipeline run --prefix {RECENT} {QUICKLY}")
    tour.runs += 1
    follow(tour.ds, tour.ds.sees("Training run", "in dev", after=before))
    tour.ds.asks("drift baseline show", "The baseline of groundcrew-dev-detector: 810 images")


def recovered(tour: Tour) -> None:
    """For the new model the same ground is usual: no drift, and the alert ends by itself."""
    _hour(tour, _kind(tour), "No drift in 200 images")
    tour.reader.sees("Resolved:", "Resolved by itself", ts=tour.alert["ts"])


def rolled_back(tour: Tour) -> None:
    """One click, and the version before serves again."""
    question = tour.ds.asks("deployment rollback", "Really roll dev back to detector v1", button="Yes, do it")
    before = tour.ds.presses(question, "Yes, do it")
    shown = tour.ds.sees("groundcrew-dev-detector: in service", after=before, seconds=DEPLOYING_SECONDS)
    holds("v1" in shown["words"], f"which version serves is not said:\n{shown['words']}")
    tour.hours.present()


def _kind(tour: Tour) -> str:
    return KINDS[tour.seed % len(KINDS)]


def _hour(tour: Tour, kind: str, *words: str) -> dict[str, Any]:
    """An hour of such photos, and the report about it once there is one."""
    tour.hours.send(kind)
    line = f"drift report --at {stamp(tour.hours.pass_hour())} --window 1h"
    deadline = time.monotonic() + REPORT_SECONDS
    while True:
        told = tour.ds.asks(line)
        if all(part in told["words"] for part in words):
            return told
        if "There is no report" not in told["words"] or time.monotonic() > deadline:
            raise NothingCame(f"{line} should say {words}:\n{told['words']}")
        time.sleep(0.5)


def _nobody_called(tour: Tour) -> None:
    said = [row["words"] for row in tour.reader.reads(tour.before) if "detector" in row["words"]]
    holds(not said, f"somebody was called already: {said}")


STEPS: tuple[Step, ...] = (
    quiet,
    noted,
    called,
    pictured,
    retrained,
    recovered,
    rolled_back,
)
