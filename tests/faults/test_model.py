"""A state machine drives a live registry, kills and cuts off its parts, and compares it with a plain model.

The model is three dictionaries. After each step, the registry's API and index files must agree with the
model.
"""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import Any, TypeVar

from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from tests.faults.cluster import Cluster, Process
from tests.faults.depth import rounds
from tests.faults.promises import Promises, index_lines, nothing_stands_without_its_archive
from tests.faults.servers import Servers

ROW = "model test: publishes, yanks, advisories, owners, faults and restarts in any order"
EXAMPLES, STEPS = 3, 12
STEP_DEADLINE_S = 100
USERS = ("ann", "ben")

names = st.sampled_from(["one", "two"])
versions = st.sampled_from(["0.1.0", "0.2.0", "0.2.0-rc.1", "1.0.0+b"])
users = st.sampled_from(USERS)
faults = st.sampled_from(["kill writer", "kill worker", "restart postgres", "restart redis", "empty redis"])

T = TypeVar("T")


@dataclass
class Version:
    """The state of a version. advisories: ids of those in force."""

    is_yanked: bool = False
    advisories: set[str] = field(default_factory=set)


@dataclass
class Package:
    """The state of a package."""

    owners: set[str]
    versions: dict[str, Version] = field(default_factory=dict)


class Live:
    """The registry under test: its processes, and methods to use and break them."""

    def __init__(self, cluster: Cluster, servers: Servers, promises: Promises) -> None:
        self.loop = asyncio.get_running_loop()
        self.cluster = cluster
        self.servers = servers
        self.promises = promises
        self.headers: dict[str, dict[str, str]] = {}
        self.examples = itertools.count(1)
        self.writer: Process
        self.reader: Process
        self.worker: Process

    async def start(self) -> None:
        """Start every part, and create the users."""
        self.writer, self.reader, self.worker = await self.cluster.start_all("write", "read", "worker")
        for user in USERS:
            self.headers[user] = await self.cluster.registry.add_publisher(user, "publish", "owner.manage")

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run it in the processes' event loop; the machine runs in a thread."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(STEP_DEADLINE_S)

    async def break_and_mend(self, fault: str) -> None:
        """Inject one fault, and end it."""
        self.promises.tally.faults += 1
        match fault:
            case "kill writer":
                await self.writer.kill()
                self.writer = await self.cluster.start("write")
            case "kill worker":
                await self.worker.kill()
                self.worker = await self.cluster.start("worker")
            case "restart postgres":
                await self.servers.postgres.stop()
                await self.servers.postgres.start()
            case "restart redis":
                await self.servers.valkey.stop()
                await self.servers.valkey.start()
            case "empty redis":
                await self.servers.empty_valkey()
        self.promises.healed()

    async def publish(self, name: str, version: str, user: str) -> int | None:
        """Publish. Returns the status, or None without an answer."""
        self.promises.headers = self.headers[user]
        answer = await self.promises.publish(self.writer.http, name, version)
        return None if answer is None else answer.status_code

    async def publish_through(self, fault: str, name: str, version: str, user: str) -> list[int | None]:
        """Publish during a fault, and retry until the answer is final. Returns all answers."""
        breaking = asyncio.create_task(self.break_and_mend(fault))
        await asyncio.sleep(random.uniform(0, 0.05))
        statuses = [await self.publish(name, version, user)]
        await breaking
        while statuses[-1] in (None, 503):
            statuses.append(await self.publish(name, version, user))
        return statuses

    async def ask(self, user: str, method: str, path: str, body: object = None) -> Any:
        """The answer to a change of a package."""
        self.promises.tally.tried += 1
        answer = await self.writer.http.request(
            method, f"/v1/packages/{path}", json=body, headers=self.headers[user]
        )
        self.promises.tally.acknowledged += answer.status_code == 200
        return answer

    async def state_of(self, name: str) -> tuple[set[str], dict[str, Version]]:
        """The owners from the API and the versions from the index file, after everything is published."""
        await self.promises.until_recovered()
        owners = await self.writer.http.get(f"/v1/packages/{name}/owners")
        handles = set(owners.json()["owners"]) if owners.status_code == 200 else set()
        await nothing_stands_without_its_archive(self.reader.http, name)
        lines = await index_lines(self.reader.http, name)
        return handles, {version: _version_of(line) for version, line in lines.items()}


def _version_of(line: dict[str, Any]) -> Version:
    return Version(line["yanked"], {advisory["id"] for advisory in line.get("advisories", ())})


class RegistryModel(RuleBasedStateMachine):
    """The rules, and their effect on the model. Names are new in each example."""

    live: Live

    def __init__(self) -> None:
        super().__init__()
        self.prefix = f"example{next(self.live.examples)}-"
        self.packages: dict[str, Package] = {}

    def publish_status(self, name: str, version: str, user: str) -> int:
        """The expected status of a publish."""
        package = self.packages.get(name)
        if package is None:
            return 200
        if user not in package.owners:
            return 403
        return 409 if version in package.versions else 200

    def published(self, name: str, version: str, user: str) -> None:
        """Record an acknowledged publish."""
        self.packages.setdefault(name, Package({user})).versions[version] = Version()

    @rule(name=names, version=versions, user=users)
    def publish(self, name: str, version: str, user: str) -> None:
        """Publish without a fault."""
        expected = self.publish_status(name, version, user)
        assert self.live.run(self.live.publish(self.prefix + name, version, user)) == expected
        if expected == 200:
            self.published(name, version, user)

    @rule(name=names, version=versions, user=users, fault=faults)
    def publish_through_a_fault(self, name: str, version: str, user: str, fault: str) -> None:
        """An attempt without a final answer may have been committed: the next one then gets 409."""
        expected = self.publish_status(name, version, user)
        statuses = self.live.run(self.live.publish_through(fault, self.prefix + name, version, user))
        if expected == 200:
            assert statuses[-1] == 200 or (statuses[-1] == 409 and len(statuses) > 1), statuses
            self.published(name, version, user)
        else:
            assert statuses[-1] == expected

    @rule(fault=faults)
    def break_something(self, fault: str) -> None:
        """Inject a fault between two steps."""
        self.live.run(self.live.break_and_mend(fault))

    @rule(name=names, version=versions, user=users, is_yanked=st.booleans())
    def yank(self, name: str, version: str, user: str, is_yanked: bool) -> None:
        """Yank or restore a version."""
        status = self._change(
            user, "POST", name, f"{version}/yank", {"yanked": is_yanked}, version
        ).status_code
        if status == 200:
            self.packages[name].versions[version].is_yanked = is_yanked

    @rule(name=names, version=versions, user=users)
    def warn(self, name: str, version: str, user: str) -> None:
        """Add an advisory."""
        body = {"kind": "broken", "severity": "low", "summary": "No."}
        answer = self._change(user, "POST", name, f"{version}/advisories", body, version)
        if answer.status_code == 200:
            self.packages[name].versions[version].advisories.add(answer.json()["advisory"]["id"])

    @rule(name=names, version=versions, user=users)
    def take_a_warning_back(self, name: str, version: str, user: str) -> None:
        """Withdraw an advisory, if there is one."""
        package = self.packages.get(name)
        in_force = package.versions.get(version, Version()).advisories if package else set()
        if in_force:
            advisory = min(in_force)
            path = f"{version}/advisories/{advisory}/withdraw"
            if self._change(user, "POST", name, path, {}, version).status_code == 200:
                in_force.remove(advisory)

    @rule(name=names, user=users, other=users)
    def add_owner(self, name: str, user: str, other: str) -> None:
        """Add an owner, who may be one already."""
        answer = self._change(user, "POST", name, "owners", {"handle": other})
        if answer.status_code == 200:
            self.packages[name].owners.add(other)

    @rule(name=names, user=users, other=users)
    def remove_owner(self, name: str, user: str, other: str) -> None:
        """Remove one of several owners; the last one stays."""
        package = self.packages.get(name)
        if package is None or other not in package.owners or len(package.owners) == 1:
            return
        if self._change(user, "DELETE", name, f"owners/{other}").status_code == 200:
            package.owners.remove(other)

    def _change(
        self, user: str, method: str, name: str, path: str, body: object = None, version: str | None = None
    ) -> Any:
        """Make a change and check the answer against the model: not found, not an owner, or done."""
        package = self.packages.get(name)
        answer = self.live.run(self.live.ask(user, method, f"{self.prefix}{name}/{path}", body))
        if package is None:
            assert answer.status_code == 404
        elif user not in package.owners:
            assert answer.status_code in (403, 404)
        elif version is not None and version not in package.versions:
            assert answer.status_code == 404
        else:
            assert answer.status_code == 200, answer.text
        return answer

    @invariant()
    def the_registry_says_what_the_model_says(self) -> None:
        """Owners, versions, yanks and advisories agree, and each line has its archive."""
        for name, package in self.packages.items():
            owners, versions = self.live.run(self.live.state_of(self.prefix + name))
            assert owners == package.owners
            assert versions == package.versions


async def test_the_registry_does_what_a_plain_model_does_through_faults_and_restarts(
    cluster: Cluster, promises: Promises, servers: Servers
) -> None:
    """The run's seed chooses the order of steps."""
    live = Live(cluster, servers, promises)
    await live.start()
    machine = seed(random.getrandbits(64))(type("LiveModel", (RegistryModel,), {"live": live}))
    chosen = settings(
        max_examples=rounds(EXAMPLES),
        stateful_step_count=rounds(STEPS),
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    await asyncio.to_thread(run_state_machine_as_test, machine, settings=chosen)
    await promises.are_kept(live.reader.http)
