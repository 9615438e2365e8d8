"""Structured logs of each role, read from real processes."""

from __future__ import annotations

from tests.observability.conftest import Roles
from tests.stack import eventually


async def test_a_publish_is_followed_through_the_logs_by_request_id_actor_and_package(roles: Roles) -> None:
    """Every line of the writer for a request has all three; the worker's lines have the package."""
    (published,) = roles.log("write", "version_published")
    assert (published["actor"], published["package"], published["level"]) == ("octo", "hello", "info")
    answered = [line for line in roles.log("write", "http_request") if line["status"] == 200]
    assert [(line["route"], line["package"]) for line in answered] == [("/v1/packages/publish", "hello")]
    assert answered[0]["request_id"] == published["request_id"]
    assert answered[0]["duration_ms"] > 0

    async def publications() -> list[dict[str, object]]:
        return roles.log("worker", "package_published")

    assert [line["package"] for line in await eventually(publications)] == ["hello"]


async def test_the_reader_logs_each_answer_without_query_or_credentials(roles: Roles) -> None:
    """Clients send their token with every read, and some sign-ins have a secret in the query."""
    secret = {"authorization": "Bearer x07t_not_for_logs"}
    reader = roles.processes["read"]
    answer = await reader.http.get("/index/he/ll/hello?x07_refresh=not-for-logs", headers=secret)
    request_id = answer.headers["x-request-id"]

    async def logged() -> bool:
        return any(line["request_id"] == request_id for line in roles.log("read", "http_request"))

    await eventually(logged)
    assert "not-for-logs" not in reader.log.read_text()
    assert "not_for_logs" not in reader.log.read_text()
