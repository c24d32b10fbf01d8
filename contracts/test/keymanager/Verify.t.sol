// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Digests} from "../../src/libraries/Digests.sol";
import {BaseTest} from "../Base.t.sol";
import {KeyManagerUnderTest} from "../KeyManagerUnderTest.sol";

contract VerifyTest is BaseTest {
    bytes32 private constant DATA = keccak256("what an app says");

    function setUp() public override {
        super.setUp();
        _network();
    }

    function test_TheEpochKeysTypedSignatureIsTheNetworks() public view {
        bytes memory sig = _sign(epochKey, _digest(Digests.appData(DATA)));
        _answers(DATA, sig, true);
    }

    function test_ASignatureOverTheRawHashIsNot() public view {
        _answers(DATA, _sign(epochKey, DATA), false);
    }

    function test_ASignatureOverOtherDataIsNot() public view {
        bytes memory sig = _sign(epochKey, _digest(Digests.appData(keccak256("other"))));
        _answers(DATA, sig, false);
    }

    function test_AMembersSignatureIsNot() public view {
        _answers(DATA, _sign(first, _digest(Digests.appData(DATA))), false);
    }

    function test_NoMalformedSignatureIs() public view {
        bytes[] memory variants = _malformed(_sign(epochKey, _digest(Digests.appData(DATA))));
        for (uint256 i = 0; i < variants.length; ++i) {
            _answers(DATA, variants[i], false);
        }
    }

    function test_ASignatureForAnotherChainContractOrKindIsNot() public view {
        bytes32 message = Digests.appData(DATA);
        uint256 chain = block.chainid;
        bytes32 digest = _digestFor(address(km), chain + 1, "Replicatoor TEST", message);
        _answers(DATA, _sign(epochKey, digest), false);
        digest = _digestFor(address(this), chain, "Replicatoor TEST", message);
        _answers(DATA, _sign(epochKey, digest), false);
        digest = _digestFor(address(km), chain, "Replicatoor", message);
        _answers(DATA, _sign(epochKey, digest), false);
    }

    function test_ARealNetworkSignsUnderItsOwnName() public {
        km = _deploy(owner, NETWORK_ID, ATTESTATION_ROOT, NOTICE, true);
        vm.store(address(km), 0, bytes32(uint256(uint160(epochKey.addr))));
        bytes32 message = Digests.appData(DATA);
        bytes32 digest = _digestFor(address(km), block.chainid, "Replicatoor", message);
        _answers(DATA, _sign(epochKey, digest), true);
        _answers(DATA, _sign(epochKey, _digest(message)), false);
    }

    function testFuzz_NoRandomBytesAreASignature(bytes32 data, bytes memory sig) public view {
        _answers(data, sig, false);
    }

    function testFuzz_NothingIsASignatureBeforeTheNetworkStarts(
        bytes32 data,
        bytes32 r,
        bytes32 s,
        uint8 v
    ) public {
        km = _deploy(owner, NETWORK_ID, ATTESTATION_ROOT, NOTICE, false);
        _answers(data, abi.encodePacked(r, s, v), false);
        _answers(data, abi.encodePacked(r, uint256(s) >> 1, 27 + (v & 1)), false);
    }

    function testFuzz_AnySignatureOfTheEpochKeyOverAppDataIsTheNetworks(bytes32 data) public view {
        _answers(data, _sign(epochKey, _digest(Digests.appData(data))), true);
    }

    function _answers(bytes32 data, bytes memory sig, bool expected) private view {
        KeyManagerUnderTest target = km;
        vm.assertEq(target.verify(data, sig), expected, "verify");
        bytes4 magic = expected ? bytes4(0x1626ba7e) : bytes4(0xffffffff);
        vm.assertEq(bytes32(target.isValidSignature(data, sig)), bytes32(magic), "isValidSignature");
    }
}
