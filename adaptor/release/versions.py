"""The folder of an artifact's versions: one is current, one may be a candidate, others were current before."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from adaptor.artifact import Adaptor
from adaptor.errors import AdaptorError
from adaptor.storage import is_local, open_folder

CURRENT, CANDIDATE, LOCK = "current.json", "candidate.json", "promoting.json"


@dataclass(frozen=True)
class Version:
    """One version: its folder's name, what it is made of, and what it is at the moment."""

    name: str
    adaptor: Adaptor
    state: str  # current, candidate, before: it was current once, or unused


class Versions:
    """The versions under a folder or URL.

    `current.json` names the current version, and in `history` those that were current before it, the latest last;
    `candidate.json` names what the last fit left. Both are replaced whole, so a reader sees the old or the new.
    """

    def __init__(self, root: str) -> None:
        self.root = root.rstrip("/")
        self._fs, self._folder = open_folder(self.root)

    @property
    def current(self) -> str | None:
        """The version that query services and apply jobs load; None before the first."""
        return self._read(CURRENT).get("version")

    @property
    def history(self) -> list[str]:
        """Versions that were current before, the latest last."""
        return list(self._read(CURRENT).get("history", []))

    @property
    def candidate(self) -> str | None:
        """The version that waits to be compared and promoted."""
        return self._read(CANDIDATE).get("version")

    def all(self) -> list[Version]:
        """Every version that loads, in the order of their names."""
        names = sorted(path.rpartition("/")[2] for path in self._fs.ls(self._folder, detail=False))
        there = [name for name in names if self._fs.exists(f"{self._folder}/{name}/config.json")]
        return [Version(name, self.load(name), self._state(name)) for name in there]

    def _state(self, name: str) -> str:
        if name == self.current:
            return "current"
        if name == self.candidate:
            return "candidate"
        return "before" if name in self.history else "unused"

    def folder(self, version: str) -> str:
        """Where a version lies."""
        return f"{self.root}/{version}"

    def load(self, version: str) -> Adaptor:
        """A version by its name; `AdaptorError` naming those there are."""
        if not self._fs.exists(f"{self._folder}/{version}/config.json"):
            raise AdaptorError(f"{self.root} has no version {version}; `adaptor versions` lists what it has")
        return Adaptor.load(self.folder(version))

    def add(self, adaptor: Adaptor, card: str, promote: bool) -> str:
        """Save a version, as the candidate, or with `promote`, or where there is no other, as the current one.

        Its folder.
        """
        version = adaptor.fingerprint[:12]
        adaptor.save(self.folder(version), card)
        if promote or self.current is None:
            self.make_current(version)
        elif version != self.current:
            self._write(CANDIDATE, {"version": version})
        return self.folder(version)

    def make_current(self, version: str) -> None:
        """Let readers that follow `current.json` have this version from now on."""
        try:
            current, history = self.current, self.history
        except AdaptorError:  # damaged: this mends it
            current, history = None, []
        if current not in (None, version):
            history = [name for name in history if name != current] + [str(current)]
        self._write(CURRENT, {"version": version, "history": [name for name in history if name != version]})
        if self.candidate == version:
            self._fs.rm_file(f"{self._folder}/{CANDIDATE}")

    def go_back(self) -> None:
        """Let readers have the version before the current one, which is then no longer one to go back to."""
        self._write(CURRENT, {"version": self.before, "history": self.history[:-1]})

    @property
    def before(self) -> str:
        """The version that was current before this one; `AdaptorError` where there was none."""
        if not self.history:
            raise AdaptorError(f"{self.root} has no version before {self.current} to go back to")
        return self.history[-1]

    @contextmanager
    def alone(self, what: str) -> Iterator[None]:
        """Promote or roll back, while nobody else does: `AdaptorError` where another run is at it, or was killed."""
        path = f"{self._folder}/{LOCK}"
        if not self._create(path, {"what": what, "since": datetime.now(UTC).isoformat(timespec="seconds")}):
            other = self._read(LOCK)
            raise AdaptorError(
                f"another run has begun to {other.get('what')} at {other.get('since')}; when it has ended, run this "
                f"again, or delete {self.root}/{LOCK} if it was killed"
            )
        try:
            yield
        finally:
            self._fs.rm_file(path)

    def _read(self, name: str) -> dict[str, Any]:
        path = f"{self._folder}/{name}"
        try:
            content = json.loads(self._fs.cat_file(path))
        except FileNotFoundError:
            return {}
        except ValueError as error:
            raise AdaptorError(
                f"{name} in {self.root} is damaged ({error}); publish one of its versions again"
            ) from error
        return content if isinstance(content, dict) else {}

    def _write(self, name: str, content: Mapping[str, Any]) -> None:
        """Replace a file whole."""
        path, text = f"{self._folder}/{name}", json.dumps(content, indent=2)
        if not is_local(self._fs):
            self._fs.pipe_file(path, text.encode())
            return
        with open(f"{path}.{os.getpid()}", "w") as file:
            file.write(text)
        os.replace(f"{path}.{os.getpid()}", path)

    def _create(self, path: str, content: Mapping[str, Any]) -> bool:
        """Whether the file was not there, and is now."""
        try:
            with self._fs.open(path, "xb") as file:
                file.write(json.dumps(content).encode())
        except FileExistsError:
            return False
        return True


def publish(adaptor: Adaptor, root: str, card: str = "") -> str:
    """Save `adaptor` as a version under `root` and make it the current one; returns its folder.

    Apply jobs and query services load `root` and get the version that `current.json` names.
    """
    return Versions(root).add(adaptor, card, promote=True)
