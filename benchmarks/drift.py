"""How often the rule of drift is wrong, against other rules on the same windows; what its statistics cost.

`drift.false_alarms`: share of windows without any change, of 200 and 500 images, that are called drift.
`drift.power`, `drift.power_mix`: share of changed windows of 200 that are (the worst of darker, blurred and foggy;
another mix of classes). `drift.rules`: how many other rules make no more errors of either kind and fewer of one.
`drift.speed_10k`, `drift.speed_100k`: CPU milliseconds of Evidently's DataDriftPreset against ours, 15 columns. Ours
has fitted the baseline before, as a monitor has and Evidently cannot (what that costs once is said beside).
`drift.rss_mib`: peak memory for a million captured records against 100,000.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import cv2
import numpy as np
import psutil

from benchmarks.drift_windows import NAMES, SHIFTS, Rows, baseline, flights, profiled, window
from benchmarks.figures import ROOT, Figure, Figures, main, say
from pipeline.monitoring import capture
from pipeline.monitoring.calibration import Limits
from pipeline.monitoring.drift import Reference, js, judge, ks, psi
from pipeline.monitoring.features import IMAGE
from pipeline.monitoring.summary import Profile, Summary

SEED = 11
POOL, BASE, BASELINES = 1400, 200, 8
"""Flights of the survey, of one baseline (1,000 images), and how many baselines are drawn from it."""
SIZES = (200, 500)
DRAWS = 75
"""Windows of each size for each baseline: 1,200 in all."""
CHANGED = 50
"""Windows of each change for each baseline."""
TABLE_QUIET, TABLE_CHANGED = 80, 10
"""Windows of the comparison with the other rules, all of them against the first baseline."""
RECORDS = 1_000_000
SAMPLE = 5000
ROUNDS = 5
COLUMNS = 15
EVIDENTLY = ROOT / "var" / "evidently"
START = datetime(2026, 1, 1, tzinfo=UTC)


def measure() -> Figures:
    """All figures; the table of error rates goes beside them."""
    cv2.setNumThreads(1)
    say("drawing the surveys")
    pool = flights(SEED, POOL)
    changed = {
        name: flights(SEED + 1 + index, POOL // 4, change, shares)
        for index, (name, (change, shares)) in enumerate(SHIFTS.items())
    }
    rng = np.random.default_rng(SEED)
    found = errors(rng, pool, changed)
    with tempfile.TemporaryDirectory(prefix="groundcrew-bench-") as folder:
        return found | compared(rng, pool, changed, Path(folder)) | memory()


def errors(rng: np.random.Generator, pool: Rows, changed: Mapping[str, Rows]) -> dict[str, Figure]:
    """How often the rule is wrong, over several baselines."""
    alarms: list[bool] = []
    hits: dict[str, list[bool]] = {name: [] for name in changed}
    for number in range(BASELINES):
        reference, rest = drawn(rng, pool, number)
        for size in SIZES:
            alarms += [called(reference, window(rng, rest, size)) for _ in range(DRAWS)]
        for name, rows in changed.items():
            hits[name] += [called(reference, window(rng, rows, SIZES[0])) for _ in range(CHANGED)]
        limit = reference.limits.at(SIZES[0])
        say(f"baseline {number}: limit {limit:.3f}, {sum(alarms)} false alarms of {len(alarms)} so far")
    power = {name: float(np.mean(found)) for name, found in hits.items()}
    say(f"found at n = {SIZES[0]}: {power}")
    return {
        "drift.false_alarms": Figure(float(np.mean(alarms)), "share"),
        "drift.power": Figure(min(power[name] for name in power if name != "mix"), "share"),
        "drift.power_mix": Figure(power["mix"], "share"),
    }


def drawn(rng: np.random.Generator, pool: Rows, number: int) -> tuple[Reference, Rows]:
    """A baseline, and the flights it does not contain."""
    order = rng.permutation(len(pool))
    return baseline(pool[order[:BASE]], number), pool[order[BASE:]]


def called(reference: Reference, rows: Rows) -> bool:
    """Whether the rule calls it drift."""
    return judge(reference, profiled(rows)).kind == "drift"


def compared(rng: np.random.Generator, pool: Rows, changed: Mapping[str, Rows], folder: Path) -> dict[str, Figure]:
    """All rules on the same windows, and the speeds."""
    order = rng.permutation(len(pool))
    known, rest = pool[order[:BASE]], pool[order[BASE:]]
    reference = baseline(known)
    kinds = ["quiet"] * TABLE_QUIET + [name for name in changed for _ in range(TABLE_CHANGED)]
    windows = [window(rng, changed.get(kind, rest), SIZES[0]) for kind in kinds]
    before, now = (rng.gamma(4, 10, (100_000, COLUMNS)) for _ in range(2))
    told = evidently(folder, reference=known.reshape(-1, len(NAMES)), windows=np.array(windows), before=before, now=now)
    profiles = [profiled(rows) for rows in windows]
    verdicts = {name: [rule(reference, profile) for profile in profiles] for name, rule in RULES.items()}
    verdicts["Evidently's preset"] = told["verdicts"]
    rates = {name: _errors(kinds, found) for name, found in verdicts.items()}
    for name, (false, missed, by_kind) in rates.items():
        say(f"{name:20} false alarms {false:.3f}  missed {missed:.3f}  found {by_kind}")
    ours = rates["ours"]
    better = [
        name
        for name, (false, missed, _) in rates.items()
        if false <= ours[0] and missed <= ours[1] and (false, missed) != ours[:2]
    ]
    short, long = (seconds(before[:rows], now[:rows]) for rows in (10_000, 100_000))
    return {
        "drift.rules": Figure(len(better), "rules"),
        "drift.speed_10k": Figure(told["short"] * 1000, "ms", short * 1000),
        "drift.speed_100k": Figure(told["long"] * 1000, "ms", long * 1000),
    }


RULES: Mapping[str, Callable[[Reference, Profile], bool]] = {
    "ours": lambda reference, found: judge(reference, found).kind == "drift",
    "KS p < .05, any": lambda reference, found: any(
        ks(column.values, found.columns[name].values)[1] < 0.05 for name, column in reference.profile.columns.items()
    ),
    "PSI > .2, any": lambda reference, found: any(
        psi(column.values, found.columns[name].values) > 0.2 for name, column in reference.profile.columns.items()
    ),
    "JS > .1, any": lambda reference, found: any(
        js(column.values, found.columns[name].values) > 0.1 for name, column in reference.profile.columns.items()
    ),
}


def _errors(kinds: list[str], found: list[bool]) -> tuple[float, float, dict[str, float]]:
    """False alarms, missed changes, and the share of each change that was found."""
    by_kind = {
        kind: float(np.mean([hit for of, hit in zip(kinds, found, strict=True) if of == kind]))
        for kind in dict.fromkeys(kinds)
    }
    quiet = by_kind.pop("quiet")
    return quiet, 1 - float(np.mean(list(by_kind.values()))), by_kind


def evidently(folder: Path, **arrays: Rows) -> dict[str, object]:
    """What Evidently says in an environment of its own (benchmarks/evidently.txt), made once under var/.

    evidently.txt is `uv pip compile --universal --no-emit-index-url` of evidently and pandas<3. Raises
    CalledProcessError.
    """
    python = EVIDENTLY / "bin" / "python"
    lock = ROOT / "benchmarks" / "evidently.txt"
    ready = EVIDENTLY / "made-from.txt"
    if not ready.is_file() or ready.read_bytes() != lock.read_bytes():
        say("installing Evidently")
        uv = str(Path(sys.executable).with_name("uv"))
        subprocess.run([uv, "venv", "--quiet", "--clear", "--python", sys.executable, EVIDENTLY], check=True)
        install = [uv, "pip", "install", "--quiet", "--index-strategy", "unsafe-best-match", "--python", python]
        subprocess.run([*install, "-r", lock], check=True)
        ready.write_bytes(lock.read_bytes())
    np.savez(folder / "in.npz", **arrays)
    program = ROOT / "benchmarks" / "drift_evidently.py"
    subprocess.run([python, program, folder / "in.npz", folder / "out.json"], check=True, stdout=sys.stderr)
    told: dict[str, object] = json.loads((folder / "out.json").read_text())
    return told


def seconds(before: Rows, now: Rows) -> float:
    """CPU seconds for the profile of `now` and the verdict; the baseline is fitted once, as a monitor reads it."""
    was, table = (
        {f"c{index}": np.ascontiguousarray(values) for index, values in enumerate(rows.T)} for rows in (before, now)
    )
    fitted, spent = [], []
    for _ in range(ROUNDS):
        began = time.process_time()
        reference = Reference(_profile(was), Limits((200,), (0.3,)))
        middle = time.process_time()
        judge(reference, _profile(table))
        spent.append(time.process_time() - middle)
        fitted.append(middle - began)
    say(f"{len(now)} rows: {min(spent) * 1000:.1f} ms, and {min(fitted) * 1000:.1f} ms once for the baseline")
    return min(spent)


def _profile(table: Mapping[str, Rows]) -> Profile:
    summary = Summary()
    summary.add_arrays(table)
    return summary.profile()


def memory() -> dict[str, Figure]:
    """Peak memory of a process that reads so many captured records."""
    peaks = []
    for records in (RECORDS, RECORDS // 10):
        argv = [sys.executable, "-m", "benchmarks.drift", "--read", str(records)]
        ran = subprocess.run(argv, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True)
        peaks.append(float(ran.stdout))
    return {"drift.rss_mib": Figure(peaks[0], "MiB", peaks[1])}


def read(records: int) -> float:
    """Read so many records; peak memory in MiB, sampled (the system's own peak counts the parent before exec)."""
    process, peak = psutil.Process(), 0

    def watched() -> Iterator[bytes]:
        nonlocal peak
        for number, line in enumerate(captured(records)):
            if number % SAMPLE == 0:
                peak = max(peak, process.memory_info().rss)
            yield line

    found = capture.window(capture.records(watched()), START, START + timedelta(days=1))
    if found.images != records:
        raise RuntimeError(f"{found.images} of {records} records were read: {found.malformed}")
    return max(peak, process.memory_info().rss) / 2**20


def captured(records: int) -> Iterator[bytes]:
    """Lines as data capture writes them."""
    rng = np.random.default_rng(SEED)
    image = len(IMAGE)
    for number in range(records):
        values = [round(float(value), 4) for value in rng.random(len(NAMES))]
        answer = {
            "image": {"width": 640, "height": 480},
            "detections": [{"class": "vehicle", "confidence": 0.9, "box": [1.0, 2.0, 30.0, 40.0]}],
            "model": {"digest": "d" * 64},
            "features": dict(zip(NAMES[:image], values[:image], strict=True)),
            "prediction": dict(zip(NAMES[image:], values[image:], strict=True)),
        }
        output = {"observedContentType": "application/json", "mode": "OUTPUT", "encoding": "JSON"}
        at = (START + timedelta(milliseconds=80 * number)).isoformat().replace("+00:00", "Z")
        line = {
            "captureData": {"endpointOutput": output | {"data": json.dumps(answer)}},
            "eventMetadata": {"eventId": f"e{number}", "inferenceTime": at},
            "eventVersion": "0",
        }
        yield json.dumps(line).encode() + b"\n"


if __name__ == "__main__":
    if sys.argv[1:2] == ["--read"]:
        print(read(int(sys.argv[2])))
    else:
        main(__doc__ or "", measure)
