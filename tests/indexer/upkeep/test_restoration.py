"""After a restore the newer side is right; if neither is known to be newer, a person decides."""

from __future__ import annotations

from typing import Any

from msgspec import UNSET

from indexer.entry import IndexAdvisory, IndexEntry
from indexer.queries.rebuild import StoredAdvisory, StoredPackage, StoredVersion
from indexer.upkeep.merged_trees import merged
from indexer.upkeep.restoration import Finding, Thing, TreePackage, plan_of

SUM = "ab" * 32
FORGOTTEN, IN_FORCE = "11111111-1111-4111-8111-111111111111", "22222222-2222-4222-8222-222222222222"


def line(version: str, *, yanked: bool = False, advisories: tuple[str, ...] = ()) -> IndexEntry:
    """A line of hello's index file."""
    return IndexEntry(
        name="hello",
        version=version,
        cksum=SUM,
        yanked=yanked,
        advisories=tuple(advisory(each, version) for each in advisories) or UNSET,
    )


def advisory(advisory_id: str, version: str) -> IndexAdvisory:
    """An advisory in force."""
    return IndexAdvisory(
        id=advisory_id,
        package="hello",
        version=version,
        kind="security",
        severity="high",
        summary="Do not",
        created_at_utc="2026-01-02T03:04:05Z",
    )


def tree(*lines: IndexEntry, generation: int = 7, owners: tuple[str, ...] | None = ("alice",)) -> TreePackage:
    """A package hello in the tree."""
    return TreePackage("hello", generation, lines, owners, {})


def stored(*versions: str, generation: int = 5, **values: Any) -> StoredPackage:
    """The rows of hello, which alice owns."""
    rows = {version: StoredVersion(SUM, yanked=False) for version in versions}
    return StoredPackage(generation=generation, versions=rows, **{"owners": frozenset({"alice"}), **values})


def told(findings: list[Finding]) -> list[tuple[Thing, bool, str | None]]:
    """Findings without their texts."""
    return [(finding.thing, finding.is_back, finding.version) for finding in findings]


DIFFERENT_TREE = tree(line("0.1.0", yanked=True, advisories=(FORGOTTEN,)), owners=("bob", "carol"))
DIFFERENT_ROWS = stored("0.1.0", advisories={IN_FORCE: StoredAdvisory("0.1.0", is_withdrawn=False)})


def test_a_newer_tree_is_right() -> None:
    """Yank, advisory, withdrawal and owners are restored; an owner without an account is in doubt."""
    plan = plan_of(DIFFERENT_TREE, DIFFERENT_ROWS, {"bob"})
    assert plan.yanks == (("0.1.0", True),)
    assert [each.id for each in plan.advisories] == [FORGOTTEN]
    assert plan.withdrawals == (IN_FORCE,)
    assert (plan.new_owners, plan.former_owners) == (("bob",), ("alice",))
    findings = list(plan.findings("hello"))
    assert told(findings) == [
        (Thing.YANK, True, "0.1.0"),
        (Thing.ADVISORY, True, "0.1.0"),
        (Thing.WITHDRAWAL, True, None),
        (Thing.OWNER, True, None),
        (Thing.OWNER, True, None),
        (Thing.OWNER, False, None),
    ]
    assert "carol" in findings[-1].detail


def test_newer_rows_are_right() -> None:
    """A worker publishes them; there are no findings."""
    rows = stored("0.1.0", "0.2.0", generation=8, advisories=DIFFERENT_ROWS.advisories)
    plan = plan_of(DIFFERENT_TREE, rows, {"bob"})
    assert plan.is_empty
    assert list(plan.findings("hello")) == []


def test_where_nobody_knows_nothing_changes_and_everything_is_told() -> None:
    """Files of an older release have no generation; equal generations should not differ."""
    for generation in (0, 5):
        unlike = tree(*DIFFERENT_TREE.lines, generation=generation, owners=("bob",))
        plan = plan_of(unlike, DIFFERENT_ROWS, {"bob"})
        assert plan.is_empty
        assert told(list(plan.findings("hello"))) == [
            (Thing.YANK, False, "0.1.0"),
            (Thing.ADVISORY, False, "0.1.0"),
            (Thing.WITHDRAWAL, False, None),
            (Thing.OWNER, False, None),
            (Thing.OWNER, False, None),
        ]


def test_a_tree_that_lists_a_version_without_a_row_is_newer_whatever_it_says() -> None:
    """Only removals delete a version's row, and they leave a tombstone."""
    plan = plan_of(tree(line("0.1.0", yanked=True), line("0.2.0"), generation=0), stored("0.1.0"), set())
    assert [each.version for each in plan.versions] == ["0.2.0"]
    assert plan.yanks == (("0.1.0", True),)
    removed = stored("0.1.0", generation=7, removed=frozenset({"0.2.0"}))
    plan = plan_of(tree(line("0.1.0"), line("0.2.0", advisories=(FORGOTTEN,))), removed, set())
    assert plan.is_empty


def test_of_two_trees_the_newer_is_taken_and_both_are_joined() -> None:
    """A worker that ran too early has put the files of restored rows, which are older than a mirror."""
    early = tree(line("0.1.0"), line("0.3.0"), generation=5)
    for generation in (8, 0):
        copies = tree(line("0.1.0", yanked=True), line("0.2.0"), generation=generation, owners=("bob",))
        for trees in ([early, copies], [copies, early]):
            joined, doubts = merged(trees, stored("0.1.0", "0.3.0"))
            lines = {each.version: each.yanked for each in joined.lines}
            assert lines == {"0.1.0": True, "0.2.0": False, "0.3.0": False}
            assert (joined.owners, joined.generation, doubts) == (("bob",), generation or 5, ())


def test_trees_that_differ_without_a_sign_which_is_newer_are_in_doubt() -> None:
    """A mirror that was copied without extended attributes tells no generation."""
    copies = tree(line("0.1.0", yanked=True, advisories=(FORGOTTEN,)), generation=0, owners=("bob",))
    joined, doubts = merged([tree(line("0.1.0")), copies], stored("0.1.0"))
    assert (joined.lines, joined.owners) == ((line("0.1.0"),), ("alice",))
    assert told(list(doubts)) == [
        (Thing.YANK, False, "0.1.0"),
        (Thing.ADVISORY, False, "0.1.0"),
        (Thing.OWNER, False, None),
        (Thing.OWNER, False, None),
    ]


def test_a_lost_package_comes_back_with_what_the_tree_says() -> None:
    """Its owners have no accounts yet."""
    plan = plan_of(tree(line("0.1.0", advisories=(IN_FORCE,))), StoredPackage(), set())
    assert told(list(plan.findings("hello"))) == [
        (Thing.VERSION, True, "0.1.0"),
        (Thing.ADVISORY, True, "0.1.0"),
        (Thing.OWNER, False, None),
    ]


def test_a_tree_without_pages_says_nothing_of_owners() -> None:
    """An older release wrote it: the owners in the rows stay, with a finding."""
    plan = plan_of(tree(line("0.1.0"), owners=None), stored("0.1.0"), set())
    assert told(list(plan.findings("hello"))) == [(Thing.OWNER, False, None)]
    assert plan.former_owners == ()


def test_a_row_that_the_newer_tree_does_not_list_is_in_doubt() -> None:
    """It may have been removed for legal reasons; rows that wait to be published need not be listed."""
    plan = plan_of(tree(line("0.1.0")), stored("0.1.0", "0.2.0"), set())
    assert told(list(plan.findings("hello"))) == [(Thing.VERSION, False, "0.2.0")]
    same = tree(line("0.1.0"), generation=5)
    assert told(list(plan_of(same, stored("0.1.0", "0.2.0"), set()).findings("hello"))) == [
        (Thing.VERSION, False, "0.2.0")
    ]
    assert list(plan_of(same, stored("0.1.0", "0.2.0", is_clean=False), set()).findings("hello")) == []


def test_a_row_with_another_checksum_stays_and_is_told() -> None:
    """An archive is never replaced by another one."""
    rows = StoredPackage(
        generation=5, versions={"0.1.0": StoredVersion("cd" * 32, yanked=True)}, owners=frozenset({"alice"})
    )
    plan = plan_of(tree(line("0.1.0")), rows, set())
    assert plan.yanks == ()
    assert told(list(plan.findings("hello"))) == [(Thing.VERSION, False, "0.1.0")]
