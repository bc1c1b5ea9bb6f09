"""Networks that a key may be used from: as people write them, as they are stored, and whether an address is in one."""

from collections.abc import Iterable, Sequence
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from gamify.errors import FieldError

Network = IPv4Network | IPv6Network

FIELD = "allowed_networks"
MOST_NETWORKS = 100  # of a key; each request walks them
MAPPED_BITS = 96  # of ::ffff:0:0/96, where IPv6 sockets show IPv4 addresses


def parse(written: Iterable[str]) -> tuple[list[str], list[FieldError]]:
    """Return networks in their canonical form, each once, and what is wrong with the others.

    A single address is a network of one. Bits beyond the prefix are refused: 10.0.0.7/8 would let in far more than meant.
    """
    good: dict[str, None] = {}
    errors = []
    for each in written:
        try:
            good[str(_unmapped(ip_network(each.strip())))] = None
        except ValueError:
            errors.append(FieldError(FIELD, f"{each[:50]!r} is neither an address nor a network such as 192.0.2.0/24."))
    if len(good) > MOST_NETWORKS:
        errors.append(FieldError(FIELD, f"May be {MOST_NETWORKS} networks at most."))
    return list(good), errors


def of_stored(stored: Iterable[str]) -> tuple[Network, ...]:
    """Return stored networks in the form that `contain` takes."""
    return tuple(ip_network(each) for each in stored)


def contain(networks: Sequence[Network], address: str | None) -> bool:
    """Whether `address` lies in one of them; what is no address lies nowhere."""
    try:
        found = ip_address(address or "")
    except ValueError:
        return False
    if isinstance(found, IPv6Address):
        found = found.ipv4_mapped or found
    return any(found in network for network in networks)


def _unmapped(network: Network) -> Network:
    """Return the IPv4 network that is meant by one of IPv4-mapped addresses, which `contain` never sees."""
    mapped = network.network_address.ipv4_mapped if isinstance(network, IPv6Network) else None
    if mapped is None or network.prefixlen < MAPPED_BITS:
        return network
    return IPv4Network((mapped, network.prefixlen - MAPPED_BITS))
