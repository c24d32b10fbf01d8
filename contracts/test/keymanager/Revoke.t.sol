// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Digests} from "../../src/libraries/Digests.sol";
import {BaseTest} from "../Base.t.sol";

contract RevokeTest is BaseTest {
    function setUp() public override {
        super.setUp();
        _network();
        _send(_registerOf(newcomer));
    }

    function test_TheOwnerMayRevokeAPendingNode() public {
        _ownerRevokes(newcomer, Status.Pending);
        _countsAre(1, 0);
    }

    function test_TheOwnerMayRevokeAnOnboardedNode() public {
        _answer(newcomer, first);
        _ownerRevokes(newcomer, Status.Onboarded);
        _countsAre(1, 0);
    }

    function test_TheOwnerMayRevokeAnActiveNode() public {
        _join(second, first);
        _ownerRevokes(second, Status.Active);
        _countsAre(1, 1);
        vm.assertFalse(km.isMember(second.addr), "member");
    }

    function test_TheOwnerMayRevokeTheLastMember() public {
        _ownerRevokes(first, Status.Active);
        _countsAre(0, 1);
    }

    function test_AnyoneMayPostANodesOwnLeave() public {
        bytes32 handover = _join(second, first);
        bytes memory sig = _leaveOf(second, handover);
        vm.expectEmit(address(km));
        emit Revoked(second.addr, Status.Active, true);
        vm.prank(stranger);
        km.revoke(second.addr, handover, sig);
        _statusIs(second, Status.Revoked);
        _countsAre(1, 1);
    }

    function test_APendingNodeMayLeave() public {
        bytes32 commitment = commitments[newcomer.addr];
        bytes memory sig = _leaveOf(newcomer, commitment);
        vm.prank(stranger);
        km.revoke(newcomer.addr, commitment, sig);
        _statusIs(newcomer, Status.Revoked);
        _countsAre(1, 0);
    }

    function test_RevertWhen_AStrangerBringsNothing() public {
        _expect(abi.encodeWithSelector(WrongCommitment.selector, newcomer.addr, 0));
        vm.prank(stranger);
        km.revoke(newcomer.addr, 0, "");
    }

    function test_RevertWhen_ALeaveIsOfAnEarlierStep() public {
        bytes32 commitment = commitments[newcomer.addr];
        bytes memory sig = _leaveOf(newcomer, commitment);
        _answer(newcomer, first);
        _expect(abi.encodeWithSelector(WrongCommitment.selector, newcomer.addr, commitment));
        vm.prank(stranger);
        km.revoke(newcomer.addr, commitment, sig);
    }

    function test_RevertWhen_AnotherMemberSignsTheLeave() public {
        bytes32 commitment = commitments[newcomer.addr];
        bytes memory sig = _sign(first, _digest(Digests.leaveRequest(newcomer.addr, commitment)));
        _expect(abi.encodeWithSelector(BadSignature.selector, newcomer.addr, first.addr));
        vm.prank(stranger);
        km.revoke(newcomer.addr, commitment, sig);
    }

    function test_RevertWhen_TheSignatureIsNotExactlyOne() public {
        bytes32 commitment = commitments[newcomer.addr];
        bytes[] memory variants = _malformed(_leaveOf(newcomer, commitment));
        for (uint256 i = 0; i < variants.length; ++i) {
            _expect(abi.encodeWithSelector(BadSignature.selector, newcomer.addr, address(0)));
            vm.prank(stranger);
            km.revoke(newcomer.addr, commitment, variants[i]);
        }
    }

    function test_RevertWhen_AFormerOwnerRevokes() public {
        vm.prank(owner);
        km.transferOwnership(stranger);
        vm.prank(stranger);
        km.acceptOwnership();
        _expect(abi.encodeWithSelector(WrongCommitment.selector, newcomer.addr, 0));
        vm.prank(owner);
        km.revoke(newcomer.addr, 0, "");
    }

    function test_RevertWhen_TheNodeIsUnknown() public {
        _refuses(second, Status.None);
    }

    function test_RevertWhen_TheNodeWasRevoked() public {
        _ownerRevokes(newcomer, Status.Pending);
        _refuses(newcomer, Status.Revoked);
    }

    function test_RevertWhen_TheNodeHasExpired() public {
        _later(1 hours + 1);
        km.expire(newcomer.addr);
        _refuses(newcomer, Status.Expired);
    }

    function test_RevertWhen_TheNodeIsUnconfirmed() public {
        _answer(newcomer, first);
        _later(1 hours + 1);
        km.expire(newcomer.addr);
        _refuses(newcomer, Status.Unconfirmed);
    }

    function _ownerRevokes(Key memory node, Status was) private {
        vm.expectEmit(address(km));
        emit Revoked(node.addr, was, false);
        vm.prank(owner);
        km.revoke(node.addr, 0, "");
        _statusIs(node, Status.Revoked);
        vm.assertEq(km.statusOf(node.addr), "Revoked", "statusOf");
    }

    function _refuses(Key memory node, Status status) private {
        _expect(abi.encodeWithSelector(WrongStatus.selector, node.addr, status));
        vm.prank(owner);
        km.revoke(node.addr, 0, "");
    }

    function _leaveOf(Key memory node, bytes32 commitment) private view returns (bytes memory) {
        return _sign(node, _digest(Digests.leaveRequest(node.addr, commitment)));
    }
}
