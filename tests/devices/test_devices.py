"""No tensor of the model's device meets one of the CPU, on a machine that has no other device."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.timeout(300)
def test_nothing_mixes_devices(root: Path) -> None:
    """Methods, networks, memories, optimisers, bench and the live loop, in a process of their own.

    Each learns on a device that refuses what CUDA refuses; its checkpoint goes to the CPU and back.
    """
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "tests.devices.crossing"],
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
        cwd=root,
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(root), str(root / "src")]),
            "OMP_NUM_THREADS": "1",
        },
    )
    assert done.returncode == 0, done.stderr[-3000:]
    faults = json.loads(done.stdout.splitlines()[-1])
    assert len(faults) > 70
    assert [] == [f"{name}: {fault}" for name, fault in faults.items() if fault is not None]
