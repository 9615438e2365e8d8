"""The lint result of all modules of a package in all worlds that it allows (contract, 4.7)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Final

from api.write.archive.lint_rules import Capability, Diagnostic, find_lint
from api.write.archive.x07ast import Module
from shared.publish_errors import PublishLintFailed
from shared.text import rust_quote

CAPABILITIES: Final = {
    "solve-pure": frozenset[Capability](),
    "solve-fs": frozenset({Capability.FS}),
    "solve-rr": frozenset({Capability.RR}),
    "solve-kv": frozenset({Capability.KV}),
    "solve-full": frozenset({Capability.FS, Capability.RR, Capability.KV}),
    "run-os": frozenset({Capability.FS, Capability.OS, Capability.UNSAFE, Capability.FFI}),
    "run-os-sandboxed": frozenset({Capability.FS, Capability.OS, Capability.UNSAFE, Capability.FFI}),
}

MAX_SHOWN: Final = 20
MAX_FINDINGS: Final = 1000  # per module and capability; a module with this many is refused anyway


class LintReport:
    """Collects the result module by module. Every error is counted; MAX_SHOWN of them are kept."""

    def __init__(self, worlds: Sequence[str]) -> None:
        """worlds: the allowed ones, in the order of the report."""
        self._worlds = worlds
        self._clean_worlds: set[str] = set()
        self._shown: list[str] = []
        self._count = 0

    def add(self, module: Module) -> None:
        """Lint a module by the built-in rules."""
        self.add_diagnostics(module.module_id, _lint_in_worlds(module, self._worlds))

    def add_diagnostics(self, module_id: str, diagnostics: Mapping[str, Sequence[Diagnostic]]) -> None:
        """Add a module with its sorted errors in each world, from either linter.

        A module must be clean in one world. Its world errors count only if it is clean in none.
        """
        clean = {world for world in self._worlds if not diagnostics[world]}
        self._clean_worlds |= clean
        if not clean:
            self._count_errors(module_id, diagnostics)

    def require_clean(self) -> None:
        """Raise PublishLintFailed if a module is clean in no world, or a world has no clean module."""
        for world in self._worlds:
            if world not in self._clean_worlds:
                self._count_error(f"[{world}] <manifest>: no modules passed x07c lint")
        if self._count:
            summary = f"x07AST lint failed ({self._count} error(s))."
            raise PublishLintFailed("\n".join([summary, *self._shown]))

    def _count_errors(self, module_id: str, diagnostics: Mapping[str, Sequence[Diagnostic]]) -> None:
        for world in self._worlds:
            for error in diagnostics[world]:
                place = f" at {error.pointer}" if error.pointer else ""
                self._count_error(f"[{world}] {module_id}: {error.code} {error.message}{place}")
        if not any(error.is_of_world for world in self._worlds for error in diagnostics[world]):
            self._count_error(f"module {rust_quote(module_id)} failed x07c lint in all allowed worlds")

    def _count_error(self, error: str) -> None:
        self._count += 1
        if self._count <= MAX_SHOWN:
            self._shown.append(error)


def _lint_in_worlds(module: Module, worlds: Sequence[str]) -> dict[str, list[Diagnostic]]:
    """The diagnostics of a module in each world, sorted, each once."""
    found: defaultdict[Capability | None, list[Diagnostic]] = defaultdict(list)
    for finding in find_lint(module):
        if len(found[finding.lacks]) < MAX_FINDINGS:
            found[finding.lacks].append(finding.diagnostic)
    return {
        world: sorted(set(chain(*(found[lacks] for lacks in found if lacks not in CAPABILITIES[world]))))
        for world in worlds
    }
