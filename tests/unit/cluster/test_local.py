"""Running programs on this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.unit.cluster.transport_contract import TransportContract
from worker.errors import NotSent

if TYPE_CHECKING:
    from pathlib import Path

    from worker.cluster.local import LocalTransport
    from worker.cluster.transport import Transport


class TestLocalTransport(TransportContract):
    @pytest.fixture
    def transport(self, here: LocalTransport) -> Transport:
        return here

    def test_programs_start_in_its_folder(self, transport: Transport, tmp_path: Path) -> None:
        assert transport.run(["pwd"]).text.strip() == str(tmp_path)

    def test_what_is_no_program_ends_with_126(self, transport: Transport, tmp_path: Path) -> None:
        (tmp_path / "text").write_text("no program")
        assert transport.run([str(tmp_path / "text")]).exit_status == 126

    def test_too_long_a_command_was_not_sent(self, transport: Transport) -> None:
        with pytest.raises(NotSent):
            transport.run(["echo", "x" * 10_000_000])
