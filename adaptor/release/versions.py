"""The folder of an artifact's versions: one is current, one may be a candidate, others were current before."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from adaptor.artifact import Adaptor
from adaptor.errors import AdaptorError
from adaptor.storage import open_folder, write_whole

CURRENT, CANDIDATE, LOCK = "current.json", "candidate.json", "promoting.json"


@dataclass(frozen=True)
class Version:
    """One version: its folder's name, what it is at the moment, and what its files but the weights say."""

    name: str
    state: str  # current, candidate, before: it was current once, or unused
    dims: tuple[int, ...]
    config: Mapping[str, Any]
    metrics: Mapping[str, Any]


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
        return self._version(CURRENT)

    @property
    def history(self) -> list[str]:
        """Versions that were current before, the latest last."""
        return list((self._read(CURRENT) or {}).get("history", []))

    @property
    def candidate(self) -> str | None:
        """The version that waits to be compared and promoted."""
        return self._version(CANDIDATE)

    def all(self) -> list[Version]:
        """Every version, in the order of their names."""
        names = sorted(path.rpartition("/")[2] for path in self._fs.ls(self._folder, detail=False))
        states = dict.fromkeys(self.history, "before") | {self.candidate: "candidate", self.current: "current"}
        versions = []
        for name in names:
            config, metrics = (self._read(f"{name}/{part}.json") for part in ("config", "metrics"))
            if config is not None:
                state = states.get(name, "unused")
                versions.append(Version(name, state, tuple(config["dims"]), config["fit"], metrics or {}))
        return versions

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
        version = adaptor.version
        adaptor.save(self.folder(version), card)
        if promote or self.current is None:
            self.make_current(version)
        elif version != self.current:
            self._write(CANDIDATE, {"version": version})
        return self.folder(version)

    def write_in_card(self, version: str, heading: str, text: str) -> None:
        """Put a section at the end of a version's model card, if it has one, in place of that with the same heading."""
        path = f"{self._folder}/{version}/README.md"
        if not self._fs.exists(path):  # an artifact that was saved by hand, no version
            return
        card = self._fs.cat_file(path).decode()
        before = card.partition(f"\n## {heading}\n")[0].rstrip()
        write_whole(self.root, f"{version}/README.md", f"{before}\n\n## {heading}\n\n{text}\n".encode())

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
            other = self._read(LOCK) or {}
            raise AdaptorError(
                f"another run has begun to {other.get('what')} at {other.get('since')}; when it has ended, run this "
                f"again, or delete {self.root}/{LOCK} if it was killed"
            )
        try:
            yield
        finally:
            self._fs.rm_file(path)

    def _version(self, pointer: str) -> str | None:
        """The version that a pointer names; None where there is no such file."""
        content = self._read(pointer)
        if content is None:
            return None
        if "version" not in content:
            raise self._damaged(pointer, "it names no version")
        return str(content["version"])

    def _read(self, name: str) -> dict[str, Any] | None:
        """A file of JSON; None where there is none."""
        try:
            content = json.loads(self._fs.cat_file(f"{self._folder}/{name}"))
        except (FileNotFoundError, NotADirectoryError):
            return None
        except ValueError as error:
            raise self._damaged(name, error) from error
        if not isinstance(content, dict):
            raise self._damaged(name, "it is no JSON object")
        return content

    def _damaged(self, name: str, why: object) -> AdaptorError:
        return AdaptorError(f"{name} in {self.root} is damaged ({why}); publish one of its versions again")

    def _write(self, name: str, content: Mapping[str, Any]) -> None:
        write_whole(self.root, name, json.dumps(content, indent=2).encode())

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
