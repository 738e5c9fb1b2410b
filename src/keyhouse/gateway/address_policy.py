"""Which addresses the gateway may reach: judged on the resolved address of every new connection, and on names where a proxy resolves.

Cloud metadata services and link-local addresses are never reached, whatever is configured: they hand out the machine's own credentials.
"""

import re
from collections.abc import Iterator
from enum import StrEnum
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

import msgspec

from keyhouse.gateway.upstream_error import UpstreamError, UpstreamFailure

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network


class AddressRule(StrEnum):
    """Why an address is refused, strictest first."""

    METADATA = "cloud_metadata"
    LINK_LOCAL = "link_local_address"
    UNSPECIFIED = "unspecified_address"
    MULTICAST = "multicast_address"
    RESERVED = "reserved_address"
    ODD_FORM = "odd_address_form"
    LOOPBACK = "loopback_address"
    PRIVATE = "private_address"


_ALLOWABLE = frozenset({AddressRule.LOOPBACK, AddressRule.PRIVATE})
_ADVICE = {
    AddressRule.ODD_FORM: "Write an IPv4 address as four decimal numbers without leading zeros, and an IPv6 address in brackets.",
    AddressRule.LOOPBACK: "Set KEYHOUSE_ALLOW_PRIVATE_ADDRESSES=true, or name the host or its network in KEYHOUSE_ALLOWED_ADDRESSES.",
    AddressRule.PRIVATE: "Set KEYHOUSE_ALLOW_PRIVATE_ADDRESSES=true, or name the host or its network in KEYHOUSE_ALLOWED_ADDRESSES.",
}

# Metadata services outside the link-local ranges; those hold most (169.254.169.254, 169.254.170.2, 169.254.0.23, fe80::a9fe:a9fe).
_METADATA: tuple[Network, ...] = (
    IPv4Network("169.254.169.254"),
    # AWS: instance metadata (::254) and Pod Identity (::23). docs.aws.amazon.com/AWSEC2/latest/UserGuide/instancedata-data-retrieval.html
    IPv6Network("fd00:ec2::/32"),
    # Google Cloud. cloud.google.com/compute/docs/metadata/querying-metadata
    IPv6Network("fd20:ce::254"),
    # Alibaba Cloud. www.alibabacloud.com/help/en/ecs/user-guide/view-instance-metadata
    IPv4Network("100.100.100.200"),
    # Azure's host channel, a routable address. learn.microsoft.com/azure/virtual-network/what-is-ip-address-168-63-129-16
    IPv4Network("168.63.129.16"),
    # Oracle Cloud, Classic and IPv6. docs.oracle.com/en-us/iaas/Content/Compute/Tasks/gettingmetadata.htm
    IPv4Network("192.0.0.192"),
    IPv6Network("fd00:c1::a9fe:a9fe"),
    # Scaleway, over IPv6
    IPv6Network("fd00:42::42"),
)
_METADATA_NAMES = frozenset(
    ("metadata", "metadata.google.internal", "metadata.goog", "metadata.tencentyun.com", "instance-data", "instance-data.ec2.internal")
)
_THIS_NETWORK = IPv4Network("0.0.0.0/8")
_FUTURE_USE = IPv4Network("240.0.0.0/4")
_SITE_LOCAL = IPv6Network("fec0::/10")
# RFC 6052, RFC 8215, RFC 4291 section 2.5.5.1, RFC 2765: the last four bytes are an IPv4 address.
_NAT64 = IPv6Network("64:ff9b::/96")
_6TO4 = IPv6Network("2002::/16")
_LAST_FOUR_BYTES = (_NAT64, IPv6Network("64:ff9b:1::/48"), IPv6Network("::/96"), IPv6Network("::ffff:0:0:0/96"))
_ENDS_IN_A_NUMBER = re.compile(r"(?:.*\.)?(?:[0-9]+|0x[0-9a-f]*)", re.IGNORECASE)


def blocked(rule: AddressRule) -> UpstreamError:
    """The error for an address that breaks `rule`: names the rule and how to allow, not the address."""
    advice = _ADVICE.get(rule, "No setting allows it.")
    return UpstreamError(UpstreamFailure.BLOCKED, f"The address policy refuses this upstream by its rule {rule}. {advice}")


class AddressPolicy(msgspec.Struct, frozen=True):
    """`allow_private`: private and loopback addresses may be reached. When it is off, `allowed_hosts` (names in lower case) and
    `allowed_networks` still may. Neither opens metadata services, link-local, unspecified, multicast or reserved addresses."""

    allow_private: bool = True
    allowed_hosts: frozenset[str] = frozenset()
    allowed_networks: tuple[Network, ...] = ()

    def rule_against_name(self, host: str) -> AddressRule | None:
        """The rule that refuses a host as it is written, a name or a literal address, or None. Resolves nothing."""
        name = host.lower().removesuffix(".")
        literal = literal_address(name)
        if literal is not None:
            return self.rule_against(name, literal)
        if name in _METADATA_NAMES:
            return AddressRule.METADATA
        if ":" in name or _ENDS_IN_A_NUMBER.fullmatch(name):
            # Resolvers read 2130706433, 0x7f.1 and 0177.0.0.1 as 127.0.0.1; proxies and other parsers read them otherwise.
            return AddressRule.ODD_FORM
        if name == "localhost" or name.endswith(".localhost"):
            return self.rule_against(name, IPv4Address("127.0.0.1"))
        return None

    def rule_against(self, host: str, address: Address) -> AddressRule | None:
        """The rule that refuses `address`, to which the name `host` was resolved, or None. Addresses inside the address are judged too."""
        found = [rule for each in _addresses_in(address) if (rule := self._rule_against_one(host, each)) is not None]
        return min(found, key=list(AddressRule).index, default=None)

    def _rule_against_one(self, host: str, address: Address) -> AddressRule | None:
        rule = _rule_of(address)
        if rule not in _ALLOWABLE:
            return rule
        if self.allow_private or host.lower() in self.allowed_hosts or any(address in network for network in self.allowed_networks):
            return None
        return rule


def address_policy(allow_private: bool, allowed: str) -> AddressPolicy:
    """The policy of the settings: `allowed` holds hosts, addresses and CIDRs, separated by commas.

    Raises ValueError naming the entry that is none of these.
    """
    hosts, networks = set(), []
    for entry in filter(None, (entry.strip().lower() for entry in allowed.split(","))):
        try:
            networks.append(ip_network(entry.strip("[]")))
        except ValueError:
            if "/" in entry or ":" in entry or _ENDS_IN_A_NUMBER.fullmatch(entry):
                raise ValueError(f"{entry!r} is neither a host, an address nor a network such as 10.0.0.0/8") from None
            hosts.add(entry.removesuffix("."))
    return AddressPolicy(allow_private, frozenset(hosts), tuple(networks))


def literal_address(host: str) -> Address | None:
    """The address that a host is, written in its usual form, or None for a name."""
    try:
        return ip_address(host)
    except ValueError:
        return None


def _addresses_in(address: Address) -> Iterator[Address]:
    """The address and every IPv4 address it stands for: mapped, compatible, translated, NAT64, 6to4, Teredo."""
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None:
            yield address.ipv4_mapped
            return
        if address.sixtofour is not None:
            yield address.sixtofour
        if address.teredo is not None:
            yield from address.teredo
        if int(address) > 1 and any(address in network for network in _LAST_FOUR_BYTES):
            yield IPv4Address(int(address) & 0xFFFFFFFF)
    yield address


def _rule_of(address: Address) -> AddressRule | None:
    """What kind of not globally routable address this one is, looking at its outer form only."""
    tests = (
        (AddressRule.METADATA, any(address in network for network in _METADATA)),
        (AddressRule.LINK_LOCAL, address.is_link_local),
        (AddressRule.UNSPECIFIED, address.is_unspecified or address in _THIS_NETWORK),
        (AddressRule.MULTICAST, address.is_multicast),
        (AddressRule.LOOPBACK, address.is_loopback),
        (AddressRule.RESERVED, address in _FUTURE_USE or (isinstance(address, IPv6Address) and _is_reserved(address))),
        # Among them shared address space (100.64.0.0/10), which ipaddress calls neither private nor global, and site-local addresses.
        # Newer releases of Python call all of 6to4 private: it is as public as the address inside.
        (AddressRule.PRIVATE, address in _SITE_LOCAL or not (address.is_global or address in _NAT64 or address in _6TO4)),
    )
    return next((rule for rule, holds in tests if holds), None)


def _is_reserved(address: IPv6Address) -> bool:
    return address.is_reserved and not any(address in network for network in _LAST_FOUR_BYTES[:2])
