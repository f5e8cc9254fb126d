"""OpenVINO, imported late, since that takes a while, and without its reports."""

import sys
from typing import Any


def load_openvino() -> Any:
    """Import OpenVINO.

    It reports its import to Google Analytics, unless its reporter cannot be imported: nothing
    leaves the machine.
    """
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    import openvino

    return openvino
