// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {BaseTest} from "./Base.t.sol";

/// @notice Guests decide on proofs of these very slots: each is read raw, as a proof shows it.
contract StorageLayoutTest is BaseTest {
    function setUp() public override {
        super.setUp();
        _network();
        _join(second, first);
        _send(_registerOf(newcomer));
    }

    function test_Slot0IsTheHead() public view {
        uint256 head = _slot(bytes32(0));
        vm.assertEq(address(uint160(head)), epochKey.addr, "xPub");
        vm.assertEq(uint16(head >> 160), 1, "epoch");
        vm.assertEq(uint16(head >> 176), 1, "appEpoch");
        vm.assertEq(uint24(head >> 192), 2, "members");
        vm.assertEq(uint24(head >> 216), 1, "pending");
        vm.assertEq(uint16(head >> 240), 0, "flags");
    }

    function test_Slots1And2AreTheGenesis() public view {
        vm.assertEq(bytes32(_slot(bytes32(uint256(1)))), km.genesisDocument(), "document");
        uint256 genesis = _slot(bytes32(uint256(2)));
        vm.assertEq(address(uint160(genesis)), first.addr, "node");
        vm.assertEq(uint48(genesis >> 160), START_BLOCK, "block");
        vm.assertEq(uint48(genesis >> 208), START_TIME, "time");
    }

    function test_Slot3MapsAddressesToNodes() public view {
        uint256 node = _slot(keccak256(abi.encode(newcomer.addr, 3)));
        Node memory expected = km.nodes(newcomer.addr);
        vm.assertEq(uint160(node), expected.commitment, "commitment");
        vm.assertEq(uint8(node >> 160), 1, "status");
        vm.assertEq(uint8(node >> 168), 0, "attempt");
        vm.assertEq(uint16(node >> 176), 1, "epoch");
        vm.assertEq(uint32(node >> 192), expected.until, "until");
        vm.assertEq(uint16(node >> 224), 1, "measurement");
        vm.assertEq(uint16(node >> 240), expected.seed, "seed");
    }

    function test_Slot4MapsNumbersToEpochs() public view {
        uint256 place = uint256(keccak256(abi.encode(uint256(1), 4)));
        uint256 a = _slot(bytes32(place));
        vm.assertEq(address(uint160(a)), epochKey.addr, "xPub");
        vm.assertEq(uint64(a >> 160), START_TIME, "since");
        uint256 b = _slot(bytes32(place + 1));
        vm.assertEq(address(uint160(b)), appRootAddress, "appRoot");
        vm.assertEq(uint64(b >> 160), 0, "retired");
        vm.assertEq(_slot(bytes32(place + 2)), 0, "wrapHash");
    }

    function test_Slot5MapsIdsToMeasurements() public view {
        uint256 m = _slot(keccak256(abi.encode(IMAGE, 5)));
        vm.assertEq(uint16(m), 1, "index");
        vm.assertEq(uint8(m >> 16), 2, "state");
        vm.assertEq(uint8(m >> 24), 1, "genesis");
        vm.assertEq(uint40(m >> 32), START_TIME, "activeFrom");
        vm.assertEq(uint40(m >> 72), 0, "removedAt");
    }

    function test_Slot6IsTheBitmapOfAllowedImages() public view {
        vm.assertEq(_slot(keccak256(abi.encode(uint256(0), 6))), 1 << 1, "word 0");
    }

    function test_Slots7To9AreTheContainer() public {
        vm.prank(owner);
        km.setContainer("short");
        vm.assertEq(_slot(bytes32(uint256(7))), 0, "current");
        vm.assertEq(_slot(bytes32(uint256(8))), uint256(bytes32("short")) | 10, "next");
        uint256 counts = _slot(bytes32(uint256(9)));
        vm.assertEq(uint64(counts), START_TIME + NOTICE, "from");
        vm.assertEq(uint16(counts >> 64), 1, "measurements");
        vm.assertEq(uint8(counts >> 80), 1, "genesis measurements");
    }

    function test_Slot10IsWrittenByARejectionOnly() public {
        bytes32 outer = keccak256(abi.encode(newcomer.addr, 10));
        bytes32 slot = keccak256(abi.encode(second.addr, outer));
        _answer(newcomer, second);
        vm.assertEq(_slot(slot), 0, "before");
        _rejectBy(newcomer, second);
        vm.assertEq(_slot(slot), 1, "after");
    }

    function _slot(bytes32 slot) private view returns (uint256) {
        return uint256(vm.load(address(km), slot));
    }
}
