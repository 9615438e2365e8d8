"""A registry below a path of another host: the README's location in front of the shipped edge."""

from __future__ import annotations

import re
from pathlib import Path

import httpx

from shared.settings import Settings
from tests.archives import hello_archive
from tests.edge.conftest import running_edge
from tests.edge.nginx import SHIPPED, free_port, serving_nginx

EDGE = "http://127.0.0.1:8080/"
WHOLE = """events {{}}
http {{ access_log off; server {{ listen 127.0.0.1:{port}; {location} }} }}
"""


async def test_the_registry_works_below_a_path(settings: Settings, tmp_path: Path) -> None:
    """Publishing, redirects and downloads use the addresses that the registry gives."""
    port = free_port()
    base = f"http://127.0.0.1:{port}/registry"
    settings = settings.model_copy(update={"public_base": base})
    async with running_edge(settings, tmp_path) as edge:
        [location] = re.findall(r"^```nginx\n(.*?)^```", (SHIPPED / "README.md").read_text(), re.M | re.S)
        assert EDGE in location
        main = tmp_path / "outer.conf"
        main.write_text(WHOLE.format(port=port, location=location.replace(EDGE, f"{edge.http.base_url}/")))
        async with (
            serving_nginx(main, tmp_path / "outer", f"{base}/healthz"),
            httpx.AsyncClient(follow_redirects=True, timeout=60) as http,
        ):
            publisher = await edge.registry.add_publisher()
            archive = hello_archive(version="0.1.0+build.1")
            answer = await http.post(f"{base}/v1/packages/publish", content=archive, headers=publisher)
            assert answer.status_code == 200, answer.text
            await edge.registry.until_in_catalog("hello", "0.1.0+build.1")
            for path in ("/index", "/index/"):
                answer = await http.get(f"{base}{path}", params={"x07_refresh": "1"})
                assert str(answer.url) == f"{base}/index/catalog.json"
            assert (await http.get(f"{base}/openapi")).json()["servers"] == [{"url": "/registry/"}]
            config = (await http.get(f"{base}/index/config.json")).json()
            for version in ("0.1.0+build.1", "0.1.0%2Bbuild.1"):
                answer = await http.get(f"{config['dl']}hello/{version}/download")
                assert answer.content == archive
