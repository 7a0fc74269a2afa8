"""Runtimes that report to their vendors what is done with them, unasked, kept from it."""

from __future__ import annotations

import os
import sys


def hush() -> None:
    """Call this before any of them is imported, here or by a library.

    ONNX Runtime (official builds, as of 1.32) reads the variable when it starts; OpenVINO and NNCF send events as soon
    as they are imported, and go without where they cannot import what sends them.
    """
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]
