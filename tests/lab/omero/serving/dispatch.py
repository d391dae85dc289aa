"""Servants out of plain classes: a method for each operation that is known, a loud answer for every other."""

from __future__ import annotations

import logging
import re
import traceback
from typing import TYPE_CHECKING, Any, TypeVar

import Ice
import omero

from tests.lab.omero.model.schema import generated_modules

if TYPE_CHECKING:
    from collections.abc import Callable

log = logging.getLogger("omero.standin")

T = TypeVar("T", bound=type)

_LOGGED = 200
"""Characters of an argument that are written to the log."""

_CALLED: dict[str, int] = {}
_NO_RESULT = re.compile(r"^\s+(\w+)\._op_(\w+) = IcePy\.Operation\(.*\), \(\), None, \(", re.MULTILINE)


def called() -> dict[str, int]:
    """Return how often each operation was called since the start, by ``service.operation``."""
    return dict(_CALLED)


def writes(method: Callable[..., Any]) -> Callable[..., Any]:
    """Mark an operation that changes rows: it runs inside of a transaction."""
    method.__dict__["locking"] = "write"
    return method


def unlocked(method: Callable[..., Any]) -> Callable[..., Any]:
    """Mark an operation that takes time (pixels, files, calls to others): it takes the lock itself where needed."""
    method.__dict__["locking"] = "none"
    return method


def _without_result() -> frozenset[tuple[str, str]]:
    """Return the operations that return nothing, as (interface, operation).

    A servant of an asynchronous operation has to know, because Ice counts what it passes on.
    """
    found: set[tuple[str, str]] = set()
    for path in generated_modules():
        if "_model_" not in path.name:
            found.update(_NO_RESULT.findall(path.read_text(encoding="utf-8")))
    return frozenset(found)


_WITHOUT_RESULT = _without_result()


def servant(skeleton: Any) -> Callable[[T], T]:
    """Make a class the servant of an Ice interface.

    A plain method named like an operation answers it: its arguments are the operation's, then the Ice ``current``.
    By default it runs under the lock of the store. An operation without a method answers with an InternalException
    that names it, and so does any unexpected exception.

    Parameters
    ----------
    skeleton : type
        The class that slice2py generated for the interface.

    Returns
    -------
    callable
        Decorator for the class.
    """
    asynchronous = _asynchronous_operations(skeleton)
    operations = {name[4:] for cls in skeleton.__mro__ for name in vars(cls) if name.startswith("_op_")}

    def decorate(cls: T) -> T:
        namespace: dict[str, Any] = {"__init__": cls.__init__, "__doc__": cls.__doc__}  # type: ignore[misc]  # a type's
        for operation in operations:
            if operation.startswith("ice_"):
                continue
            method = getattr(cls, operation, None)
            answer = _answer(skeleton.__name__, operation, method)
            owner = asynchronous.get(operation)
            if owner is None:
                namespace[operation] = answer
            else:
                namespace[f"{operation}_async"] = _asynchronous(answer, (owner, operation) not in _WITHOUT_RESULT)
        result: Any = type(cls.__name__, (cls, skeleton), namespace)
        return result  # type: ignore[no-any-return]  # it derives from the class that was given

    return decorate


def _asynchronous_operations(skeleton: Any) -> dict[str, str]:
    return {
        name.removesuffix("_async"): cls.__name__
        for cls in reversed(skeleton.__mro__)
        for name, member in vars(cls).items()
        if name.endswith("_async") and callable(member)
    }


def _asynchronous(answer: Callable[..., Any], has_result: bool) -> Callable[..., None]:
    def dispatch(self: Any, callback: Any, *arguments: Any) -> None:
        try:
            result = answer(self, *arguments)
        except Exception as error:  # noqa: BLE001  # Ice takes it from here
            callback.ice_exception(error)
            return
        callback.ice_response(*([result] if has_result else []))

    return dispatch


def _answer(interface: str, operation: str, method: Callable[..., Any] | None) -> Callable[..., Any]:
    name = f"{interface}.{operation}"
    locking = getattr(method, "locking", "read")

    def answer(self: Any, *arguments: Any) -> Any:
        _CALLED[name] = _CALLED.get(name, 0) + 1
        if method is None:
            log.warning("not known here: %s%s", name, _short(arguments))
            raise omero.InternalException("", "NotImplemented", f"{name} is not known to this stand-in for OMERO")
        try:
            self.before_call()
            with self.guard(locking):
                return method(self, *arguments)
        except (Ice.UserException, Ice.LocalException) as error:
            log.debug("%s: %s", name, error)
            raise
        except Exception as error:
            log.exception("%s%s", name, _short(arguments))
            message = f"{name}: {error}"
            raise omero.InternalException(traceback.format_exc(), type(error).__name__, message) from error

    return answer


def _short(arguments: tuple[Any, ...]) -> str:
    """Return the arguments of a call, without its Ice current, for the log."""
    texts = (" ".join(repr(argument).split()) for argument in arguments[:-1])
    return f"({', '.join(text if len(text) <= _LOGGED else text[:_LOGGED] + '...' for text in texts)})"
