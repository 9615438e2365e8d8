"""The edge caches reads, routes other requests, limits bodies, and does not change answers."""

from __future__ import annotations

import json
from pathlib import Path

from tests.archives import hello_archive
from tests.edge.conftest import ARCHIVE, INDEX, Edge, publish
from tests.edge.nginx import checked, write_configuration
from tests.stack import eventually

Headers = dict[str, str]

TOKEN = {"authorization": "Bearer x07t_never_seen_by_readers", "cookie": "x07_session=nor_this"}


async def test_nginx_takes_the_shipped_files_without_a_warning(tmp_path: Path) -> None:
    """The addresses are filled in, because names of another network do not resolve here."""
    main = write_configuration(tmp_path / "conf", 18080, ["127.0.0.1:1"], ["127.0.0.1:2"])
    (tmp_path / "run").mkdir()
    assert "warn" not in await checked(main, tmp_path / "run")


async def test_each_request_reaches_the_tier_that_knows_it(edge: Edge) -> None:
    """Reads work without the write API, and an owner may be called `download`."""
    log = ("/log/checkpoint", "/log/tile/0/000", "/dl/hello/package")
    pages = ("/v1/packages/hello", "/v1/packages/hello/owners", "/v1/packages/hello/0.1.0/advisories")
    read = ("/", "/healthz", INDEX, "/index", "/index/", "/index/config.json", ARCHIVE, *log, *pages)
    for path in read:
        await edge.http.get(path)
        assert edge.reads.count(path) == 1, path
    assert edge.writes.seen == []
    of_owners = ("/v1/packages/hello/owners/download", "/v1/packages/hello/owners/advisories")
    for path in ("/v1/packages/publish", "/v1/search?q=x", *of_owners, "/readyz", "/nope"):
        await edge.http.get(path)
        assert edge.writes.count(path.partition("?")[0]) == 1, path
    for path in pages:
        await edge.http.post(path)
        assert edge.writes.count(path) == 1, path
    assert len(edge.reads.seen) == len(read)


async def test_the_index_host_serves_reads_from_its_root(edge: Edge) -> None:
    """The API is available as on every host; `v1ab` is a package, not a route."""
    host = {"host": "index.x07.io"}
    for path, file in (
        ("/config.json", "/index/config.json"),
        ("/he/ll/hello", INDEX),
        ("/v1/ab/v1ab", "/index/v1/ab/v1ab"),
        (ARCHIVE, ARCHIVE),
        ("/log/checkpoint", "/log/checkpoint"),
        ("/no%70e", "/no%70e"),
    ):
        await edge.http.get(path, headers=host)
        assert edge.reads.count(file) == 1, path
    await edge.http.get("/v1/search?q=x", headers=host)
    assert edge.writes.count("/v1/search") == 1


async def test_the_index_host_keeps_nothing_of_the_api(edge: Edge) -> None:
    """Two searches give two answers, and a token reaches the write API."""
    host, publisher = {"host": "index.x07.io"}, await publish(edge)
    found = [
        (await edge.http.get(f"/v1/search?q={word}", headers=host)).json()["packages"]
        for word in ("hello", "nothing-of-this-name")
    ]
    assert [len(packages) for packages in found] == [1, 0]
    me = await edge.http.get("/v1/account", headers=host | publisher)
    assert (me.status_code, me.json()["handle"]) == (200, "alice")
    again = await edge.http.get("/v1/account", headers=host)
    assert again.status_code == 401
    answer = await edge.http.post(
        "/v1/packages/publish", content=hello_archive(version="0.2.0"), headers=host | publisher
    )
    assert answer.status_code == 200


async def test_every_answer_has_an_id_of_its_own(edge: Edge) -> None:
    """This includes cached answers; an error's body has the same id as its header."""
    await publish(edge)
    answers = [
        await edge.http.get(path) for path in (INDEX, INDEX, INDEX, ARCHIVE, ARCHIVE, "/index/no/pe/nope")
    ]
    answers.append(await edge.http.get("/v1/packages/nope"))
    answers.append(await edge.http.get(INDEX, headers={"if-none-match": answers[0].headers["etag"]}))
    ids = [answer.headers.get_list("x-request-id") for answer in answers]
    assert all(len(one) == 1 and len(one[0]) == 32 for one in ids), ids
    assert len({one[0] for one in ids}) == len(ids)
    for answer in answers:
        if answer.status_code == 404:
            assert answer.json()["request_id"] == answer.headers["x-request-id"]


async def test_the_access_log_holds_no_credential_and_no_query(edge: Edge) -> None:
    """Each answer has one line of JSON, with the id that the client received."""
    answer = await edge.http.get(f"{INDEX}?x07_refresh=secret_query", headers=TOKEN)

    async def line() -> str | None:
        found = [one for one in edge.log.read_text().splitlines() if answer.headers["x-request-id"] in one]
        return found[0] if found else None

    logged = json.loads(await eventually(line))
    assert (logged["path"], logged["status"], logged["cache"]) == (INDEX, 404, "BYPASS")
    text = edge.log.read_text()
    assert not any(secret in text for secret in ("secret_query", "x07t_never", "nor_this"))
