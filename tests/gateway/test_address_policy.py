"""The address policy: what is never reached, what can be allowed, and in which disguises."""

from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keyhouse.gateway.address_policy import AddressPolicy, AddressRule, address_policy, blocked
from keyhouse.gateway.upstream_error import UpstreamFailure

OPEN = AddressPolicy(allow_private=True)
STRICT = AddressPolicy(allow_private=False)

NEVER = {
    AddressRule.METADATA: [
        "169.254.169.254",
        "100.100.100.200",
        "168.63.129.16",
        "192.0.0.192",
        "fd00:ec2::254",
        "fd00:ec2::23",
        "fd20:ce::254",
        "fd00:c1::a9fe:a9fe",
        "fd00:42::42",
    ],
    AddressRule.LINK_LOCAL: ["169.254.0.23", "169.254.170.2", "169.254.42.42", "fe80::1", "fe80::a9fe:a9fe", "febf::1", "fe80::1%eth0"],
    AddressRule.UNSPECIFIED: ["0.0.0.0", "0.1.2.3", "::"],
    AddressRule.MULTICAST: ["224.0.0.1", "239.255.255.255", "ff02::1"],
    AddressRule.RESERVED: ["240.0.0.1", "255.255.255.255", "4000::1"],
}
# Wherever an IPv4 address hides inside an IPv6 one
DISGUISES = {
    "mapped": "::ffff:{hex}",
    "compatible": "::{hex}",
    "translated": "::ffff:0:{hex}",
    "NAT64": "64:ff9b::{hex}",
    "local NAT64": "64:ff9b:1::{hex}",
    "6to4": "2002:{hex}::1",
}


def disguised(form: str, address: str) -> str:
    packed = ip_address(address).packed
    return DISGUISES[form].format(hex=f"{packed[:2].hex()}:{packed[2:].hex()}")


def never() -> list[tuple[AddressRule, str]]:
    return [(rule, address) for rule, addresses in NEVER.items() for address in addresses]


@pytest.mark.parametrize(("rule", "address"), never())
def test_some_addresses_are_never_reached_whatever_is_allowed(rule: AddressRule, address: str) -> None:
    everything = address_policy(True, f"0.0.0.0/0,::/0,{address.partition('%')[0]},host.example")

    assert everything.rule_against("host.example", ip_address(address)) is rule
    assert everything.rule_against_name(address) is rule
    assert "No setting allows it" in blocked(rule).message


@pytest.mark.parametrize("form", DISGUISES)
@pytest.mark.parametrize(("rule", "address"), [(rule, address) for rule, address in never() if ":" not in address])
def test_no_disguise_helps_them(form: str, rule: AddressRule, address: str) -> None:
    found = OPEN.rule_against("host.example", ip_address(disguised(form, address)))

    # Some disguises of the smallest addresses are themselves other refused ones.
    assert found is rule or (found in NEVER and address.startswith("0."))


def test_teredo_addresses_are_judged_by_server_and_client() -> None:
    client = int(ip_address("169.254.169.254")) ^ 0xFFFFFFFF
    teredo = ip_address((0x20010000 << 96) | (int(ip_address("8.8.8.8")) << 64) | client)

    assert OPEN.rule_against("host.example", teredo) is AddressRule.METADATA


PRIVATE = ["10.0.0.1", "172.16.0.1", "192.168.1.1", "100.64.0.1", "198.18.0.1", "192.0.2.1", "fd12::1", "fec0::1", "2001:db8::1"]
LOOPBACK = ["127.0.0.1", "127.255.255.254", "::1"]


@pytest.mark.parametrize("address", [*PRIVATE, *LOOPBACK])
def test_private_and_loopback_addresses_are_reached_unless_switched_off(address: str) -> None:
    rule = AddressRule.LOOPBACK if address in LOOPBACK else AddressRule.PRIVATE

    assert OPEN.rule_against("host.example", ip_address(address)) is None
    assert STRICT.rule_against("host.example", ip_address(address)) is rule
    assert "KEYHOUSE_ALLOWED_ADDRESSES" in blocked(rule).message


@pytest.mark.parametrize("form", ["mapped", "NAT64", "6to4"])
@pytest.mark.parametrize("address", ["10.0.0.1", "127.0.0.1", "100.64.0.1"])
def test_private_addresses_in_disguise_are_private(form: str, address: str) -> None:
    hidden = ip_address(disguised(form, address))

    assert OPEN.rule_against("host.example", hidden) is None
    assert STRICT.rule_against("host.example", hidden) in {AddressRule.PRIVATE, AddressRule.LOOPBACK}


@pytest.mark.parametrize("address", ["8.8.8.8", "1.1.1.1", "104.18.6.192", "2606:4700::6812:7c0", "100.128.0.1", "172.32.0.1"])
def test_public_addresses_are_reached(address: str) -> None:
    assert STRICT.rule_against("host.example", ip_address(address)) is None
    assert STRICT.rule_against_name(address) is None


@pytest.mark.parametrize("form", ["mapped", "NAT64", "6to4"])
def test_public_addresses_in_a_form_that_leads_to_them_are_reached(form: str) -> None:
    assert STRICT.rule_against("host.example", ip_address(disguised(form, "8.8.8.8"))) is None


@pytest.mark.parametrize(
    "host",
    [
        "2130706433",
        "0x7f000001",
        "0x7f.1",
        "0177.0.0.1",
        "127.1",
        "127.0.1",
        "0",
        "1",
        "00.0.0.0",
        "127.0.0.0x1",
        "1.2.3.4.5",
        "a.b.1",
        "0x",
    ],
)
def test_numbers_that_only_some_read_as_addresses_are_refused(host: str) -> None:
    assert OPEN.rule_against_name(host) is AddressRule.ODD_FORM
    assert "four decimal numbers" in blocked(AddressRule.ODD_FORM).message


@pytest.mark.parametrize(
    "name", ["metadata", "metadata.google.internal", "METADATA.GOOGLE.INTERNAL", "metadata.google.internal.", "instance-data.ec2.internal"]
)
def test_names_of_metadata_services_are_refused_unresolved(name: str) -> None:
    assert address_policy(True, name).rule_against_name(name) is AddressRule.METADATA


@pytest.mark.parametrize("name", ["api.openai.com", "my-metadata.example.com", "a1.b2", "0x7f.example.com", "1.2.3.4.nip.io", "x.0xg"])
def test_other_names_pass(name: str) -> None:
    assert STRICT.rule_against_name(name) is None


@pytest.mark.parametrize(("name", "allowed"), [("localhost", "localhost"), ("localhost", "127.0.0.0/8"), ("a.localhost", "a.localhost")])
def test_localhost_is_loopback_before_it_is_resolved(name: str, allowed: str) -> None:
    assert OPEN.rule_against_name(name) is None
    assert STRICT.rule_against_name(name) is AddressRule.LOOPBACK
    assert address_policy(False, allowed).rule_against_name(name) is None


def test_hosts_addresses_and_networks_can_be_allowed() -> None:
    policy = address_policy(False, " Inside.Example. , 10.0.0.0/8,192.168.1.7, [fd12::]/16 ".replace("[fd12::]/16", "fd12::/16"))

    assert policy.rule_against("inside.example", ip_address("172.16.0.1")) is None
    assert policy.rule_against("Inside.Example", ip_address("172.16.0.1")) is None
    assert policy.rule_against("other.example", ip_address("172.16.0.1")) is AddressRule.PRIVATE
    assert policy.rule_against("other.example", ip_address("10.9.9.9")) is None
    assert policy.rule_against("other.example", ip_address("::ffff:10.9.9.9")) is None
    assert policy.rule_against("other.example", ip_address("192.168.1.7")) is None
    assert policy.rule_against("other.example", ip_address("192.168.1.8")) is AddressRule.PRIVATE
    assert policy.rule_against("other.example", ip_address("fd12::99")) is None


@pytest.mark.parametrize("allowed", ["10.0.0.1/8", "10.0.0.0/33", "300.1.1.1", "10.0.0", "fe80::/129", "http://a"])
def test_entries_that_are_none_of_these_are_named(allowed: str) -> None:
    with pytest.raises(ValueError, match="neither a host") as caught:
        address_policy(False, f"ok.example,{allowed}")
    assert allowed in str(caught.value)


def test_no_entries_allow_nothing() -> None:
    assert address_policy(False, " , ") == STRICT


def test_the_error_names_the_rule_and_no_address() -> None:
    error = blocked(AddressRule.PRIVATE)

    assert (error.kind, error.request_sent) == (UpstreamFailure.BLOCKED, False)
    assert "by its rule private_address." in error.message


@given(st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6)))
def test_what_a_strict_policy_lets_pass_is_global(address) -> None:
    if STRICT.rule_against("host.example", address) is None:
        inner = address.sixtofour if address.version == 6 else None
        assert address.is_global or str(address).startswith("64:ff9b::") or (inner is not None and inner.is_global)
        assert not address.is_multicast
