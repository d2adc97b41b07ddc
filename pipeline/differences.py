"""Why a stage would run: what its key holds that the nearest artifact's key does not."""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from pipeline.graph import Stage
from pipeline.keys import canonical_json

_SHOWN = 3  # differences named, of those that there are
_DIGEST_DIGITS = 12


@dataclass(frozen=True)
class Difference:
    """One thing that a stage's key holds otherwise than an artifact's."""

    key: str  # of the stage that it belongs to: the one asked about, or one that it depends on
    text: str


class KeyHistory:
    """What the keys of a plan's stages and of a store's artifacts were made of."""

    def __init__(self, plan: Iterable[Stage], manifests: Iterable[Mapping[str, Any]]) -> None:
        """``manifests``: of the artifacts; the first of equally near ones is preferred."""
        self._parts: dict[str, dict[str, Any]] = {}
        self._artifacts: dict[str, list[str]] = {}
        for manifest in manifests:
            self._parts[manifest["key"]] = manifest["key_parts"]
            title = f"{manifest['stage']} {manifest['variant']}".strip()
            self._artifacts.setdefault(title, []).append(manifest["key"])
        self._titles = {stage.key: stage.title for stage in plan}
        for stage in plan:
            self._parts[stage.key] = json.loads(canonical_json(stage.key_parts))
        self._between = cache(self._compare)

    def nearest(self, stage: Stage) -> list[Difference] | None:
        """The differences from the artifact of this name and variant that has the fewest.

        None where there is no such artifact. What an input differs in counts once, by however
        many inputs it comes.
        """
        others = self._artifacts.get(stage.title, ())
        return min((self._between(stage.key, key) for key in others), key=len, default=None)

    def why(self, stage: Stage, running: Iterable[str]) -> str:
        """The same in words. ``running``: the keys of all stages that would run."""
        running = set(running)
        found = self.nearest(stage)
        if found is None:
            inputs = (source for source in stage.inputs.values() if source.key in running)
            first = sorted({self._titles[source.key] for source in inputs})
            return "never made" + (f"; {', '.join(first)} first" if first else "")
        words = [self._words(difference, stage, running) for difference in found[:_SHOWN]]
        more = len(found) - len(words)
        return "; ".join(words) + (f"; and {more} more" if more else "")

    def _words(self, difference: Difference, stage: Stage, running: set[str]) -> str:
        if difference.key == stage.key:
            return difference.text
        verb = "runs" if difference.key in running else "differs"
        return f"{self._titles[difference.key]} {verb}: {difference.text}"

    def _compare(self, new_key: str, old_key: str) -> list[Difference]:
        new, old = self._parts[new_key], self._parts[old_key]
        before, after = (dict(_fields(parts)) for parts in (old, new))
        found = {
            Difference(new_key, f"{name} {_shown(before, name)} -> {_shown(after, name)}")
            for name in before.keys() | after.keys()
            if _shown(before, name) != _shown(after, name)
        }
        for role in new["inputs"].keys() | old["inputs"].keys():
            new_input, old_input = new["inputs"].get(role), old["inputs"].get(role)
            if new_input == old_input:
                continue
            if self._same_stage(new_input, old_input):
                found.update(self._between(new_input, old_input))
            elif new_input and old_input:
                found.add(Difference(new_key, f"input {role}: key differs"))
            else:
                found.add(Difference(new_key, f"input {role} {'added' if new_input else 'gone'}"))
        return sorted(
            found, key=lambda each: (each.key != new_key, self._titles[each.key], each.text)
        )

    def _same_stage(self, *keys: str | None) -> bool:
        names = {self._parts[key]["stage"] if key in self._parts else None for key in keys}
        return len(names) == 1 and None not in names


def _fields(parts: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """(dotted name, value) of the version and every setting and raw file."""
    yield "version", parts["version"]
    yield from _leaves("", parts["settings"])
    yield from _leaves("raw.", {name: sha[:_DIGEST_DIGITS] for name, sha in parts["raw"].items()})


def _leaves(prefix: str, settings: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, value in settings.items():
        if isinstance(value, dict):
            yield from _leaves(f"{prefix}{name}.", value)
        else:
            yield f"{prefix}{name}", value


def _shown(fields: Mapping[str, Any], name: str) -> str:
    return canonical_json(fields[name]).strip('"') if name in fields else "(absent)"
