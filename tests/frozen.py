"""Results that a release must not change unseen: float64 numbers in ``tests/frozen/NAME.json``.

``assert_frozen(name, key, values)`` compares; ``NOISYMODEL_RENEW_FROZEN=1 pytest TEST`` writes them anew, for a change
that is meant and that the changelog tells.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np

FOLDER = Path(__file__).parent / "frozen"
RENEW = "NOISYMODEL_RENEW_FROZEN"


def assert_frozen(name: str, key: str, values: Any, *, rtol: float = 1e-9, atol: float = 1e-12) -> None:
    """Whether the values of a float64 tensor or array are those that ``frozen/name.json`` has under ``key``."""
    found = np.asarray(values.detach().cpu() if hasattr(values, "detach") else values)
    if found.dtype.kind not in "iub":
        assert found.dtype == np.float64, f"{name}, {key}: frozen values are float64 or integers, got {found.dtype}"
    assert np.isfinite(found).all(), f"{name}, {key}: {found}"
    path = FOLDER / f"{name}.json"
    known: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    if os.environ.get(RENEW):
        known[key] = {"shape": found.shape, "values": found.ravel().tolist()}
        FOLDER.mkdir(exist_ok=True)
        lines = ",\n".join(f"{json.dumps(entry)}: {json.dumps(known[entry])}" for entry in sorted(known))
        path.write_text(f"{{\n{lines}\n}}\n", encoding="utf-8")
        return
    assert key in known, f"{name}.json has no {key!r}; {RENEW}=1 writes it"
    assert list(found.shape) == known[key]["shape"], f"{name}, {key}"
    expected = np.array(known[key]["values"]).reshape(found.shape)
    message = f"{name}, {key}: results have changed; if that is meant, {RENEW}=1 renews them and the changelog says so"
    np.testing.assert_allclose(found, expected, rtol=rtol, atol=atol, err_msg=message)
