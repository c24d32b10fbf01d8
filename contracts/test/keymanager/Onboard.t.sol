// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {BaseTest} from "../Base.t.sol";

contract OnboardTest is BaseTest {
    function setUp() public override {
        super.setUp();
        _network();
        _send(_registerOf(newcomer));
        _later(12);
    }

    function test_RecordsTheHandOverAndGivesAnHourToConfirm() public {
        OnboardCall memory call = _onboardOf(newcomer, first);
        uint16 seed = km.nodes(newcomer.addr).seed;
        _send(call);
        Node memory n = km.nodes(newcomer.addr);
        vm.assertEq(n.commitment, uint160(uint256(_handoverOf(call))), "commitment");
        vm.assertEq(uint256(n.status), uint256(Status.Onboarded), "status");
        vm.assertEq(n.attempt, 0, "attempt");
        vm.assertEq(n.epoch, 1, "epoch");
        vm.assertEq(n.until, vm.getBlockTimestamp() + 1 hours, "until");
        vm.assertEq(n.measurement, 1, "measurement");
        vm.assertEq(n.seed, seed, "seed");
        _countsAre(1, 1);
    }

    function test_TellsWhatItDid() public {
        OnboardCall memory call = _onboardOf(newcomer, first);
        vm.expectEmit(address(km));
        emit Onboarded(call.node, call.by, 1, 0, _handoverOf(call), call.ciphertext);
        _send(call);
    }

    function test_TheLastSecondOfTheHourCounts() public {
        vm.warp(km.nodes(newcomer.addr).until);
        _send(_onboardOf(newcomer, first));
        _statusIs(newcomer, Status.Onboarded);
    }

    function test_TheSameCiphertextSignedUnderANewerViewNamesTheSameHandOver() public {
        OnboardCall memory call = _onboardOf(newcomer, first);
        bytes32 before = _handoverOf(call);
        vm.roll(vm.getBlockNumber() + 200);
        (call.viewNumber, call.viewHash) = _view();
        _signOnboard(call, first);
        _send(call);
        vm.assertEq(km.nodes(newcomer.addr).commitment, uint160(uint256(before)), "H");
    }

    function test_ANodeOfAnEarlierEpochIsGivenTheCurrentOne() public {
        _setEpoch(2);
        bytes32 slot = keccak256(abi.encode(first.addr, 3));
        bytes32 member = vm.load(address(km), slot);
        vm.store(address(km), slot, member ^ bytes32(uint256(1 ^ 2) << 176));
        OnboardCall memory call = _onboardOf(newcomer, first);
        call.epoch = 2;
        _signOnboard(call, first);
        _send(call);
        vm.assertEq(km.nodes(newcomer.addr).epoch, 2, "epoch");
    }

    function test_RevertWhen_TheMemberIsUnknown() public {
        _refusesMember(second, NotActive.selector, abi.encode(second.addr, Status.None));
    }

    function test_RevertWhen_TheMemberIsPending() public {
        _send(_registerOf(second));
        _refusesMember(second, NotActive.selector, abi.encode(second.addr, Status.Pending));
    }

    function test_RevertWhen_TheMemberIsOnboarded() public {
        _send(_registerOf(second));
        _answer(second, first);
        _refusesMember(second, NotActive.selector, abi.encode(second.addr, Status.Onboarded));
    }

    function test_RevertWhen_TheMemberIsRevoked() public {
        _join(second, first);
        vm.prank(owner);
        km.revoke(second.addr, 0, "");
        _refusesMember(second, NotActive.selector, abi.encode(second.addr, Status.Revoked));
    }

    function test_RevertWhen_TheMembersLeaseIsOver() public {
        uint32 lease = km.nodes(first.addr).until;
        vm.warp(lease);
        Key memory late = _key("late");
        _send(_registerOf(late));
        OnboardCall memory inTime = _onboardOf(late, first);
        vm.warp(uint256(lease) + 1);
        _expect(abi.encodeWithSelector(LeaseOver.selector, first.addr, lease));
        _send(inTime);
        vm.warp(lease);
        _send(inTime);
        _statusIs(late, Status.Onboarded);
    }

    function test_RevertWhen_TheMembersImageWasRemoved() public {
        _allow(NEXT_IMAGE);
        Key memory late = _key("late");
        _send(_registerOf(late, NEXT_IMAGE));
        vm.prank(owner);
        km.removeMeasurement(IMAGE);
        OnboardCall memory call = _onboardOf(late, first);
        _expect(abi.encodeWithSelector(ImageNotAllowed.selector, first.addr, 1));
        _send(call);
    }

    function test_RevertWhen_TheMembersEpochIsOver() public {
        _setEpoch(2);
        OnboardCall memory call = _onboardOf(newcomer, first);
        call.epoch = 2;
        _signOnboard(call, first);
        _expect(abi.encodeWithSelector(EpochOver.selector, first.addr, 1, 2));
        _send(call);
    }

    function test_RevertWhen_TheMessageIsForAnotherEpoch() public {
        OnboardCall memory call = _onboardOf(newcomer, first);
        call.epoch = 2;
        _signOnboard(call, first);
        _expect(abi.encodeWithSelector(WrongEpoch.selector, 2, 1));
        _send(call);
        // The low 16 bits alone would pass.
        call.epoch = 65_537;
        _signOnboard(call, first);
        _expect(abi.encodeWithSelector(WrongEpoch.selector, 65_537, 1));
        _send(call);
    }

    function test_RevertWhen_ARotationIsDue() public {
        OnboardCall memory call = _onboardOf(newcomer, first);
        bytes32 head = vm.load(address(km), 0);
        vm.store(address(km), 0, head | bytes32(uint256(1) << 240));
        _expect(abi.encodeWithSelector(RotationDue.selector, 1));
        _send(call);
    }

    function test_RevertWhen_TheViewIsOfAnotherChain() public {
        OnboardCall memory call = _onboardOf(newcomer, first);
        bytes32 actual = call.viewHash;
        call.viewHash = keccak256("an invented chain");
        _signOnboard(call, first);
        _expect(
            abi.encodeWithSelector(UnknownBlock.selector, call.viewNumber, call.viewHash, actual)
        );
        _send(call);
    }

    function test_RevertWhen_TheViewIsTooOld() public {
        OnboardCall memory call = _onboardOf(newcomer, first);
        vm.roll(call.viewNumber + 257);
        _expect(abi.encodeWithSelector(UnknownBlock.selector, call.viewNumber, call.viewHash, 0));
        _send(call);
    }

    function test_RevertWhen_TheViewIsABlockToComeWithHashZero() public {
        OnboardCall memory call = _onboardOf(newcomer, first);
        (call.viewNumber, call.viewHash) = (uint64(vm.getBlockNumber()), 0);
        _signOnboard(call, first);
        _expect(abi.encodeWithSelector(UnknownBlock.selector, call.viewNumber, 0, 0));
        _send(call);
    }

    function testFuzz_RevertWhen_TheCiphertextHasAnotherSize(uint16 size) public {
        OnboardCall memory call = _onboardOf(newcomer, first);
        if (size == 1168) size = 5;
        call.ciphertext = new bytes(size);
        _signOnboard(call, first);
        _expect(abi.encodeWithSelector(CiphertextSize.selector, uint256(size), 1168));
        _send(call);
    }

    function test_RevertWhen_TheNewcomerNeverRegistered() public {
        _refuses(_onboardOf(second, first), Refusal.NotPending);
    }

    function test_RevertWhen_AnotherMemberWasFirst() public {
        _join(second, first);
        OnboardCall memory late = _onboardOf(newcomer, second);
        _send(_onboardOf(newcomer, first));
        _refuses(late, Refusal.NotPending);
    }

    function test_RevertWhen_TheNewcomersHourIsPast() public {
        vm.warp(uint256(km.nodes(newcomer.addr).until) + 1);
        _refuses(_onboardOf(newcomer, first), Refusal.TooLate);
    }

    function test_RevertWhen_TheMessageIsForAnotherAttempt() public {
        OnboardCall memory call = _onboardOf(newcomer, first);
        call.attempt = 1;
        _signOnboard(call, first);
        _refuses(call, Refusal.OtherAttempt);
    }

    function test_RevertWhen_AnAnswerToAnEarlierAttemptIsReplayed() public {
        _join(second, first);
        OnboardCall memory early = _onboardOf(newcomer, second);
        _send(_onboardOf(newcomer, first));
        _rejectBy(newcomer, first);
        _refuses(early, Refusal.OtherAttempt);
    }

    function test_RevertWhen_TheMessageIsForAnotherRegistration() public {
        OnboardCall memory call = _onboardOf(newcomer, first);
        call.commitment = keccak256("another document");
        _signOnboard(call, first);
        _refuses(call, Refusal.OtherCommitment);
    }

    function test_RevertWhen_TheNewcomersImageWasRemoved() public {
        _allow(NEXT_IMAGE);
        Key memory late = _key("late");
        _send(_registerOf(late, NEXT_IMAGE));
        vm.prank(owner);
        km.removeMeasurement(NEXT_IMAGE);
        _refuses(_onboardOf(late, first), Refusal.ImageNotAllowed);
    }

    function test_RevertWhen_TheNewcomerHasRejectedThisMember() public {
        _answer(newcomer, first);
        _rejectBy(newcomer, first);
        _refuses(_onboardOf(newcomer, first), Refusal.MemberRejected);
    }

    function test_AnotherMemberMayAnswerAfterARejection() public {
        _join(second, first);
        _answer(newcomer, first);
        _rejectBy(newcomer, first);
        _send(_onboardOf(newcomer, second));
        _statusIs(newcomer, Status.Onboarded);
    }

    function test_ARejectedMemberMayAnswerOtherNodes() public {
        _answer(newcomer, first);
        _rejectBy(newcomer, first);
        _join(second, first);
        _statusIs(second, Status.Active);
    }

    function test_RevertWhen_AnotherKeySigned() public {
        OnboardCall memory call = _onboardOf(newcomer, first);
        _signOnboard(call, newcomer);
        _expect(abi.encodeWithSelector(BadSignature.selector, first.addr, newcomer.addr));
        _send(call);
    }

    function test_RevertWhen_TheCiphertextIsNotTheSignedOne() public {
        OnboardCall memory call = _onboardOf(newcomer, first);
        call.ciphertext[7] ^= 0x01;
        try this.sendOnboard(call) {
            vm.assertTrue(false, "a swapped ciphertext passed");
        } catch (bytes memory reason) {
            vm.assertEq(bytes32(bytes4(reason)), bytes32(BadSignature.selector), "reason");
        }
    }

    function test_RevertWhen_TheSignatureIsNotExactlyOne() public {
        OnboardCall memory call = _onboardOf(newcomer, first);
        bytes[] memory variants = _malformed(call.sig);
        for (uint256 i = 0; i < variants.length; ++i) {
            call.sig = variants[i];
            _expect(abi.encodeWithSelector(BadSignature.selector, first.addr, address(0)));
            _send(call);
        }
    }

    function sendOnboard(OnboardCall memory call) external {
        _send(call);
    }

    function _refuses(OnboardCall memory call, Refusal refusal) private {
        _expect(abi.encodeWithSelector(Refused.selector, call.node, refusal));
        _send(call);
    }

    function _refusesMember(Key memory member, bytes4 error_, bytes memory arguments) private {
        OnboardCall memory call = _onboardOf(newcomer, member);
        _expect(bytes.concat(error_, arguments));
        _send(call);
    }
}
