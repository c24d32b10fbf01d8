// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {BaseTest} from "../Base.t.sol";

contract ExpireTest is BaseTest {
    function setUp() public override {
        super.setUp();
        _network();
        _send(_registerOf(newcomer));
    }

    function test_EndsAPendingNodeWhoseHourIsPast() public {
        _later(1 hours + 1);
        vm.expectEmit(address(km));
        emit Expired(newcomer.addr);
        _expire(newcomer);
        _statusIs(newcomer, Status.Expired);
        vm.assertEq(km.statusOf(newcomer.addr), "Expired", "statusOf");
        _countsAre(1, 0);
    }

    function test_RecordsThatAnOnboardedNodeNeverConfirmed() public {
        _answer(newcomer, first);
        _later(1 hours + 1);
        vm.expectEmit(address(km));
        emit Unconfirmed(newcomer.addr);
        _expire(newcomer);
        _statusIs(newcomer, Status.Unconfirmed);
        vm.assertEq(km.statusOf(newcomer.addr), "Unconfirmed", "statusOf");
        _countsAre(1, 0);
    }

    function test_EndsAnActiveNodeAWeekAfterItsLease() public {
        _join(second, first);
        vm.warp(uint256(km.nodes(second.addr).until) + 7 days + 1);
        vm.expectEmit(address(km));
        emit Expired(second.addr);
        _expire(second);
        _statusIs(second, Status.Expired);
        _countsAre(1, 1);
    }

    function test_RevertWhen_TheHourOfAPendingNodeRuns() public {
        uint32 until = km.nodes(newcomer.addr).until;
        vm.warp(until);
        _refusesUntil(newcomer, until);
    }

    function test_RevertWhen_TheHourOfAnOnboardedNodeRuns() public {
        _answer(newcomer, first);
        uint32 until = km.nodes(newcomer.addr).until;
        vm.warp(until);
        _refusesUntil(newcomer, until);
    }

    function test_RevertWhen_AnActiveNodesWeekOfGraceRuns() public {
        _join(second, first);
        uint256 until = uint256(km.nodes(second.addr).until) + 7 days;
        vm.warp(until);
        _refusesUntil(second, until);
    }

    function test_RevertWhen_TheNodeIsTheLastMember() public {
        vm.warp(uint256(km.nodes(first.addr).until) + 365 days);
        _expect(abi.encodeWithSelector(LastMember.selector, first.addr));
        _expire(first);
    }

    function test_RevertWhen_TheNodeIsUnknown() public {
        _refusesStatus(second, Status.None);
    }

    function test_RevertWhen_TheNodeHasExpired() public {
        _later(1 hours + 1);
        _expire(newcomer);
        _refusesStatus(newcomer, Status.Expired);
    }

    function test_RevertWhen_TheNodeWasRevoked() public {
        vm.prank(owner);
        km.revoke(newcomer.addr, 0, "");
        _later(1 hours + 1);
        _refusesStatus(newcomer, Status.Revoked);
    }

    function _expire(Key memory node) private {
        vm.prank(stranger);
        km.expire(node.addr);
    }

    function _refusesUntil(Key memory node, uint256 until) private {
        _expect(abi.encodeWithSelector(TooEarly.selector, node.addr, until));
        _expire(node);
    }

    function _refusesStatus(Key memory node, Status status) private {
        _expect(abi.encodeWithSelector(WrongStatus.selector, node.addr, status));
        _expire(node);
    }
}
