"""Every page of a search is that of a plain ranking, also for texts that most names have."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterable, Sequence
from typing import Any, Final

import pytest

from api.write import search
from api.write.queries.search import FoundPage, Search
from api.write.query_params import Page
from api.write.search import A_BATCH, BATCHES, Searches
from shared.errors import DatabaseUnavailable
from shared.statements import Connection
from tests.stack import Registry

WORDS: Final = ("json", "db", "http", "x", "rs")
NAMES: Final = 2_500

ADD = """
    WITH bob AS (
        INSERT INTO users (handle) VALUES ('bob') RETURNING id
    ), made AS (
        INSERT INTO packages (name, created_by)
        SELECT name, bob.id FROM bob, unnest(CAST(:names AS text[])) AS name RETURNING id, name
    ), listed AS (
        INSERT INTO package_listings (package_id, name, is_official, modules_count, facets, archetypes)
        SELECT id, name, false, 1, '{}', '{}' FROM made RETURNING name
    )
    INSERT INTO search_names (name, scale_tested) SELECT name, name LIKE '%7%' FROM listed RETURNING name
"""


def names(chance: random.Random) -> set[str]:
    """Names that share words, some of which differ only in separators."""
    made: set[str] = set()
    while len(made) < NAMES:
        words = chance.choices(WORDS, k=chance.randint(1, 3))
        made.add(chance.choice("-_").join([*words, str(chance.randrange(900))]))
    return made | {"json-db", "json_db", "jsondb", "-", "db", "x-7"}


def ranked(all_names: Iterable[str], q: str, *, scale_tested: bool) -> list[str]:
    """The names that a search finds, in order (contract, 6.6)."""

    def letters(text: str) -> str:
        return text.translate({ord(mark): None for mark in "-_ "})

    def rank(name: str) -> tuple[int, int, str]:
        if name == q:
            return 0, len(name), name
        if letters(q) and letters(name) == letters(q):
            return 1, len(name), name
        return (2 if name.startswith(q) else 3), len(name), name

    matching = [name for name in all_names if q in name or (letters(q) and letters(name) == letters(q))]
    tested = [name for name in matching if "7" in name or not scale_tested]
    return sorted(tested, key=rank) if q else sorted(tested)


def searches(all_names: list[str], chance: random.Random) -> list[dict[str, Any]]:
    """Parameters of searches: frequent and rare texts, first and deep pages."""
    texts = [
        "",
        "j",
        "-",
        "_",
        "db",
        "json",
        "json-",
        "json db",
        "json-db",
        "jsondb",
        "x",
        "http_x",
        "%",
        "---",
    ]
    for _ in range(60):
        name = chance.choice(all_names)
        start = chance.randrange(len(name))
        texts.append(name[start : start + chance.randint(1, 6)])
    offsets = (0, 0, 1, 19, 300, 1_500, 2_600)
    return [
        {
            "q": text,
            "limit": chance.choice((0, 1, 20, 100)),
            "offset": chance.choice(offsets),
            "scale_tested": chance.choice(("true", "false", "false")),
        }
        for text in texts * 2
    ]


async def test_every_page_is_that_of_a_plain_ranking(fs_registry: Registry) -> None:
    """Searches at once share statements, and each gets its own page and total."""
    chance = random.Random(11)
    all_names = sorted(names(chance))
    await fs_registry.rows(ADD, names=all_names)

    async def compare(parameters: dict[str, Any]) -> None:
        answer = (await fs_registry.http.get("/v1/search", params=parameters)).json()
        tested = parameters["scale_tested"] == "true"
        expected = ranked(all_names, parameters["q"], scale_tested=tested)
        start = parameters["offset"]
        page = [package["name"] for package in answer["packages"]]
        assert (answer["total"], page) == (
            len(expected),
            expected[start : start + parameters["limit"]],
        ), parameters

    await asyncio.gather(*(compare(parameters) for parameters in searches(all_names, chance)))


async def test_a_search_that_cannot_be_stored_fails_alone(fs_registry: Registry) -> None:
    """Postgres has no NUL in text; the searches beside it are answered."""
    await fs_registry.rows(ADD, names=["hello"])
    paths = [f"/v1/search?q={text}" for text in ("hel%00", *("hel",) * 7)]
    answers = await asyncio.gather(*(fs_registry.http.get(path) for path in paths))
    assert [answer.status_code for answer in answers] == [400, *(200,) * 7]
    assert {answer.json()["total"] for answer in answers[1:]} == {1}


async def test_searches_that_wait_while_postgres_stands_still_are_refused(
    fs_registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No statement is sent for those whose turn comes too late; a later search is answered."""
    now, asked = [0.0], []

    async def stand_still(_: Connection, some: Sequence[Search]) -> list[FoundPage]:
        asked.append(len(some))
        now[0] += 60
        raise DatabaseUnavailable

    monkeypatch.setattr(search, "monotonic", lambda: now[0])
    searches, find_pages = Searches(fs_registry.database), search.find_pages
    monkeypatch.setattr(search, "find_pages", stand_still)
    many = (searches.find(f"text-{n}", Page(20, 0), scale_tested=False) for n in range(200))
    answers = await asyncio.gather(*many, return_exceptions=True)
    assert {type(answer) for answer in answers} == {DatabaseUnavailable}
    assert asked == [A_BATCH] * BATCHES
    monkeypatch.setattr(search, "find_pages", find_pages)
    assert (await searches.find("hello", Page(20, 0), scale_tested=False)).total == 0
    await searches.close()
