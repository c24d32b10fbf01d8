// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";

import {BaseTest} from "../Base.t.sol";

contract MeasurementsTest is BaseTest {
    uint256 private constant SLOT_ALLOWED = 6;
    uint256 private constant SLOT_COUNTS = 9;

    function test_BeforeTheNetworkStartsAnImageIsAllowedAtOnceAndMarkedGenesis() public {
        vm.expectEmit(address(km));
        emit MeasurementProposed(IMAGE, 1, IMAGE_HASH, uint40(START_TIME), true);
        vm.expectEmit(address(km));
        emit MeasurementActivated(IMAGE, 1);
        _propose(IMAGE);
        _is(IMAGE, 1, MeasurementState.Allowed, true, START_TIME, 0);
        vm.assertEq(_bits(0), 1 << 1, "bitmap");
    }

    function test_AfterwardsAnImageWaitsForItsNotice() public {
        _network();
        vm.expectEmit(address(km));
        emit MeasurementProposed(NEXT_IMAGE, 2, IMAGE_HASH, uint40(START_TIME + NOTICE), false);
        _propose(NEXT_IMAGE);
        _is(NEXT_IMAGE, 2, MeasurementState.Proposed, false, START_TIME + NOTICE, 0);
        vm.assertEq(_bits(0), 1 << 1, "bitmap");
    }

    function test_AnyoneMayActivateOnceTheNoticeIsOver() public {
        _network();
        _propose(NEXT_IMAGE);
        vm.warp(START_TIME + NOTICE);
        vm.expectEmit(address(km));
        emit MeasurementActivated(NEXT_IMAGE, 2);
        vm.prank(stranger);
        km.activateMeasurement(NEXT_IMAGE);
        _is(NEXT_IMAGE, 2, MeasurementState.Allowed, false, START_TIME + NOTICE, 0);
        vm.assertEq(_bits(0), (1 << 1) | (1 << 2), "bitmap");
    }

    function test_TheOwnerMayCancelAndProposeAgainWithFullNotice() public {
        _network();
        _propose(NEXT_IMAGE);
        vm.expectEmit(address(km));
        emit MeasurementCancelled(NEXT_IMAGE, 2);
        vm.prank(owner);
        km.cancelMeasurement(NEXT_IMAGE);
        _is(NEXT_IMAGE, 2, MeasurementState.Cancelled, false, START_TIME + NOTICE, 0);
        _later(1 days);
        _propose(NEXT_IMAGE);
        uint256 from = START_TIME + 1 days + NOTICE;
        _is(NEXT_IMAGE, 2, MeasurementState.Proposed, false, from, 0);
    }

    function test_TheOwnerMayRemoveAtOnceAndTheGenesisMarkStays() public {
        _network();
        _later(100);
        vm.expectEmit(address(km));
        emit MeasurementRemoved(IMAGE, 1);
        vm.prank(owner);
        km.removeMeasurement(IMAGE);
        _is(IMAGE, 1, MeasurementState.Removed, true, START_TIME, START_TIME + 100);
        vm.assertEq(_bits(0), 0, "bitmap");
        vm.assertFalse(km.isMember(first.addr), "member");
    }

    function test_TheBitmapGoesOnInItsNextWord() public {
        _network();
        bytes32 counts = vm.load(address(km), bytes32(SLOT_COUNTS));
        bytes32 cleared = counts & ~bytes32(uint256(0xffff) << 64);
        vm.store(address(km), bytes32(SLOT_COUNTS), cleared | bytes32(uint256(255) << 64));
        _allow(NEXT_IMAGE);
        _is(NEXT_IMAGE, 256, MeasurementState.Allowed, false, START_TIME + NOTICE, 0);
        vm.assertEq(_bits(0), 1 << 1, "word 0");
        vm.assertEq(_bits(1), 1, "word 1");
        _send(_registerOf(newcomer, NEXT_IMAGE));
        _renewBy(first);
        _answer(newcomer, first);
        _statusIs(newcomer, Status.Onboarded);
    }

    function test_IndexZeroIsNobodys() public view {
        vm.assertEq(km.measurements(keccak256("unknown")).index, 0, "index");
    }

    function test_RevertWhen_TheIdIsZero() public {
        _expect(abi.encodeWithSelector(ZeroArgument.selector, bytes32("id")));
        _propose(0);
    }

    function test_RevertWhen_AProposedImageIsProposed() public {
        _network();
        _propose(NEXT_IMAGE);
        _expectState(NEXT_IMAGE, MeasurementState.Proposed);
        _propose(NEXT_IMAGE);
    }

    function test_RevertWhen_AnAllowedImageIsProposed() public {
        _propose(IMAGE);
        _expectState(IMAGE, MeasurementState.Allowed);
        _propose(IMAGE);
    }

    function test_RevertWhen_ARemovedImageIsProposed() public {
        _network();
        vm.prank(owner);
        km.removeMeasurement(IMAGE);
        _expectState(IMAGE, MeasurementState.Removed);
        _propose(IMAGE);
    }

    function test_RevertWhen_ANinthImageIsProposedBeforeTheNetworkStarts() public {
        for (uint256 i = 1; i <= 8; ++i) {
            _propose(bytes32(i));
        }
        _expect(abi.encodeWithSelector(TooManyMeasurements.selector, 8));
        _propose(bytes32(uint256(9)));
    }

    function test_RevertWhen_RemovalMakesRoomForANinthImage() public {
        for (uint256 i = 1; i <= 8; ++i) {
            _propose(bytes32(i));
        }
        vm.prank(owner);
        km.removeMeasurement(bytes32(uint256(1)));
        _expect(abi.encodeWithSelector(TooManyMeasurements.selector, 8));
        _propose(bytes32(uint256(9)));
    }

    function test_RevertWhen_TheIndexesAreUsedUp() public {
        _network();
        bytes32 counts = vm.load(address(km), bytes32(SLOT_COUNTS));
        vm.store(address(km), bytes32(SLOT_COUNTS), counts | bytes32(uint256(0xffff) << 64));
        _expect(abi.encodeWithSelector(TooManyMeasurements.selector, 65_535));
        _propose(NEXT_IMAGE);
    }

    function test_RevertWhen_TheNoticeRuns() public {
        _network();
        _propose(NEXT_IMAGE);
        vm.warp(START_TIME + NOTICE - 1);
        _expect(abi.encodeWithSelector(NoticeRunning.selector, NEXT_IMAGE, START_TIME + NOTICE));
        vm.prank(owner);
        km.activateMeasurement(NEXT_IMAGE);
    }

    function test_RevertWhen_AnImageThatIsNotProposedIsActivated() public {
        _expectState(NEXT_IMAGE, MeasurementState.None);
        km.activateMeasurement(NEXT_IMAGE);
        _network();
        _expectState(IMAGE, MeasurementState.Allowed);
        km.activateMeasurement(IMAGE);
        _propose(NEXT_IMAGE);
        vm.prank(owner);
        km.cancelMeasurement(NEXT_IMAGE);
        _later(NOTICE);
        _expectState(NEXT_IMAGE, MeasurementState.Cancelled);
        km.activateMeasurement(NEXT_IMAGE);
        vm.prank(owner);
        km.removeMeasurement(IMAGE);
        _expectState(IMAGE, MeasurementState.Removed);
        km.activateMeasurement(IMAGE);
    }

    function test_RevertWhen_AnImageThatIsNotProposedIsCancelled() public {
        _propose(IMAGE);
        _expectState(IMAGE, MeasurementState.Allowed);
        vm.prank(owner);
        km.cancelMeasurement(IMAGE);
    }

    function test_RevertWhen_AnImageThatIsNotAllowedIsRemoved() public {
        _network();
        _propose(NEXT_IMAGE);
        _expectState(NEXT_IMAGE, MeasurementState.Proposed);
        vm.prank(owner);
        km.removeMeasurement(NEXT_IMAGE);
    }

    function test_RevertWhen_AnyoneElseProposesCancelsOrRemoves() public {
        bytes memory unauthorized =
            abi.encodeWithSelector(Ownable.OwnableUnauthorizedAccount.selector, address(stranger));
        _expect(unauthorized);
        vm.prank(stranger);
        km.proposeMeasurement(IMAGE, IMAGE_HASH);
        _expect(unauthorized);
        vm.prank(stranger);
        km.cancelMeasurement(IMAGE);
        _expect(unauthorized);
        vm.prank(stranger);
        km.removeMeasurement(IMAGE);
    }

    function _is(
        bytes32 id,
        uint16 index,
        MeasurementState state,
        bool genesis,
        uint256 activeFrom,
        uint256 removedAt
    ) private view {
        Measurement memory m = km.measurements(id);
        vm.assertEq(m.index, index, "index");
        vm.assertEq(uint256(m.state), uint256(state), "state");
        vm.assertEq(m.genesis, genesis, "genesis");
        vm.assertEq(m.activeFrom, activeFrom, "activeFrom");
        vm.assertEq(m.removedAt, removedAt, "removedAt");
    }

    function _bits(uint256 word) private view returns (uint256) {
        return uint256(vm.load(address(km), keccak256(abi.encode(word, SLOT_ALLOWED))));
    }

    function _expectState(bytes32 id, MeasurementState state) private {
        _expect(abi.encodeWithSelector(WrongMeasurementState.selector, id, state));
    }
}
