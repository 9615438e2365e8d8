"""Redis by Sentinel, which names the primary; and a replica, which takes no writes."""

from __future__ import annotations

from itertools import count
from pathlib import Path

from deploy.doctor.finding import examined
from deploy.doctor.queue import CHECK, MEND, examine_queue
from shared.settings import Settings
from tests.archives import hello_archive
from tests.conftest import MakeSettings
from tests.stack import Registry, eventually, running_registry
from tests.valkey_pair import valkey_pair

# No sweep within the test: only a job that goes through Redis makes a publish visible.
BY_JOBS_ALONE = {"sweep_seconds": 300, "publish_wait_seconds": 20, "catalog_debounce_seconds": 0.02}


async def test_every_part_follows_the_primary_that_a_sentinel_names(
    tmp_path: Path, make_default_settings: MakeSettings
) -> None:
    """Publishes are seen before and after the primary died. The replica is ready once it is the primary."""
    async with valkey_pair(tmp_path) as pair:
        settings = await make_default_settings(redis_url=pair.url, **BY_JOBS_ALONE)
        replica = await make_default_settings(redis_url=pair.replica_url, data_dir=tmp_path / "other")
        async with (
            running_registry(settings) as registry,
            running_registry(replica, with_worker=False) as other,
        ):
            headers, numbers = await registry.add_publisher(), count(1)

            async def is_seen() -> bool:
                answer = await registry.publish(hello_archive(version=f"0.{next(numbers)}.0"), headers)
                assert answer.status_code == 200
                return answer.headers["x-x07-index-published"] == "true"

            assert await is_seen()
            assert not await is_redis_ready(other)
            assert "read-only replica" in await doctor_says(replica)
            await pair.kill_primary()
            await eventually(lambda: is_redis_ready(registry))
            await eventually(is_seen, deadline_s=90)
            await eventually(lambda: is_redis_ready(other))


async def doctor_says(settings: Settings) -> str:
    """What the doctor finds about Redis."""
    return (await examined(CHECK, MEND, examine_queue(settings)))[0].detail


async def is_redis_ready(registry: Registry) -> bool:
    """What /readyz says of Redis. The process itself is ready without it."""
    answer = await registry.http.get("/readyz")
    assert answer.status_code == 200
    return bool(answer.json()["dependencies"]["redis"]["ok"])
