// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Digests} from "../../src/libraries/Digests.sol";
import {BaseTest} from "../Base.t.sol";

contract OnboardBatchTest is BaseTest {
    Key[] private nodes;
    OnboardItem[] private items;

    function setUp() public override {
        super.setUp();
        _network();
        for (uint256 i = 0; i < 3; ++i) {
            nodes.push(_key(string(abi.encodePacked("node ", bytes1(uint8(48 + i))))));
            _send(_registerOf(nodes[i]));
        }
        for (uint256 i = 0; i < 3; ++i) {
            items.push(_itemOf(_onboardOf(nodes[i], first)));
        }
    }

    function test_OnboardsEveryNewcomerUnderOneSignature() public {
        _sendBatch(items, first);
        for (uint256 i = 0; i < 3; ++i) {
            bytes32 handover = _handoverOf(_callOf(items[i]));
            Node memory n = km.nodes(nodes[i].addr);
            vm.assertEq(uint256(n.status), uint256(Status.Onboarded), "status");
            vm.assertEq(n.commitment, uint160(uint256(handover)), "H");
        }
        _countsAre(1, 3);
    }

    function test_TellsOfEachHandOver() public {
        for (uint256 i = 0; i < 3; ++i) {
            OnboardCall memory call = _callOf(items[i]);
            vm.expectEmit(address(km));
            emit Onboarded(call.node, first.addr, 1, 0, _handoverOf(call), call.ciphertext);
        }
        _sendBatch(items, first);
    }

    function test_AnEntryThatNoLongerAppliesIsSkippedAndTheOthersPass() public {
        vm.prank(owner);
        km.revoke(nodes[1].addr, 0, "");
        vm.expectEmit(address(km));
        emit Skipped(nodes[1].addr, first.addr, Refusal.NotPending);
        _sendBatch(items, first);
        _statusIs(nodes[0], Status.Onboarded);
        _statusIs(nodes[1], Status.Revoked);
        _statusIs(nodes[2], Status.Onboarded);
    }

    function test_EachReasonToSkipHasItsCode() public {
        _answer(nodes[2], first);
        _rejectBy(nodes[2], first);
        items[0].attempt = 1;
        items[1].commitment = keccak256("another");
        items[2].attempt = 1;
        _expectSkip(0, Refusal.OtherAttempt);
        _expectSkip(1, Refusal.OtherCommitment);
        _expectSkip(2, Refusal.MemberRejected);
        _sendBatch(items, first);
    }

    function test_EntriesWhoseHourIsPastAreSkipped() public {
        _later(1 hours + 1);
        for (uint256 i = 0; i < 3; ++i) {
            _expectSkip(i, Refusal.TooLate);
        }
        _sendBatch(items, first);
        _countsAre(1, 3);
    }

    function test_EntriesOfARemovedImageAreSkipped() public {
        _allow(NEXT_IMAGE);
        Key memory late = _key("late");
        _send(_registerOf(late, NEXT_IMAGE));
        vm.prank(owner);
        km.removeMeasurement(NEXT_IMAGE);
        OnboardItem[] memory one = new OnboardItem[](1);
        one[0] = _itemOf(_onboardOf(late, first));
        vm.expectEmit(address(km));
        emit Skipped(late.addr, first.addr, Refusal.ImageNotAllowed);
        _sendBatch(one, first);
    }

    function test_ANodeThatIsNamedTwiceIsOnboardedOnce() public {
        items[1] = items[0];
        bytes32 handover = _handoverOf(_callOf(items[0]));
        _expectSkip(1, Refusal.NotPending);
        _sendBatch(items, first);
        vm.assertEq(km.nodes(nodes[0].addr).commitment, uint160(uint256(handover)), "H");
    }

    function test_TakesUpTo64Entries() public {
        OnboardItem[] memory many = new OnboardItem[](64);
        for (uint256 i = 0; i < 64; ++i) {
            many[i] = items[0];
            many[i].ciphertext = new bytes(1168);
        }
        _sendBatch(many, first);
        _statusIs(nodes[0], Status.Onboarded);
    }

    function test_RevertWhen_ThereAreMoreThan64Entries() public {
        OnboardItem[] memory many = new OnboardItem[](65);
        _expect(abi.encodeWithSelector(BatchSize.selector, 65, 64));
        _sendBatch(many, first);
    }

    function test_RevertWhen_ThereIsNoEntry() public {
        _expect(abi.encodeWithSelector(BatchSize.selector, 0, 64));
        _sendBatch(new OnboardItem[](0), first);
    }

    function test_RevertWhen_TheMemberIsNotActive() public {
        _expect(abi.encodeWithSelector(NotActive.selector, second.addr, Status.None));
        _sendBatch(items, second);
    }

    function test_RevertWhen_TheMembersLeaseIsOver() public {
        uint32 lease = km.nodes(first.addr).until;
        vm.warp(uint256(lease) + 1);
        _expect(abi.encodeWithSelector(LeaseOver.selector, first.addr, lease));
        _sendBatch(items, first);
    }

    function test_RevertWhen_TheMembersImageWasRemoved() public {
        vm.prank(owner);
        km.removeMeasurement(IMAGE);
        _expect(abi.encodeWithSelector(ImageNotAllowed.selector, first.addr, 1));
        _sendBatch(items, first);
    }

    function test_RevertWhen_ARotationIsDue() public {
        bytes32 head = vm.load(address(km), 0);
        vm.store(address(km), 0, head | bytes32(uint256(1) << 240));
        _expect(abi.encodeWithSelector(RotationDue.selector, 1));
        _sendBatch(items, first);
    }

    function test_RevertWhen_TheMembersEpochIsOver() public {
        _setEpoch(2);
        (uint64 number, bytes32 hash) = _view();
        _expect(abi.encodeWithSelector(EpochOver.selector, first.addr, 1, 2));
        km.onboardBatch(first.addr, 2, number, hash, items, "");
    }

    function test_RevertWhen_TheMessageIsForAnotherEpoch() public {
        (uint64 number, bytes32 hash) = _view();
        _expect(abi.encodeWithSelector(WrongEpoch.selector, 2, 1));
        km.onboardBatch(first.addr, 2, number, hash, items, "");
    }

    function test_RevertWhen_TheViewIsOfAnotherChain() public {
        (uint64 number, bytes32 hash) = _view();
        bytes32 invented = keccak256("an invented chain");
        _expect(abi.encodeWithSelector(UnknownBlock.selector, number, invented, hash));
        km.onboardBatch(first.addr, 1, number, invented, items, "");
    }

    function test_RevertWhen_AnyEntryIsNotTheSignedOne() public {
        (uint64 number, bytes32 hash) = _view();
        bytes memory sig = _signatureOf(items, first, number, hash);
        items[2].ciphertext[0] ^= 0x01;
        try this.sendBatch(number, hash, sig) {
            vm.assertTrue(false, "a swapped ciphertext passed");
        } catch (bytes memory reason) {
            vm.assertEq(bytes32(bytes4(reason)), bytes32(BadSignature.selector), "reason");
        }
    }

    function test_RevertWhen_TheSignatureIsNotExactlyOne() public {
        (uint64 number, bytes32 hash) = _view();
        bytes[] memory variants = _malformed(_signatureOf(items, first, number, hash));
        for (uint256 i = 0; i < variants.length; ++i) {
            _expect(abi.encodeWithSelector(BadSignature.selector, first.addr, address(0)));
            km.onboardBatch(first.addr, 1, number, hash, items, variants[i]);
        }
    }

    function sendBatch(uint64 number, bytes32 hash, bytes calldata sig) external {
        km.onboardBatch(first.addr, 1, number, hash, items, sig);
    }

    function _expectSkip(uint256 index, Refusal refusal) private {
        vm.expectEmit(address(km));
        emit Skipped(items[index].node, first.addr, refusal);
    }

    function _sendBatch(OnboardItem[] memory batch, Key memory by) private {
        (uint64 number, bytes32 hash) = _view();
        bytes memory sig = _signatureOf(batch, by, number, hash);
        vm.prank(stranger);
        km.onboardBatch(by.addr, 1, number, hash, batch, sig);
    }

    function _signatureOf(OnboardItem[] memory batch, Key memory by, uint64 number, bytes32 hash)
        private
        view
        returns (bytes memory)
    {
        bytes32[] memory entries = new bytes32[](batch.length);
        for (uint256 i = 0; i < batch.length; ++i) {
            entries[i] = Digests.onboardEntry(
                batch[i].node, batch[i].attempt, batch[i].commitment, keccak256(batch[i].ciphertext)
            );
        }
        return _sign(by, _digest(Digests.onboardBatch(by.addr, 1, number, hash, entries)));
    }

    function _itemOf(OnboardCall memory call) private pure returns (OnboardItem memory) {
        return OnboardItem(call.node, call.attempt, call.commitment, call.ciphertext);
    }

    function _callOf(OnboardItem memory item) private view returns (OnboardCall memory call) {
        call.node = item.node;
        call.by = first.addr;
        call.epoch = 1;
        call.attempt = item.attempt;
        call.commitment = item.commitment;
        call.ciphertext = item.ciphertext;
    }
}
