"""The lab's block of ports."""

from __future__ import annotations

import socket

import pytest

from tests.lab.ports import BLOCK_SIZE, FIRST_BLOCK, OFFSETS, NoFreeBlock, PortBlock, answers, can_listen, find_block


def test_every_port_has_a_place_of_its_own_in_the_block() -> None:
    assert len(set(OFFSETS.values())) == len(OFFSETS)
    assert max(OFFSETS.values()) < BLOCK_SIZE


def test_the_first_block_is_taken_when_all_of_it_is_free() -> None:
    assert find_block(free=lambda _: True) == PortBlock(FIRST_BLOCK)


def test_a_block_with_one_busy_port_is_passed_over() -> None:
    busy = PortBlock(FIRST_BLOCK)["web"]
    assert find_block(free=lambda port: port != busy) == PortBlock(FIRST_BLOCK + BLOCK_SIZE)


def test_the_last_block_is_preferred_while_it_is_free() -> None:
    preferred = PortBlock(FIRST_BLOCK + 3 * BLOCK_SIZE)
    assert find_block(preferred, free=lambda _: True) == preferred
    busy = preferred["sshd"]
    assert find_block(preferred, free=lambda port: port != busy) == PortBlock(FIRST_BLOCK)


def test_no_free_block_is_an_error() -> None:
    with pytest.raises(NoFreeBlock):
        find_block(free=lambda _: False)


def test_a_block_is_known_again_by_its_ports() -> None:
    block = PortBlock(24000)
    assert PortBlock.of(block.as_mapping()) == block


def test_a_port_that_somebody_listens_on_is_not_free() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert answers(port)
        assert not can_listen(port)
    assert can_listen(port)
    assert not answers(port)
