"""Letting one user pass through a directory."""

from __future__ import annotations

import os
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from deploy.local.posix_acl import (
    ATTRIBUTE,
    GROUP,
    MASK,
    NO_ID,
    OTHER,
    OWNER,
    OWNING_GROUP,
    USER,
    allow_search,
    allows_search,
    parse_acl,
    render_acl,
)

SOMEBODY = 54321

TAGS = st.sampled_from([OWNER, USER, OWNING_GROUP, GROUP, MASK, OTHER])
LISTS = st.dictionaries(st.tuples(TAGS, st.integers(0, NO_ID)), st.integers(0, 7))


@given(LISTS)
def test_what_is_rendered_parses_back(acl: dict[tuple[int, int], int]) -> None:
    """Rewriting an attribute keeps all of its entries."""
    assert parse_acl(render_acl(acl)) == acl


def test_only_the_named_user_may_pass(tmp_path: Path) -> None:
    """A private directory stays closed to all others, and the user cannot list it either."""
    tmp_path.chmod(0o700)
    allow_search(tmp_path, SOMEBODY)
    acl = parse_acl(os.getxattr(tmp_path, ATTRIBUTE))
    assert acl == {
        (OWNER, NO_ID): 7,
        (USER, SOMEBODY): 1,
        (OWNING_GROUP, NO_ID): 0,
        (MASK, NO_ID): 1,
        (OTHER, NO_ID): 0,
    }


def test_the_rights_of_others_stay_when_a_user_is_added(tmp_path: Path) -> None:
    """Adding a second user, or the first one again, removes no rights."""
    tmp_path.chmod(0o750)
    for user in (SOMEBODY, SOMEBODY + 1, SOMEBODY):
        allow_search(tmp_path, user)
    acl = parse_acl(os.getxattr(tmp_path, ATTRIBUTE))
    assert (acl[USER, SOMEBODY], acl[USER, SOMEBODY + 1]) == (1, 1)
    assert (acl[OWNING_GROUP, NO_ID], acl[MASK, NO_ID]) == (5, 5)


def test_who_may_pass_is_told_as_the_kernel_decides(tmp_path: Path) -> None:
    """The owner, then named users, then groups, then all others; the mask limits all but owner and others."""
    user, group = SOMEBODY, SOMEBODY + 1
    tmp_path.chmod(0o711)
    assert allows_search(tmp_path, user, group)
    tmp_path.chmod(0o710)
    assert not allows_search(tmp_path, user, group)
    assert allows_search(tmp_path, user, tmp_path.stat().st_gid)
    allow_search(tmp_path, user)
    assert allows_search(tmp_path, user, group)
    tmp_path.chmod(0o700)  # sets the mask
    assert not allows_search(tmp_path, user, group)
    assert allows_search(tmp_path, tmp_path.stat().st_uid, group)
