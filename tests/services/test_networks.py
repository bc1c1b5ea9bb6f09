"""Networks that a key may be used from."""

import pytest
from gamify.services import networks


@pytest.mark.parametrize(
    ("written", "stored"),
    [
        ("192.0.2.0/24", "192.0.2.0/24"),
        ("192.0.2.7", "192.0.2.7/32"),
        (" 192.0.2.7 ", "192.0.2.7/32"),
        ("192.0.2.0/255.255.255.0", "192.0.2.0/24"),
        ("2001:db8::/32", "2001:db8::/32"),
        ("2001:DB8:0:0::7", "2001:db8::7/128"),
        ("::ffff:192.0.2.0/120", "192.0.2.0/24"),
        ("0.0.0.0/0", "0.0.0.0/0"),
    ],
)
def test_networks_are_stored_in_one_form(written, stored):
    assert networks.parse([written, stored]) == ([stored], [])


@pytest.mark.parametrize(
    "written",
    ["", "x", "192.0.2", "192.0.2.256", "192.0.2.7/24", "192.0.2.0/33", "1", "::1/129", "a.example", "\u0661.2.3.4", "\0"],
)
def test_what_is_no_network_is_refused_by_name(written):
    good, [error] = networks.parse([written])

    assert (good, error.field) == ([], "allowed_networks")
    assert repr(written) in error.message


def test_a_key_may_have_a_hundred_networks_and_not_one_more():
    many = [f"192.0.2.{n}" for n in range(101)]

    assert networks.parse(many[:100])[1] == []
    assert [error.field for error in networks.parse(many)[1]] == ["allowed_networks"]


@pytest.mark.parametrize(
    ("address", "is_inside"),
    [
        ("192.0.2.255", True),
        ("::ffff:192.0.2.1", True),
        ("2001:db8::1", True),
        ("192.0.3.0", False),
        ("2001:db9::1", False),
        ("::c000:201", False),
        ("unknown", False),
        ("", False),
        (None, False),
    ],
)
def test_an_address_is_in_a_network_or_nowhere(address, is_inside):
    assert networks.contain(networks.of_stored(["192.0.2.0/24", "2001:db8::/32"]), address) is is_inside
