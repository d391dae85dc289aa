"""When a process was started."""

from __future__ import annotations

import subprocess
import sys
import time

from tests.bench.clock import started_at_s


def test_the_start_of_a_process_is_known_to_a_few_hundredths_of_a_second() -> None:
    before_s = time.time()
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        after_s = time.time()
        time.sleep(0.2)
        started_s = started_at_s(process.pid)
        process.communicate(b"\n")
    assert before_s - 0.03 <= started_s <= after_s + 0.03
