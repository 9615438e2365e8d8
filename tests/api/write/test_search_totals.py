"""Totals are cached for one state of the names, and no longer."""

from __future__ import annotations

from api.write.search_totals import MAX_KEPT, UNKNOWN, WORTH_KEEPING, KeptTotals


def test_a_total_is_known_until_the_names_change() -> None:
    """Totals are kept by text and filter; a newer change drops them."""
    kept = KeptTotals()
    kept.keep(7, "ext", scale_tested=False, total=WORTH_KEEPING)
    assert kept.get("ext", scale_tested=False) == (7, WORTH_KEEPING)
    assert kept.get("ext", scale_tested=True) == (7, UNKNOWN)
    kept.keep(8, "json", scale_tested=False, total=WORTH_KEEPING)
    assert kept.get("ext", scale_tested=False) == (8, UNKNOWN)


def test_what_an_older_snapshot_counted_is_not_kept() -> None:
    """The snapshot began before a change that others have already seen."""
    kept = KeptTotals()
    kept.keep(8, "json", scale_tested=False, total=2 * WORTH_KEEPING)
    kept.keep(7, "json", scale_tested=False, total=WORTH_KEEPING)
    assert kept.get("json", scale_tested=False) == (8, 2 * WORTH_KEEPING)


def test_only_a_bounded_number_of_large_totals_is_kept() -> None:
    """A small total is counted as quickly as it is looked up."""
    kept = KeptTotals()
    kept.keep(1, "rare", scale_tested=False, total=WORTH_KEEPING - 1)
    assert kept.get("rare", scale_tested=False) == (1, UNKNOWN)
    for number in range(2 * MAX_KEPT):
        kept.keep(1, f"text-{number}", scale_tested=False, total=WORTH_KEEPING)
    known = [kept.get(f"text-{number}", scale_tested=False) for number in range(2 * MAX_KEPT)]
    assert known.count((1, WORTH_KEEPING)) == MAX_KEPT
