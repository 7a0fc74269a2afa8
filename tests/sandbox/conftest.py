"""The local AWS inside the test process: moto has one account a process, so all tests that look inside share it."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from sandbox.aws.core import Cloud


@pytest.fixture(scope="session")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    from sandbox.aws.server import build

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MOTO_ACCOUNT_ID", "123456789012")
        patch.setenv("MOTO_DISABLE_GLOBAL_CORS", "1")
        server, cloud = build(0, tmp_path_factory.mktemp("inside"), "us-east-1")
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield cloud
        server.shutdown()
        thread.join()
        cloud.stop()
        server.server_close()


@pytest.fixture(scope="session")
def root(cloud: Cloud) -> dict[str, str]:
    keys: dict[str, str] = json.loads((cloud.state / "root.json").read_text())
    return keys
