// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {BaseTest} from "../Base.t.sol";

contract RejectTest is BaseTest {
    function setUp() public override {
        super.setUp();
        _network();
        _send(_registerOf(newcomer));
        _answer(newcomer, first);
        _later(600);
    }

    function test_PutsTheRegistrationBackForAnotherHourAndAttempt() public {
        uint16 seed = km.nodes(newcomer.addr).seed;
        _rejectBy(newcomer, first);
        Node memory n = km.nodes(newcomer.addr);
        vm.assertEq(n.commitment, uint160(uint256(commitments[newcomer.addr])), "commitment");
        vm.assertEq(uint256(n.status), uint256(Status.Pending), "status");
        vm.assertEq(n.attempt, 1, "attempt");
        vm.assertEq(n.epoch, 1, "epoch");
        vm.assertEq(n.until, vm.getBlockTimestamp() + 1 hours, "until");
        vm.assertEq(n.measurement, 1, "measurement");
        vm.assertEq(n.seed, seed, "seed");
        _countsAre(1, 1);
    }

    function test_TellsWhatItDid() public {
        vm.expectEmit(address(km));
        emit Rejected(newcomer.addr, first.addr, 0, 3);
        _rejectBy(newcomer, first);
    }

    function test_TheLastSecondOfTheHourCounts() public {
        vm.warp(km.nodes(newcomer.addr).until);
        _rejectBy(newcomer, first);
        _statusIs(newcomer, Status.Pending);
    }

    function test_TheEighthRejectionIsTheLast() public {
        Key[] memory members = new Key[](8);
        members[0] = first;
        for (uint256 i = 1; i < 8; ++i) {
            members[i] = _key(string(abi.encodePacked("member ", bytes1(uint8(48 + i)))));
            _join(members[i], first);
        }
        for (uint256 i = 0; i < 7; ++i) {
            _rejectBy(newcomer, members[i]);
            _statusIs(newcomer, Status.Pending);
            _answer(newcomer, members[i + 1]);
        }
        vm.expectEmit(address(km));
        emit Rejected(newcomer.addr, members[7].addr, 7, 3);
        vm.expectEmit(address(km));
        emit Failed(newcomer.addr);
        _rejectBy(newcomer, members[7]);
        _statusIs(newcomer, Status.Failed);
        vm.assertEq(km.nodes(newcomer.addr).attempt, 8, "attempt");
        vm.assertEq(km.statusOf(newcomer.addr), "Failed", "statusOf");
        _countsAre(8, 0);
    }

    function test_RevertWhen_ThereIsNoHandOver() public {
        _rejectBy(newcomer, first);
        RejectCall memory call = _rejectOf(newcomer, first);
        _expect(abi.encodeWithSelector(WrongStatus.selector, newcomer.addr, Status.Pending));
        _send(call);
    }

    function test_RevertWhen_TheHandOverWasConfirmed() public {
        _join(second, first);
        RejectCall memory call = _rejectOf(second, first);
        _expect(abi.encodeWithSelector(WrongStatus.selector, second.addr, Status.Active));
        _send(call);
    }

    function test_RevertWhen_TheHourIsPast() public {
        uint32 until = km.nodes(newcomer.addr).until;
        vm.warp(uint256(until) + 1);
        RejectCall memory call = _rejectOf(newcomer, first);
        _expect(abi.encodeWithSelector(TooLate.selector, newcomer.addr, until));
        _send(call);
    }

    function test_RevertWhen_TheViewIsOfAnotherChain() public {
        RejectCall memory call = _rejectOf(newcomer, first);
        bytes32 actual = call.viewHash;
        call.viewHash = keccak256("an invented chain");
        _signReject(call, newcomer);
        _expect(
            abi.encodeWithSelector(UnknownBlock.selector, call.viewNumber, call.viewHash, actual)
        );
        _send(call);
    }

    function test_RevertWhen_AnotherMemberIsNamed() public {
        RejectCall memory call = _rejectOf(newcomer, first);
        call.by = second.addr;
        _signReject(call, newcomer);
        _refusesHandover(call);
    }

    function test_RevertWhen_AnotherCiphertextIsNamed() public {
        RejectCall memory call = _rejectOf(newcomer, first);
        call.ciphertextHash = keccak256("another");
        _signReject(call, newcomer);
        _refusesHandover(call);
    }

    /// @notice Otherwise a node could put another document behind a registration that was checked.
    function test_RevertWhen_AnotherCommitmentIsPutBack() public {
        RejectCall memory call = _rejectOf(newcomer, first);
        call.commitment = keccak256("another document");
        _signReject(call, newcomer);
        _refusesHandover(call);
    }

    function test_RevertWhen_TheMemberSignsInsteadOfTheNode() public {
        RejectCall memory call = _rejectOf(newcomer, first);
        _signReject(call, first);
        _expect(abi.encodeWithSelector(BadSignature.selector, newcomer.addr, first.addr));
        _send(call);
    }

    function test_RevertWhen_TheReasonIsNotTheSignedOne() public {
        RejectCall memory call = _rejectOf(newcomer, first);
        call.reason += 1;
        try this.sendReject(call) {
            vm.assertTrue(false, "a changed reason passed");
        } catch (bytes memory reason) {
            vm.assertEq(bytes32(bytes4(reason)), bytes32(BadSignature.selector), "reason");
        }
    }

    function test_RevertWhen_TheSignatureIsNotExactlyOne() public {
        RejectCall memory call = _rejectOf(newcomer, first);
        bytes[] memory variants = _malformed(call.sig);
        for (uint256 i = 0; i < variants.length; ++i) {
            call.sig = variants[i];
            _expect(abi.encodeWithSelector(BadSignature.selector, newcomer.addr, address(0)));
            _send(call);
        }
    }

    function sendReject(RejectCall memory call) external {
        _send(call);
    }

    function _refusesHandover(RejectCall memory call) private {
        bytes32 handover = _handoverIdOf(call);
        _expect(abi.encodeWithSelector(WrongHandover.selector, newcomer.addr, handover));
        _send(call);
    }
}
