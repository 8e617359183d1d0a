from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest


@pytest.mark.skipif(sys.platform == "win32", reason="no such pipes")
def test_a_reader_that_has_gone_gets_no_traceback(tmp_path: Path) -> None:
    np.save(tmp_path / "features.npy", np.eye(8, 4, dtype=np.float32))
    command = [sys.executable, "-m", "noisymodel", "analyze", "features.npy", "--no-figures", "--out", "found"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path) as running:
        assert running.stdout is not None
        running.stdout.close()
        _, said = running.communicate()
    assert "Traceback" not in said
    assert "Broken" not in said
    assert running.returncode == 141
