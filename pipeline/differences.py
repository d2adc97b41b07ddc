"""Why a step would run: how its key differs from the nearest artifact's."""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from pipeline.keys import canonical_json
from pipeline.step import Step

_SHOWN = 3  # differences that are named at most


@dataclass(frozen=True)
class Difference:
    """One difference between a step's key and an artifact's."""

    key: str  # of the step that it belongs to: the one asked about, or one that it depends on
    text: str


class KeyHistory:
    """What the keys of a plan's steps and of a store's artifacts were made of."""

    def __init__(self, plan: Iterable[Step], manifests: Iterable[Mapping[str, Any]]) -> None:
        """``manifests``: of the artifacts; the first of equally near ones is preferred."""
        self._parts: dict[str, dict[str, Any]] = {}
        self._artifacts: dict[str, list[str]] = {}
        for manifest in manifests:
            self._parts[manifest["key"]] = manifest["key_parts"]
            title = f"{manifest['step']} {manifest['label']}".strip()
            self._artifacts.setdefault(title, []).append(manifest["key"])
        self._titles = {step.key: step.title for step in plan}
        for step in plan:
            self._parts[step.key] = json.loads(canonical_json(step.key_parts))
        self._between = cache(self._compare)

    def nearest(self, step: Step) -> list[Difference] | None:
        """The differences from the most similar artifact of this name and label.

        None where there is no such artifact. A difference of an input counts once, even if it
        reaches the step through several inputs.
        """
        others = self._artifacts.get(step.title, ())
        return min((self._between(step.key, key) for key in others), key=len, default=None)

    def why(self, step: Step, running: Iterable[str]) -> str:
        """The same in words. ``running``: the keys of all steps that would run."""
        running = set(running)
        found = self.nearest(step)
        if found is None:
            inputs = (source for source in step.inputs.values() if source.key in running)
            first = sorted({self._titles[source.key] for source in inputs})
            return "never made" + (f"; {', '.join(first)} first" if first else "")
        words = [self._words(difference, step, running) for difference in found[:_SHOWN]]
        more = len(found) - len(words)
        return "; ".join(words) + (f"; and {more} more" if more else "")

    def _words(self, difference: Difference, step: Step, running: set[str]) -> str:
        if difference.key == step.key:
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
            if self._same_step(new_input, old_input):
                found.update(self._between(new_input, old_input))
            elif new_input and old_input:
                found.add(Difference(new_key, f"input {role}: key differs"))
            else:
                found.add(Difference(new_key, f"input {role} {'added' if new_input else 'gone'}"))
        return sorted(
            found, key=lambda each: (each.key != new_key, self._titles[each.key], each.text)
        )

    def _same_step(self, *keys: str | None) -> bool:
        names = {self._parts[key]["step"] if key in self._parts else None for key in keys}
        return len(names) == 1 and None not in names


def _fields(parts: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """(dotted name, value) of the version and every setting."""
    yield "version", parts["version"]
    yield from _leaves("", parts["settings"])


def _leaves(prefix: str, settings: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, value in settings.items():
        if isinstance(value, dict):
            yield from _leaves(f"{prefix}{name}.", value)
        else:
            yield f"{prefix}{name}", value


def _shown(fields: Mapping[str, Any], name: str) -> str:
    return canonical_json(fields[name]).strip('"') if name in fields else "(absent)"
