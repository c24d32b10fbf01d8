// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Digests} from "../../src/libraries/Digests.sol";
import {BaseTest} from "../Base.t.sol";

contract ConfirmTest is BaseTest {
    bytes32 private handover;
    bytes private nodeSig;
    bytes private epochSig;

    function setUp() public override {
        super.setUp();
        _network();
        _send(_registerOf(newcomer));
        handover = _answer(newcomer, first);
        bytes32 digest = _digest(Digests.confirm(newcomer.addr, handover));
        nodeSig = _sign(newcomer, digest);
        epochSig = _sign(epochKey, digest);
    }

    function test_MakesTheNodeActiveForAWeek() public {
        uint16 seed = km.nodes(newcomer.addr).seed;
        _later(60);
        _confirm();
        Node memory n = km.nodes(newcomer.addr);
        vm.assertEq(uint256(n.status), uint256(Status.Active), "status");
        vm.assertEq(n.until, vm.getBlockTimestamp() + 7 days, "until");
        vm.assertEq(n.commitment, uint160(uint256(handover)), "commitment");
        vm.assertEq(n.epoch, 1, "epoch");
        vm.assertEq(n.measurement, 1, "measurement");
        vm.assertEq(n.seed, seed, "seed");
        vm.assertTrue(km.isMember(newcomer.addr), "member");
        _countsAre(2, 0);
    }

    function test_TellsWhatItDid() public {
        vm.expectEmit(address(km));
        emit Confirmed(newcomer.addr, handover, uint32(vm.getBlockTimestamp() + 7 days));
        _confirm();
    }

    function test_TheLastSecondOfTheHourCounts() public {
        vm.warp(km.nodes(newcomer.addr).until);
        _confirm();
        _statusIs(newcomer, Status.Active);
    }

    function test_ARemovedImageDoesNotHideAHandOverThatWasMade() public {
        vm.prank(owner);
        km.removeMeasurement(IMAGE);
        _confirm();
        _statusIs(newcomer, Status.Active);
        vm.assertFalse(km.isMember(newcomer.addr), "member");
    }

    function test_RevertWhen_ThereIsNoHandOver() public {
        _refuses(second, handover, Refusal.NotOnboarded);
        _send(_registerOf(second));
        _refuses(second, handover, Refusal.NotOnboarded);
    }

    function test_RevertWhen_ItIsConfirmedAgain() public {
        _confirm();
        _refuses(newcomer, handover, Refusal.NotOnboarded);
    }

    function test_RevertWhen_TheHandOverWasRejected() public {
        _rejectBy(newcomer, first);
        _refuses(newcomer, handover, Refusal.NotOnboarded);
    }

    function test_RevertWhen_TheEpochIsOver() public {
        _setEpoch(2);
        _refuses(newcomer, handover, Refusal.OtherEpoch);
    }

    function test_RevertWhen_TheHourIsPast() public {
        vm.warp(uint256(km.nodes(newcomer.addr).until) + 1);
        _refuses(newcomer, handover, Refusal.TooLate);
    }

    function test_RevertWhen_TheHandOverIsAnotherOne() public {
        _refuses(newcomer, keccak256("another"), Refusal.OtherHandover);
    }

    function test_RevertWhen_TheNodeDidNotSign() public {
        _expect(abi.encodeWithSelector(BadSignature.selector, newcomer.addr, epochKey.addr));
        km.confirm(newcomer.addr, handover, epochSig, epochSig);
    }

    function test_RevertWhen_TheEpochKeyDidNotSign() public {
        _expect(abi.encodeWithSelector(BadSignature.selector, epochKey.addr, newcomer.addr));
        km.confirm(newcomer.addr, handover, nodeSig, nodeSig);
    }

    function test_RevertWhen_ASignatureIsNotExactlyOne() public {
        bytes[] memory variants = _malformed(nodeSig);
        for (uint256 i = 0; i < variants.length; ++i) {
            _expect(abi.encodeWithSelector(BadSignature.selector, newcomer.addr, address(0)));
            km.confirm(newcomer.addr, handover, variants[i], epochSig);
        }
        variants = _malformed(epochSig);
        for (uint256 i = 0; i < variants.length; ++i) {
            _expect(abi.encodeWithSelector(BadSignature.selector, epochKey.addr, address(0)));
            km.confirm(newcomer.addr, handover, nodeSig, variants[i]);
        }
    }

    function _confirm() private {
        vm.prank(stranger);
        km.confirm(newcomer.addr, handover, nodeSig, epochSig);
    }

    function _refuses(Key memory node, bytes32 h, Refusal refusal) private {
        _expect(abi.encodeWithSelector(Refused.selector, node.addr, refusal));
        km.confirm(node.addr, h, nodeSig, epochSig);
    }
}
