"""The power is cut at moments of a recorded run: nothing that was acknowledged is lost, nothing stays torn.

`python -m tests.faults.power_cut --prefixes 10000 --seed 1` tries every moment, and takes each sync away.
"""

from __future__ import annotations

import random
import tempfile
from pathlib import Path

from tests.faults.power_cut import judging, recording, settings_of, try_cuts
from tests.faults.power_syncs import kinds_of_syncs, without
from tests.faults.servers import Servers
from tests.faults.tally import Tally
from tests.memory import servers_directory

ROW = "power cut after any prefix of a run, with any subset lost of what was not synced"
PREFIXES = 60
NEEDED = ("the bytes of a staged archive", "new names in a shard of index/")


async def test_a_power_cut_loses_nothing_and_leaves_nothing_torn(servers: Servers, tally: Tally) -> None:
    """A sample of moments. Without a sync that is needed, the same judge objects."""
    with tempfile.TemporaryDirectory(prefix="x07-power-", dir=servers_directory()) as directory:
        settings = settings_of(servers.valkey.url, await servers.new_database(), Path(directory) / "tree")
        events, start = await recording(settings, packages=2)
        seed = random.randrange(1_000_000)
        async with judging(settings, events) as judge:
            verdicts = await try_cuts(judge, events, start, PREFIXES, seed)
            assert verdicts.complaints == [], f"seed {seed}"
            for kind in NEEDED:
                assert kind in kinds_of_syncs(events)
                missed = await try_cuts(judge, without(events, kind), start, PREFIXES, seed, stop=True)
                assert missed.complaints, f"nobody missed {kind}, seed {seed}"
    tally.tried += verdicts.tried
    tally.faults += verdicts.judged
