"""Sinks for tests: a folder, and one that only counts."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


class FolderSink:
    """Puts files below a folder; each path once, none outside."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.paths: list[str] = []

    def add(self, path: str, data: bytes | memoryview) -> None:
        file = self.root / path
        assert file.resolve().is_relative_to(self.root.resolve()), f"{path} is outside"
        assert not file.exists(), f"{path} was written twice"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)
        self.paths.append(path)


class CountingSink:
    """Counts files and bytes and forgets them."""

    def __init__(self) -> None:
        self.files = 0
        self.size_bytes = 0

    def add(self, path: str, data: bytes | memoryview) -> None:
        self.files += 1
        self.size_bytes += len(data)
