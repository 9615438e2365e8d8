"""Version requirements as Cargo writes and evaluates them; `meta.x07c_compat` is one (contract, 4.4)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from shared.text import rust_quote, split_words, trim
from shared.versions import BUILD, MAX_NUMBER, NUMBER, PRE_RELEASE, Version, pre_release_key

MAX_COMPARATORS: Final = 32
WILDCARDS: Final = frozenset("*xX")

# Nothing concrete may follow a wildcard; pre-release and build may follow only a full triple.
_COMPARATOR = re.compile(
    rf"(?P<operator>=|>=|>|<=|<|~|\^)? *(?P<major>{NUMBER})"
    rf"(?:\.(?:(?P<minor>{NUMBER})"
    rf"(?:\.(?:(?P<patch>{NUMBER})(?:-(?P<pre>{PRE_RELEASE}))?(?:\+{BUILD})?|[*xX]))?"
    r"|[*xX](?:\.[*xX])?))?"
)


class RequirementInvalid(ValueError):
    """The text is not a version requirement; the message quotes the part that is wrong."""


@dataclass(frozen=True, slots=True)
class Comparator:
    """One condition. operator: `=` `>` `>=` `<` `<=` `~` `^`.

    numbers: major, then minor and patch unless left open. pre: empty unless all three are given.
    """

    operator: str
    numbers: tuple[int, ...]
    pre: str = ""

    @property
    def _is_full(self) -> bool:
        return len(self.numbers) == 3

    def matches(self, version: Version) -> bool:
        """True if the version meets the condition. The rule for pre-releases is checked elsewhere."""
        theirs = version.numbers[: len(self.numbers)]
        mine = (self.numbers, pre_release_key(self.pre))
        other = (theirs, pre_release_key(version.pre))
        match self.operator:
            case "=":
                return other == mine
            case ">" | ">=":
                is_greater = other > mine if self._is_full else theirs > self.numbers
                return is_greater or (self.operator == ">=" and other == mine)
            case "<" | "<=":
                is_less = other < mine if self._is_full else theirs < self.numbers
                return is_less or (self.operator == "<=" and other == mine)
            case "~":
                return theirs[:2] == self.numbers[:2] and other >= mine
            case _:
                fixed = self._fixed_by_caret
                is_at_least = other >= mine if self._is_full else theirs >= self.numbers
                return theirs[:fixed] == self.numbers[:fixed] and is_at_least

    def allows_pre_release(self, version: Version) -> bool:
        """True if the condition names a pre-release of the version's own MAJOR.MINOR.PATCH."""
        return bool(self.pre) and self.numbers == version.numbers

    @property
    def _fixed_by_caret(self) -> int:
        """The number of leading numbers that `^` keeps: up to the first that is not zero."""
        return next((count for count, number in enumerate(self.numbers, 1) if number), len(self.numbers))


@dataclass(frozen=True, slots=True)
class Requirement:
    """Conditions that must all hold; an empty list is `*`."""

    comparators: tuple[Comparator, ...]


def parse_requirement(text: str) -> Requirement:
    """The requirement, as Cargo reads it. Raises RequirementInvalid.

    The text is trimmed; if it has no comma, its parts between white space are joined by commas.
    """
    trimmed = trim(text)
    joined = trimmed if "," in trimmed else ", ".join(split_words(trimmed))
    if joined in WILDCARDS:
        return Requirement(())
    parts = joined.split(",")
    if len(parts) > MAX_COMPARATORS:
        raise RequirementInvalid(f"more than {MAX_COMPARATORS} comparators")
    return Requirement(tuple(_parse_comparator(part.strip(" ")) for part in parts))


def matches(requirement: Requirement, version: Version) -> bool:
    """True if the version satisfies the requirement by Cargo's rules; build metadata does not count.

    A pre-release satisfies it only if a comparator names a pre-release of the same MAJOR.MINOR.PATCH.
    """
    comparators = requirement.comparators
    if not all(comparator.matches(version) for comparator in comparators):
        return False
    return not version.pre or any(comparator.allows_pre_release(version) for comparator in comparators)


def _parse_comparator(text: str) -> Comparator:
    match = _COMPARATOR.fullmatch(text)
    if match is None:
        raise RequirementInvalid(f"{rust_quote(text)} is not a comparator")
    numbers = tuple(int(match[part]) for part in ("major", "minor", "patch") if match[part] is not None)
    if max(numbers) > MAX_NUMBER:
        raise RequirementInvalid(f"{rust_quote(text)} has a number over 2^64-1")
    has_wildcard = len(numbers) < 3 and text[-1] in WILDCARDS
    return Comparator(match["operator"] or ("=" if has_wildcard else "^"), numbers, match["pre"] or "")
