"""The client's address: without a proxy, behind one or several, and with forged headers."""

from __future__ import annotations

import pytest
from starlette.requests import Request

from api.write.client_address import client_address
from shared.setting_types import parse_networks

PROXIES = parse_networks("10.0.0.0/8, ::1")

CASES = {
    "a_peer_is_the_client": ("203.0.113.7", [], "203.0.113.7"),
    "a_peer_that_is_no_proxy_cannot_say_otherwise": ("203.0.113.7", ["198.51.100.1"], "203.0.113.7"),
    "a_proxy_names_the_client": ("10.0.0.1", ["198.51.100.1"], "198.51.100.1"),
    "only_the_end_was_written_by_the_proxy": ("10.0.0.1", ["1.1.1.1, 198.51.100.1"], "198.51.100.1"),
    "two_proxies": ("10.0.0.1", ["1.1.1.1, 198.51.100.1, 10.2.3.4"], "198.51.100.1"),
    "two_header_lines_are_one_list": ("10.0.0.1", ["1.1.1.1", "198.51.100.1"], "198.51.100.1"),
    "a_proxy_that_names_nobody_counts_itself": ("10.0.0.1", [], "10.0.0.1"),
    "junk_counts_for_the_proxy_that_passed_it_on": ("10.0.0.1", ["198.51.100.1, <script>"], "10.0.0.1"),
    "all_are_proxies": ("10.0.0.1", ["10.0.0.3, 10.0.0.2"], "10.0.0.3"),
    "a_customer_has_a_whole_64": ("2001:db8:1:2:3:4:5:6", [], "2001:db8:1:2::/64"),
    "an_ipv6_proxy": ("::1", ["2001:db8::1"], "2001:db8::/64"),
    "ipv4_within_ipv6": ("::ffff:10.0.0.1", ["::ffff:198.51.100.1"], "198.51.100.1"),
    "a_client_with_a_port": ("10.0.0.1", ["198.51.100.1:5001"], "198.51.100.1"),
    "a_proxy_with_a_port": ("10.0.0.1", ["198.51.100.1:5001, 10.2.3.4:443"], "198.51.100.1"),
    "an_ipv6_client_with_a_port": ("10.0.0.1", ["[2001:db8:1:2::3]:5001"], "2001:db8:1:2::/64"),
    "an_ipv6_client_in_brackets": ("10.0.0.1", ["[2001:db8:1:2::3]"], "2001:db8:1:2::/64"),
    "ipv4_within_ipv6_with_a_port": ("10.0.0.1", ["[::ffff:198.51.100.1]:80"], "198.51.100.1"),
    "quotes_as_in_forwarded": ("10.0.0.1", ['"[2001:db8:1:2::3]:5001"'], "2001:db8:1:2::/64"),
    "a_port_that_is_none": ("10.0.0.1", ["198.51.100.1:port"], "10.0.0.1"),
    "an_open_bracket": ("10.0.0.1", ["[2001:db8::1"], "10.0.0.1"),
    "no_peer": (None, ["198.51.100.1"], "unknown"),
}


@pytest.mark.parametrize("case", CASES)
def test_the_client_is_the_first_address_that_no_trusted_proxy_has(case: str) -> None:
    """A client that writes the header itself cannot change its address."""
    peer, forwarded, expected = CASES[case]
    scope = {
        "type": "http",
        "client": (peer, 1) if peer else None,
        "headers": [(b"x-forwarded-for", value.encode()) for value in forwarded],
    }
    assert client_address(Request(scope), PROXIES) == expected


@pytest.mark.parametrize(
    ("forwarded", "sender"),
    [("198.51.100.1", "198.51.100.1"), ("1.1.1.1, 10.0.0.1", "1.1.1.1"), ("", "unknown")],
)
def test_a_proxy_at_a_unix_socket_names_the_client(forwarded: str, sender: str) -> None:
    """It has no address that a setting could name; who may open the socket is trusted."""
    headers = [(b"x-forwarded-for", forwarded.encode())] if forwarded else []
    scope = {"type": "http", "client": None, "server": ("/run/write.sock", None), "headers": headers}
    assert client_address(Request(scope), PROXIES) == sender


@pytest.mark.parametrize("value", ["10.0.0.0/33", "10.0.0.1/8", "proxy.example", "*"])
def test_a_setting_that_is_no_network_stops_the_start(value: str) -> None:
    """A typo that trusts nobody or everybody would otherwise be noticed late."""
    with pytest.raises(ValueError, match="IP addresses and networks"):
        parse_networks(value)
