"""What every transport promises; each implementation's tests inherit this class and give the fixture."""

from __future__ import annotations

import hashlib
import os
import time
from itertools import repeat
from typing import TYPE_CHECKING

import pytest

from worker.errors import CommandFailed, OutcomeUnknown

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from worker.cluster.transport import Transport

AWKWARD = [
    "",
    " ",
    "two  words",
    "it's",
    '"double"',
    "$(touch pwned)",
    "`touch pwned`",
    "$HOME",
    "*",
    "~",
    "a;b|c&d>e",
    "new\nline",
    "tab\there",
    "back\\slash",
    "!history",
    "# no comment",
    "-rf",
    "ünïcödé 细胞 🔬",
    "\udcff not UTF-8",
    "%s %n {}",
]


class TransportContract:
    """Behaviour of a transport."""

    @pytest.fixture
    def transport(self) -> Transport:
        raise NotImplementedError

    def test_a_program_gives_its_output_and_status(self, transport: Transport) -> None:
        completed = transport.run(["sh", "-c", "echo out; echo err >&2; exit 3"])
        assert (completed.exit_status, completed.stdout, completed.stderr) == (3, b"out\n", b"err\n")

    def test_check_passes_on_success_and_tells_why_not(self, transport: Transport) -> None:
        assert transport.run(["echo", "hello"]).check().text == "hello\n"
        with pytest.raises(CommandFailed, match="sh ended with status 7: no space left") as failure:
            transport.run(["sh", "-c", "echo no space left >&2; exit 7"]).check()
        assert failure.value.exit_status == 7

    @pytest.mark.parametrize("argument", AWKWARD)
    def test_an_argument_arrives_exactly(self, transport: Transport, argument: str) -> None:
        assert transport.run(["printf", "%s", argument]).text == argument

    def test_many_arguments_stay_apart(self, transport: Transport) -> None:
        assert transport.run(["printf", "%s\\0", *AWKWARD]).text == "".join(f"{argument}\0" for argument in AWKWARD)

    def test_no_shell_sees_an_argument(self, transport: Transport, tmp_path: Path) -> None:
        transport.run(["echo", f"$(touch {tmp_path}/pwned)", f"; touch {tmp_path}/pwned", f"`touch {tmp_path}/pwned`"])
        assert not (tmp_path / "pwned").exists()

    def test_a_nul_in_an_argument_is_refused(self, transport: Transport) -> None:
        with pytest.raises(ValueError, match="NUL"):
            transport.run(["echo", "a\0b"])

    def test_every_byte_passes_both_ways(self, transport: Transport) -> None:
        data = bytes(range(256)) * 100
        assert transport.run(["cat"], stdin=[data]).stdout == data

    def test_standard_input_is_streamed(self, transport: Transport) -> None:
        taken = 0

        def pieces() -> Iterator[bytes]:
            nonlocal taken
            for _ in range(300):
                taken += 1
                yield b"x" * 10_000
                yield b""

        assert transport.run(["wc", "-c"], stdin=pieces()).text.strip() == "3000000"
        assert taken == 300

    def test_standard_input_is_empty_unless_given(self, transport: Transport) -> None:
        assert transport.run(["wc", "-c"]).text.strip() == "0"

    def test_a_program_may_leave_its_input(self, transport: Transport) -> None:
        completed = transport.run(["head", "-c", "3"], stdin=repeat(b"abc" * 10_000, 2000))
        assert completed.stdout == b"abc"

    def test_input_and_output_may_both_be_large(self, transport: Transport) -> None:
        data = os.urandom(1 << 20)
        digest = hashlib.sha256(data * 5).hexdigest()
        completed = transport.run(["cat"], stdin=repeat(data, 5))
        assert hashlib.sha256(completed.stdout).hexdigest() == digest

    def test_much_on_standard_error_blocks_nothing(self, transport: Transport) -> None:
        completed = transport.run(["sh", "-c", "head -c 5000000 /dev/zero >&2; echo done"])
        assert (completed.stdout, len(completed.stderr)) == (b"done\n", 5_000_000)

    def test_a_missing_program_ends_with_127(self, transport: Transport) -> None:
        completed = transport.run(["no-such-program-here"])
        assert completed.exit_status == 127
        assert "not found" in completed.error_text

    def test_a_killed_program_ends_with_128_and_the_signal(self, transport: Transport) -> None:
        assert transport.run(["sh", "-c", "kill -9 $$"]).exit_status == 137

    def test_a_silent_program_is_given_up(self, transport: Transport) -> None:
        started = time.monotonic()
        with pytest.raises(OutcomeUnknown, match=r"silent for 0\.5 s"):
            transport.run(["sleep", "30"], timeout_s=0.5)
        assert time.monotonic() - started < 5

    def test_a_slow_program_is_not_given_up_while_it_speaks(self, transport: Transport) -> None:
        completed = transport.run(["sh", "-c", "for i in 1 2 3 4; do sleep 0.3; echo $i; done"], timeout_s=0.8)
        assert completed.stdout == b"1\n2\n3\n4\n"

    def test_slow_input_is_our_own_fault_and_does_not_count(self, transport: Transport) -> None:
        def pieces() -> Iterator[bytes]:
            for piece in (b"a", b"b"):
                time.sleep(0.6)
                yield piece

        assert transport.run(["cat"], stdin=pieces(), timeout_s=0.4).stdout == b"ab"

    def test_it_works_again_after_a_failure(self, transport: Transport) -> None:
        with pytest.raises(OutcomeUnknown):
            transport.run(["sleep", "30"], timeout_s=0.2)
        assert transport.run(["echo", "again"]).stdout == b"again\n"

    def test_a_failure_in_our_input_is_passed_on(self, transport: Transport) -> None:
        def pieces() -> Iterator[bytes]:
            yield b"some"
            raise LookupError("the pixels are gone")

        with pytest.raises(LookupError, match="pixels are gone"):
            transport.run(["cat"], stdin=pieces())
        assert transport.run(["echo", "again"]).stdout == b"again\n"

    def test_a_stream_comes_in_pieces(self, transport: Transport) -> None:
        with transport.stream(["head", "-c", "3000000", "/dev/zero"]) as pieces:
            sizes = [len(piece) for piece in pieces]
        assert sum(sizes) == 3_000_000
        assert len(sizes) > 5

    def test_a_stream_begins_before_the_program_ends(self, transport: Transport) -> None:
        with transport.stream(["sh", "-c", "echo first; cat; echo last"], stdin=_wait_for_first()) as pieces:
            assert b"".join(pieces) == b"first\nmiddle\nlast\n"

    def test_a_stream_tells_at_its_end_that_the_program_failed(self, transport: Transport) -> None:
        received: list[bytes] = []
        with (
            pytest.raises(CommandFailed, match="disk on fire"),
            transport.stream(["sh", "-c", "echo half; echo disk on fire >&2; exit 1"]) as pieces,
        ):
            received.extend(pieces)
        assert received == [b"half\n"]

    def test_a_silent_program_lets_its_reader_look_whether_to_go_on(self, transport: Transport) -> None:
        with transport.stream(["sh", "-c", "sleep 1.3; echo last"]) as pieces:
            received = list(pieces)
        assert received[:2] == [b"", b""]
        assert b"".join(received) == b"last\n"

    def test_that_does_not_make_it_any_less_silent(self, transport: Transport) -> None:
        started = time.monotonic()
        with pytest.raises(OutcomeUnknown), transport.stream(["sleep", "30"], timeout_s=1.2) as pieces:
            for _ in pieces:
                pass
        assert time.monotonic() - started < 5

    def test_leaving_a_stream_early_ends_the_program(self, transport: Transport, tmp_path: Path) -> None:
        script = f"echo $$ >{tmp_path}/pid; while echo x; do sleep 0.05; done"
        with transport.stream(["sh", "-c", script]) as pieces:
            next(pieces)
        pid = int((tmp_path / "pid").read_text())
        deadline = time.monotonic() + 5
        while os.path.exists(f"/proc/{pid}") and time.monotonic() < deadline:  # noqa: PTH110 - a process, not a file
            time.sleep(0.05)
        assert not os.path.exists(f"/proc/{pid}")  # noqa: PTH110 - a process, not a file
        assert transport.run(["echo", "again"]).stdout == b"again\n"

    def test_a_slow_reader_is_our_own_fault_and_does_not_count(self, transport: Transport) -> None:
        with transport.stream(["sh", "-c", "echo a; echo b"], timeout_s=0.4) as pieces:
            for _ in pieces:
                time.sleep(0.6)

    def test_it_can_be_used_after_close(self, transport: Transport) -> None:
        transport.run(["true"]).check()
        transport.close()
        transport.run(["true"]).check()


def _wait_for_first() -> Iterator[bytes]:
    time.sleep(0.1)
    yield b"middle\n"
