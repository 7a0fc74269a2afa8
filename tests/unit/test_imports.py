"""The table in docs/architecture.md: who may import whom, what stays out of web and worker, who knows whom by name."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
OURS = {"alerts", "bot", "commands", "pipeline", "iam", "state", "infra", "sandbox", "benchmarks", "tests"}
MAY_IMPORT = {
    "sandbox": set(),
    "pipeline": set(),
    "alerts": {"pipeline"},
    "state": {"pipeline"},
    "iam": {"pipeline"},
    "infra": {"pipeline", "iam"},
    "commands": {"alerts", "pipeline", "iam", "state"},
    "bot": {"alerts", "commands", "pipeline", "iam", "state"},
}
PRODUCT = ("alerts", "bot", "commands", "pipeline", "iam", "state", "infra")
HEAVY = {"sagemaker", "torch", "torchvision", "ultralytics", "pandas", "mlflow", "cv2", "onnxruntime", "openvino"}
SLACK = {"slack_sdk", "slack_bolt"}


def sources(package: str) -> list[Path]:
    found = sorted((ROOT / package).rglob("*.py"))
    assert found, f"{package} holds no source: this test looks at the wrong place"
    return found


def imported(path: Path) -> Iterator[str]:
    """Top-level names of everything a file imports, inside functions too."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield (node.module or "").partition(".")[0] if not node.level else path.relative_to(ROOT).parts[0]


@pytest.mark.parametrize("package", MAY_IMPORT)
def test_a_package_imports_only_what_it_may(package: str) -> None:
    allowed = MAY_IMPORT[package] | {package}
    wrong = {
        f"{path.relative_to(ROOT)} imports {name}"
        for path in sources(package)
        for name in imported(path)
        if name in OURS and name not in allowed
    }
    assert not wrong


@pytest.mark.parametrize("package", ["commands", "pipeline", "iam", "state", "infra"])
def test_only_the_bot_knows_slack(package: str) -> None:
    wrong = {str(path.relative_to(ROOT)) for path in sources(package) if SLACK & set(imported(path))}
    assert not wrong


def test_state_imports_only_the_errors_of_the_pipeline() -> None:
    wrong = [
        f"{path.name}: {line.strip()}"
        for path in sources("state")
        for line in path.read_text().splitlines()
        if re.match(r"\s*(from|import) pipeline", line) and "pipeline.errors" not in line
    ]
    assert not wrong


def test_web_and_worker_import_nothing_heavy() -> None:
    """Every module of `bot` and `commands`, and what they pull in."""
    program = (
        "import importlib, pkgutil, sys\n"
        "for package in ('bot', 'commands'):\n"
        "    for found in pkgutil.walk_packages([package], package + '.'):\n"
        "        if not found.name.endswith('__main__'): importlib.import_module(found.name)\n"
        "print('\\n'.join(sys.modules))\n"
    )
    run = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    loaded = {name.partition(".")[0] for name in run.stdout.split()}
    assert {"slack_bolt", "boto3"} <= loaded  # the list is the real one
    assert not HEAVY & loaded


@pytest.mark.parametrize("package", PRODUCT)
def test_the_product_does_not_mention_the_stand_ins(package: str) -> None:
    said = re.compile(r"\b(sandbox|stand-?ins?|moto|localstack)\b", re.IGNORECASE)
    texts = [path for path in (ROOT / package).rglob("*") if path.suffix in {".py", ".yaml", ".json", ".mako"}]
    wrong = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path in texts
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if said.search(line)
    ]
    assert not wrong
