// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {BaseTest} from "../Base.t.sol";

contract RegisterTest is BaseTest {
    function setUp() public override {
        super.setUp();
        _network();
    }

    function test_MakesTheNodePendingForAnHour() public {
        RegisterCall memory call = _registerOf(newcomer);
        _send(call);
        Node memory n = km.nodes(newcomer.addr);
        vm.assertEq(n.commitment, uint160(uint256(_commitmentOf(call))), "commitment");
        vm.assertEq(uint256(n.status), uint256(Status.Pending), "status");
        vm.assertEq(n.attempt, 0, "attempt");
        vm.assertEq(n.epoch, 1, "epoch");
        vm.assertEq(n.until, START_TIME + 1 hours, "until");
        vm.assertEq(n.measurement, 1, "measurement");
        vm.assertEq(n.seed, uint16(uint256(keccak256("prevrandao"))), "seed");
        _countsAre(1, 1);
    }

    function test_TellsWhatItDid() public {
        RegisterCall memory call = _registerOf(newcomer);
        vm.expectEmit(address(km));
        emit Registered(
            call.node,
            call.encPub,
            call.measurementId,
            call.anchorNumber,
            call.anchorHash,
            call.documentHash,
            uint16(uint256(keccak256("prevrandao"))),
            uint32(START_TIME + 1 hours),
            call.sig
        );
        _send(call);
    }

    function test_TakesAnAnchorOf256BlocksAgo() public {
        RegisterCall memory call = _registerOf(newcomer);
        vm.roll(call.anchorNumber + 256);
        vm.setBlockhash(call.anchorNumber, call.anchorHash);
        _send(call);
        _statusIs(newcomer, Status.Pending);
    }

    function test_RevertWhen_TheNetworkHasNotStarted() public {
        super.setUp();
        RegisterCall memory call = _registerOf(newcomer);
        _expect(abi.encodeWithSelector(NotBootstrapped.selector, newcomer.addr));
        _send(call);
    }

    function test_RevertWhen_TheNodeIsPending() public {
        _send(_registerOf(newcomer));
        _refusesToRegister(newcomer, Status.Pending);
    }

    function test_RevertWhen_TheNodeIsOnboarded() public {
        _send(_registerOf(newcomer));
        _answer(newcomer, first);
        _refusesToRegister(newcomer, Status.Onboarded);
    }

    function test_RevertWhen_TheNodeIsActive() public {
        _refusesToRegister(first, Status.Active);
    }

    function test_RevertWhen_TheNodeHasExpired() public {
        _send(_registerOf(newcomer));
        _later(1 hours + 1);
        km.expire(newcomer.addr);
        _refusesToRegister(newcomer, Status.Expired);
    }

    function test_RevertWhen_TheNodeIsUnconfirmed() public {
        _send(_registerOf(newcomer));
        _answer(newcomer, first);
        _later(1 hours + 1);
        km.expire(newcomer.addr);
        _refusesToRegister(newcomer, Status.Unconfirmed);
    }

    function test_RevertWhen_TheNodeWasRevoked() public {
        _send(_registerOf(newcomer));
        vm.prank(owner);
        km.revoke(newcomer.addr, 0, "");
        _refusesToRegister(newcomer, Status.Revoked);
    }

    function test_RevertWhen_TheImageIsUnknown() public {
        _refusesImage(NEXT_IMAGE, MeasurementState.None);
    }

    function test_RevertWhen_TheImageIsProposedOnly() public {
        _propose(NEXT_IMAGE);
        _refusesImage(NEXT_IMAGE, MeasurementState.Proposed);
    }

    function test_RevertWhen_TheImageWasCancelled() public {
        _propose(NEXT_IMAGE);
        vm.prank(owner);
        km.cancelMeasurement(NEXT_IMAGE);
        _refusesImage(NEXT_IMAGE, MeasurementState.Cancelled);
    }

    function test_RevertWhen_TheImageWasRemoved() public {
        vm.prank(owner);
        km.removeMeasurement(IMAGE);
        _refusesImage(IMAGE, MeasurementState.Removed);
    }

    function test_RevertWhen_TheAnchorIsOfAnotherChain() public {
        RegisterCall memory call = _registerOf(newcomer);
        bytes32 actual = call.anchorHash;
        call.anchorHash = keccak256("another chain");
        call.sig = _sign(newcomer, _digest(_commitmentOf(call)));
        _expectUnknownBlock(call, actual);
        _send(call);
    }

    function test_RevertWhen_TheAnchorIsTooOld() public {
        RegisterCall memory call = _registerOf(newcomer);
        vm.roll(call.anchorNumber + 257);
        _expectUnknownBlock(call, 0);
        _send(call);
    }

    function test_RevertWhen_TheAnchorIsABlockToComeWithHashZero() public {
        RegisterCall memory call = _registerOf(newcomer);
        call.anchorNumber = uint64(vm.getBlockNumber() + 1);
        call.anchorHash = 0;
        call.sig = _sign(newcomer, _digest(_commitmentOf(call)));
        _expectUnknownBlock(call, 0);
        _send(call);
    }

    function test_RevertWhen_AnotherKeySigned() public {
        RegisterCall memory call = _registerOf(newcomer);
        call.sig = _sign(second, _digest(_commitmentOf(call)));
        _expect(abi.encodeWithSelector(BadSignature.selector, newcomer.addr, second.addr));
        _send(call);
    }

    function test_RevertWhen_TheNodeIsTheZeroAddress() public {
        RegisterCall memory call = _registerOf(newcomer);
        call.node = address(0);
        call.sig = new bytes(65);
        _expect(abi.encodeWithSelector(BadSignature.selector, address(0), address(0)));
        _send(call);
    }

    /// @notice A front-runner can change nothing: whichever field it touches, the signature is off.
    function testFuzz_RevertWhen_AnyFieldIsNotTheSignedOne(uint8 field, bytes32 noise) public {
        vm.assume(noise != 0);
        RegisterCall memory call = _registerOf(newcomer);
        _propose(NEXT_IMAGE);
        _later(NOTICE);
        km.activateMeasurement(NEXT_IMAGE);
        vm.setBlockhash(call.anchorNumber, call.anchorHash);
        vm.setBlockhash(call.anchorNumber - 1, noise);
        if (field % 5 == 0) call.node = address(uint160(call.node) ^ uint160(uint256(noise) | 1));
        if (field % 5 == 1) call.encPub ^= noise;
        if (field % 5 == 2) call.measurementId = NEXT_IMAGE;
        if (field % 5 == 3) (call.anchorNumber, call.anchorHash) = (call.anchorNumber - 1, noise);
        if (field % 5 == 4) call.documentHash ^= noise;
        try this.sendRegister(call) {
            vm.assertTrue(false, "a message that nobody signed passed");
        } catch (bytes memory reason) {
            vm.assertEq(bytes32(bytes4(reason)), bytes32(BadSignature.selector), "reason");
        }
    }

    function sendRegister(RegisterCall memory call) external {
        _send(call);
    }

    function _refusesToRegister(Key memory node, Status status) private {
        RegisterCall memory call = _registerOf(node);
        _expect(abi.encodeWithSelector(AlreadyRegistered.selector, node.addr, status));
        _send(call);
    }

    function _refusesImage(bytes32 id, MeasurementState state) private {
        RegisterCall memory call = _registerOf(newcomer, id);
        _expect(abi.encodeWithSelector(MeasurementNotAllowed.selector, id, state));
        _send(call);
    }

    function _expectUnknownBlock(RegisterCall memory call, bytes32 actual) private {
        _expect(
            abi.encodeWithSelector(
                UnknownBlock.selector, call.anchorNumber, call.anchorHash, actual
            )
        );
    }
}
