// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Digests} from "../src/libraries/Digests.sol";
import {BaseTest} from "./Base.t.sol";

/// @notice What broke the contract that this one replaces, each attacked again.
contract RegressionsTest is BaseTest {
    function test_K1_AZeroSignatureVerifiesNothingBeforeTheNetworkStarts() public {
        vm.assertFalse(km.verify(keccak256("anything"), new bytes(65)), "verify");
        vm.assertEq(
            bytes32(km.isValidSignature(0, new bytes(65))), bytes32(bytes4(0xffffffff)), "1271"
        );
        OnboardCall memory junk = _onboardOf(newcomer, first);
        (junk.epoch, junk.by, junk.sig) = (0, address(0), new bytes(65));
        _expect(abi.encodeWithSelector(NotActive.selector, address(0), Status.None));
        _send(junk);
    }

    function test_K1_TheZeroAddressRegistersWithNoJunk() public {
        _network();
        RegisterCall memory call = _registerOf(newcomer);
        (call.node, call.sig) = (address(0), new bytes(65));
        _expect(abi.encodeWithSelector(BadSignature.selector, address(0), address(0)));
        _send(call);
    }

    function test_K2_TheOwnerCannotReplaceTheNetworksKey() public {
        _network();
        _later(365 days);
        epochKey = _key("the owner's own");
        BootstrapCall memory again = _bootstrapBy(first);
        _expect(abi.encodeWithSelector(AlreadyBootstrapped.selector, 1));
        _send(again);
        vm.assertEq(km.xPub(), _key("epoch 1").addr, "xPub");
    }

    function test_K3_AnAddressThatNeverRegisteredIsNotOnboarded() public {
        _network();
        OnboardCall memory call = _onboardOf(newcomer, first);
        _expect(abi.encodeWithSelector(Refused.selector, newcomer.addr, Refusal.NotPending));
        _send(call);
    }

    function test_K3_AnOnboardIsNotReplayedAndALateOneOverwritesNothing() public {
        _network();
        _join(second, first);
        _send(_registerOf(newcomer));
        OnboardCall memory winner = _onboardOf(newcomer, first);
        OnboardCall memory late = _onboardOf(newcomer, second);
        _send(winner);
        bytes memory refused =
            abi.encodeWithSelector(Refused.selector, newcomer.addr, Refusal.NotPending);
        _expect(refused);
        _send(winner);
        _expect(refused);
        _send(late);
        vm.assertEq(km.nodes(newcomer.addr).commitment, uint160(uint256(_handoverOf(winner))), "H");
    }

    function test_K4_ARegistrationForAnotherContractOrChainIsNotTakenHere() public {
        _network();
        RegisterCall memory call = _registerOf(newcomer);
        bytes32 commitment = _commitmentOf(call);
        bytes32 digest = _digestFor(address(0xDEAD), block.chainid, "Replicatoor TEST", commitment);
        _refusesSignature(call, _sign(newcomer, digest));
        digest = _digestFor(address(km), block.chainid + 1, "Replicatoor TEST", commitment);
        _refusesSignature(call, _sign(newcomer, digest));
        digest = _digestFor(address(km), block.chainid, "Replicatoor", commitment);
        _refusesSignature(call, _sign(newcomer, digest));
    }

    function test_K4_OneMessagesSignatureIsNotAnothers() public {
        _network();
        _send(_registerOf(newcomer));
        bytes32 handover = _answer(newcomer, first);
        bytes memory nodeSig =
            _sign(newcomer, _digest(Digests.leaveRequest(newcomer.addr, handover)));
        bytes memory epochSig = _sign(epochKey, _digest(Digests.appData(handover)));
        try km.confirm(newcomer.addr, handover, nodeSig, epochSig) {
            vm.assertTrue(false, "a Leave and an AppData passed as a Confirm");
        } catch (bytes memory reason) {
            vm.assertEq(bytes32(bytes4(reason)), bytes32(BadSignature.selector), "reason");
        }
    }

    function test_K5_MalleableShortAndLongSignaturesAreRefused() public {
        _network();
        RegisterCall memory call = _registerOf(newcomer);
        bytes[] memory variants = _malformed(call.sig);
        for (uint256 i = 0; i < variants.length; ++i) {
            call.sig = variants[i];
            _expect(abi.encodeWithSelector(BadSignature.selector, newcomer.addr, address(0)));
            _send(call);
        }
    }

    function test_K6_ARegistrationIsBoundToKeyImageBlockAndDocument() public {
        _network();
        RegisterCall memory call = _registerOf(newcomer);
        bytes32 commitment = _commitmentOf(call);
        call.encPub ^= bytes32(uint256(1));
        vm.assertTrue(_commitmentOf(call) != commitment, "encPub");
        call.encPub ^= bytes32(uint256(1));
        call.measurementId ^= bytes32(uint256(1));
        vm.assertTrue(_commitmentOf(call) != commitment, "measurementId");
        call.measurementId ^= bytes32(uint256(1));
        call.anchorHash ^= bytes32(uint256(1));
        vm.assertTrue(_commitmentOf(call) != commitment, "anchorHash");
        call.anchorHash ^= bytes32(uint256(1));
        call.documentHash ^= bytes32(uint256(1));
        vm.assertTrue(_commitmentOf(call) != commitment, "documentHash");
        call.documentHash ^= bytes32(uint256(1));
        _send(call);
        vm.assertEq(km.nodes(newcomer.addr).commitment, uint160(uint256(commitment)), "commitment");
    }

    function test_K7_TheOwnerAddsNothingWithoutNoticeAndHandsOverInTwoSteps() public {
        _network();
        vm.prank(owner);
        km.setContainer("new");
        vm.assertEq(km.container(), "", "container");
        _propose(NEXT_IMAGE);
        RegisterCall memory call = _registerOf(newcomer, NEXT_IMAGE);
        _expect(
            abi.encodeWithSelector(
                MeasurementNotAllowed.selector, NEXT_IMAGE, MeasurementState.Proposed
            )
        );
        _send(call);
        vm.prank(owner);
        km.transferOwnership(stranger);
        vm.assertEq(km.owner(), owner, "owner");
    }

    function test_K8_NodesAndImagesAreTakenOut() public {
        _network();
        _join(second, first);
        _send(_registerOf(newcomer));
        vm.prank(owner);
        km.revoke(second.addr, 0, "");
        OnboardCall memory call = _onboardOf(newcomer, second);
        _expect(abi.encodeWithSelector(NotActive.selector, second.addr, Status.Revoked));
        _send(call);
        vm.prank(owner);
        km.removeMeasurement(IMAGE);
        call = _onboardOf(newcomer, first);
        _expect(abi.encodeWithSelector(ImageNotAllowed.selector, first.addr, 1));
        _send(call);
    }

    function test_K9_AForgottenRegistrationEndsByItselfAndAnyoneClearsItsCount() public {
        _network();
        _send(_registerOf(newcomer));
        _later(1 hours + 1);
        OnboardCall memory call = _onboardOf(newcomer, first);
        _expect(abi.encodeWithSelector(Refused.selector, newcomer.addr, Refusal.TooLate));
        _send(call);
        vm.prank(stranger);
        km.expire(newcomer.addr);
        _countsAre(1, 0);
    }

    function _refusesSignature(RegisterCall memory call, bytes memory sig) private {
        call.sig = sig;
        try this.sendRegister(call) {
            vm.assertTrue(false, "a foreign signature passed");
        } catch (bytes memory reason) {
            vm.assertEq(bytes32(bytes4(reason)), bytes32(BadSignature.selector), "reason");
        }
    }

    function sendRegister(RegisterCall memory call) external {
        _send(call);
    }
}
