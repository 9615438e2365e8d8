"""What a worker has put of packages whose rows a benchmark copied, so that no worker puts it now."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final
from uuid import UUID

from indexer.entry import join_lines, render_lines
from indexer.rows import PackageRow, VersionRow
from shared.blobs import index_key
from shared.names import PackageName

VERSION: Final = "0.1.0"
CKSUM: Final = "0" * 64
PLACES: Final = """
    INSERT INTO page_positions (package_id, position, versions)
    SELECT id, (SELECT COALESCE(max(position), 0) FROM page_positions) + row_number() OVER (ORDER BY name), 1
    FROM packages WHERE id NOT IN (SELECT package_id FROM page_positions)
    """
TOTALS: Final = """
    UPDATE page_totals SET (packages, versions) = (
        SELECT count(*), COALESCE(sum(versions), 0) FROM page_positions)
    """


def put_index_files(data_dir: Path, packages: Iterable[tuple[str, str]]) -> None:
    """Write the index files of packages of one version, by name and manifest, and flush none of them."""
    moment = datetime.now(UTC)
    for name, manifest in packages:
        row = VersionRow(VERSION, CKSUM, False, manifest, published_at=moment)  # type: ignore[arg-type]
        package = PackageRow(UUID(int=0), PackageName(name), row.version, False, 1, (row,))
        path = data_dir / index_key(package.name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(join_lines(render_lines(package)))


async def place_on_lists(connection: Any) -> None:
    """Give packages places on the lists of pages, and count them."""
    await connection.execute(PLACES)
    await connection.execute(TOTALS)
