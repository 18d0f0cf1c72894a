"""What asks the brokers is loaded before several threads do."""

import subprocess
import sys

from tests.engine import ROOT

_ASKED_AT_ONCE = """
import importlib
from functools import partial
from provision.operations.doctor import gather
for module in gather._LOADED_FIRST:
    importlib.import_module(module)
import sys
loaded = set(sys.modules)
asks = {name: partial(importlib.import_module, name) for name in (
    "kafka", "kafka.errors", "kafka.protocol.parser", "kafka.protocol.metadata", "kafka.protocol.admin",
    "kafka.protocol.consumer", "provision.kafka.admin", "provision.kafka.brokers",
)}
found = gather.side_by_side(asks)
print([one.why for one in found.values() if isinstance(one, gather.Unasked)], set(sys.modules) - loaded)
"""


def test_no_thread_has_to_load_the_client_library() -> None:
    done = subprocess.run([sys.executable, "-c", _ASKED_AT_ONCE], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[] set()"
