"""The way a script talks to its person and takes its leave."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING, Any

import Ice
import pytest
from omero.rtypes import rstring

from worker.dialogs.launch import Stopped, StopSignals, Teller

if TYPE_CHECKING:
    from collections.abc import Iterator


class Client:
    """The two ends of a script's output: a dictionary, or a connection that is gone."""

    def __init__(self, *, connected: bool = True) -> None:
        self.connected = connected
        self.outputs: dict[str, Any] = {}

    def setOutput(self, name: str, value: Any) -> None:  # noqa: N802 - the name is omero.client's
        if not self.connected:
            raise Ice.ConnectionLostException
        self.outputs[name] = value


@pytest.fixture(autouse=True)
def handlers_of_this_test_run() -> Iterator[None]:
    """Gives the test run its signal handlers back."""
    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    before = {number: signal.getsignal(number) for number in numbers}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def ask_to_end(number: signal.Signals = signal.SIGTERM) -> None:
    os.kill(os.getpid(), number)


def test_what_is_said_is_the_message_and_a_line_of_output(capsys: pytest.CaptureFixture[str]) -> None:
    client = Client()
    Teller(client).say("Exporting: 1 of 2 planes.")
    assert client.outputs == {"Message": rstring("Exporting: 1 of 2 planes.")}
    assert capsys.readouterr().out == "Exporting: 1 of 2 planes.\n"


def test_a_lost_connection_does_not_stop_whoever_talks(capsys: pytest.CaptureFixture[str]) -> None:
    Teller(Client(connected=False)).say("Still here.")
    written = capsys.readouterr()
    assert written.out.startswith("Still here.\n(Cannot set the output Message of the script")
    assert written.err == ""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_stops_the_block(number: signal.Signals) -> None:
    with pytest.raises(Stopped), StopSignals():
        ask_to_end(number)
    assert signal.getsignal(number) is signal.SIG_IGN


def test_the_last_word_is_not_interrupted() -> None:
    with StopSignals():
        try:
            ask_to_end()
        except Stopped:
            ask_to_end()
            ask_to_end(signal.SIGINT)
            said = "last word"
    assert said == "last word"


def test_what_is_held_comes_to_its_end_first() -> None:
    done = []

    def record() -> None:
        ask_to_end()
        done.append("recorded")

    with StopSignals() as signals, pytest.raises(Stopped), signals.held():
        record()
    assert done == ["recorded"]


def test_an_error_in_what_is_held_is_that_error() -> None:
    def record() -> None:
        ask_to_end()
        raise ValueError("broken")

    with StopSignals() as signals, pytest.raises(ValueError, match="broken"), signals.held():
        record()


def test_without_a_signal_the_handlers_are_as_before() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with StopSignals() as signals, signals.held():
        pass
    assert signal.getsignal(signal.SIGTERM) is before
