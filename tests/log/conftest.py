"""The Go reader, built once per session."""

from __future__ import annotations

import pytest

from tests.log.go_reader import GoReader, build_go_reader


@pytest.fixture(scope="session")
def go_reader(tmp_path_factory: pytest.TempPathFactory) -> GoReader | None:
    """The reader, or None without Go; a test then reports that with tests.loud."""
    return build_go_reader(tmp_path_factory.mktemp("go-reader"))
