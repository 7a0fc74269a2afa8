"""A run that nobody follows fails at night: one alert, somebody has it, the run goes on, the alert is over."""

from __future__ import annotations

from sandbox.operator import Nightly
from sandbox.person import buttons, moment
from sandbox.tour.story import TRAINING_SECONDS, Step, Tour, holds


def alerted(tour: Tour) -> None:
    """A nightly run that nobody follows fails on a broken photo: one alert, with its step and the reason."""
    tour.nightly = Nightly.draw(tour.state, tour.seed)
    tour.whole = tour.nightly.break_photo()
    tour.nightly.load()
    tour.before = moment()
    tour.run = tour.nightly.start()
    wanted = ("Warning:", tour.run[:4], "Preprocess", tour.nightly.photo.name)
    tour.alert = tour.reader.sees(*wanted, button="Retry the run", after=tour.before, seconds=60)


def acknowledged(tour: Tour) -> None:
    """A data scientist acknowledges it; everybody sees who has it."""
    tour.reader.presses(tour.alert, "Acknowledge")
    tour.reader.sees("Acknowledged by", ts=tour.alert["ts"])


def retried(tour: Tour) -> None:
    """The photo is put right, the run goes on after the failed step, and its end resolves the alert."""
    tour.nightly.photo.write_bytes(tour.whole)
    tour.nightly.load()
    before = tour.reader.presses(tour.alert, "Retry the run")
    going = tour.reader.sees("Training run", tour.run[:4], after=before)
    tour.reader.sees("in dev: done", ts=going["ts"], seconds=TRAINING_SECONDS)
    resolved = tour.reader.sees("Resolved:", ts=tour.alert["ts"], seconds=60)
    holds("Acknowledge" not in buttons(resolved), "a resolved alert still asks to be acknowledged")


STEPS: tuple[Step, ...] = (
    alerted,
    acknowledged,
    retried,
)
