// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {BaseTest} from "../Base.t.sol";

contract ViewsTest is BaseTest {
    function test_BeforeTheNetworkStartsEverythingIsZero() public view {
        vm.assertEq(km.xPub(), address(0), "xPub");
        vm.assertEq(km.appRoot(), address(0), "appRoot");
        vm.assertEq(km.epoch(), 0, "epoch");
        vm.assertEq(km.appEpoch(), 0, "appEpoch");
        vm.assertEq(km.genesisDocument(), bytes32(0), "genesisDocument");
        vm.assertEq(km.genesisNode(), address(0), "genesisNode");
        vm.assertEq(km.genesisBlock(), 0, "genesisBlock");
        vm.assertEq(km.genesisTime(), 0, "genesisTime");
        vm.assertEq(km.container(), "", "container");
        vm.assertFalse(km.isMember(address(0)), "member");
        _countsAre(0, 0);
    }

    function test_StatusOfFollowsAJoin() public {
        _network();
        _says("None");
        _send(_registerOf(newcomer));
        _says("Pending");
        bytes32 handover = _answer(newcomer, first);
        _says("Onboarded");
        _confirmBy(newcomer, handover);
        _says("Active");
        vm.warp(km.nodes(newcomer.addr).until);
        _says("Active");
        vm.assertTrue(km.isMember(newcomer.addr), "the last second of the lease");
        vm.warp(uint256(km.nodes(newcomer.addr).until) + 1);
        _says("Lapsed");
        vm.assertFalse(km.isMember(newcomer.addr), "the lease is over");
    }

    function test_OnlyActiveNodesAreMembers() public {
        _network();
        vm.assertTrue(km.isMember(first.addr), "Active");
        vm.assertFalse(km.isMember(newcomer.addr), "None");
        _send(_registerOf(newcomer));
        vm.assertFalse(km.isMember(newcomer.addr), "Pending");
        _answer(newcomer, first);
        vm.assertFalse(km.isMember(newcomer.addr), "Onboarded");
    }

    function test_ANodeOfAnEpochThatIsOverIsNoMember() public {
        _network();
        _setEpoch(2);
        vm.assertFalse(km.isMember(first.addr), "member");
    }

    function _says(string memory expected) private view {
        vm.assertEq(km.statusOf(newcomer.addr), expected, "statusOf");
    }
}
