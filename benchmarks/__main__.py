"""All figures: `make bench` runs every module, prints a table and writes benchmarks/results.json."""

from __future__ import annotations

import json
import platform
import subprocess
import sys
from datetime import UTC, datetime

import psutil

from benchmarks.figures import ROOT, line, say

MODULES = (
    "start",
    "reply",
    "home",
    "memory",
    "ack",
    "sockets",
    "tour",
    "train",
    "access",
    "audit",
    "evaluator",
    "live",
    "alerts",
    "alerts_kill",
    "features",
    "drift",
    "profile",
    "canary",
    "serving",
    "cost",
    "cost_estimate",
)


def main() -> int:
    """Exit status 1 when a module failed; the others are still run and written."""
    figures, failed = {}, []
    for module in MODULES:
        say(f"benchmarks.{module}")
        argv = [sys.executable, "-m", f"benchmarks.{module}", "--json"]
        ran = subprocess.run(argv, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False)
        if ran.returncode:
            failed.append(module)
        else:
            figures |= json.loads(ran.stdout)
    machine = {"cores": psutil.cpu_count(), "system": platform.platform(), "python": platform.python_version()}
    report = {"at": datetime.now(UTC).isoformat(timespec="seconds"), "machine": machine, "figures": figures}
    (ROOT / "benchmarks" / "results.json").write_text(json.dumps(report, indent=1) + "\n")
    print("\n".join(line(name, row) for name, row in figures.items()))
    if failed:
        say(f"failed: {', '.join(failed)}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
