"""32 publishers publish the same new version at once on two write processes: one succeeds."""

from __future__ import annotations

import asyncio
import hashlib

from tests.archives import hello_archive
from tests.faults.cluster import Cluster
from tests.faults.promises import Promises

ROW = "32 publishers of the same new name and version at once"
PUBLISHERS = 32


async def test_exactly_one_of_many_publishers_wins(cluster: Cluster, promises: Promises) -> None:
    """The bytes are the same or different, of one user or many, whoever staged last."""
    registry = cluster.registry
    one, two, reader, _ = await cluster.start_all("write", "write", "read", "worker")
    users = [await registry.add_publisher(f"user-{number}") for number in range(PUBLISHERS)]
    for name, is_same_bytes, is_same_user in (
        ("one-same", True, True),
        ("one-different", False, True),
        ("many-same", True, False),
        ("many-different", False, False),
    ):
        archives = [
            hello_archive(name, "0.1.0", docs="same" if is_same_bytes else f"docs {number}")
            for number in range(PUBLISHERS)
        ]
        answers = await asyncio.gather(
            *(
                (one, two)[number % 2].http.post(
                    "/v1/packages/publish",
                    content=archives[number],
                    headers=users[0] if is_same_user else users[number],
                )
                for number in range(PUBLISHERS)
            )
        )
        promises.tally.tried += PUBLISHERS
        promises.tally.faults += PUBLISHERS - 1
        statuses = [answer.status_code for answer in answers]
        refused = 409 if is_same_user else 403  # only owners of the new package learn that the version exists
        assert sorted(statuses) == [200, *[refused] * (PUBLISHERS - 1)], name
        promises.tally.acknowledged += 1
        winner = statuses.index(200)
        promises.acknowledged[name, "0.1.0"] = hashlib.sha256(archives[winner]).hexdigest()
    promises.healed()
    await promises.are_kept(reader.http)
