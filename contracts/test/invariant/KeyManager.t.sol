// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IKeyManagerTypes} from "../../src/interfaces/IKeyManager.sol";
import {KeyManagerUnderTest} from "../KeyManagerUnderTest.sol";
import {Vm} from "../Vm.sol";
import {Actors} from "./Actors.sol";

/// @notice What holds after any sequence of legal steps of all actors.
contract KeyManagerInvariants is IKeyManagerTypes {
    Vm private constant vm = Vm(address(uint160(uint256(keccak256("hevm cheat code")))));

    Actors private actors;
    KeyManagerUnderTest private km;

    struct FuzzSelector {
        address addr;
        bytes4[] selectors;
    }

    function setUp() public {
        actors = new Actors();
        km = actors.target();
    }

    /// @dev The runner asks for these: only the actors' steps are called.
    function targetContracts() external view returns (address[] memory targets) {
        targets = new address[](1);
        targets[0] = address(actors);
    }

    function targetSelectors() external view returns (FuzzSelector[] memory targets) {
        bytes4[12] memory steps = [
            Actors.register.selector,
            Actors.register.selector,
            Actors.onboard.selector,
            Actors.onboardBatch.selector,
            Actors.confirm.selector,
            Actors.confirmBatch.selector,
            Actors.reject.selector,
            Actors.renew.selector,
            Actors.revoke.selector,
            Actors.expire.selector,
            Actors.govern.selector,
            Actors.wait.selector
        ];
        bytes4[] memory selectors = new bytes4[](13);
        for (uint256 i = 0; i < 12; ++i) {
            selectors[i] = steps[i];
        }
        selectors[12] = Actors.attack.selector;
        targets = new FuzzSelector[](1);
        targets[0] = FuzzSelector(address(actors), selectors);
    }

    function invariant_EveryStatusChangeIsInTheTable() public view {
        vm.assertFalse(actors.illegalTransition(), "an illegal change of status");
    }

    function invariant_ATerminalStatusIsNeverCleared() public view {
        vm.assertFalse(actors.terminalCleared(), "a terminal status was cleared");
    }

    function invariant_TheCountsAreThoseOfTheNodes() public view {
        uint256 members = 0;
        uint256 pending = 0;
        for (uint256 i = 0; i < actors.nodeCount(); ++i) {
            Status status = km.nodes(actors.nodeAt(i)).status;
            if (status == Status.Active) ++members;
            if (status == Status.Pending || status == Status.Onboarded) ++pending;
        }
        vm.assertEq(km.memberCount(), members, "memberCount");
        vm.assertEq(km.pendingCount(), pending, "pendingCount");
    }

    function invariant_ANodeRegistersAtMostOnce() public view {
        for (uint256 i = 0; i < actors.nodeCount(); ++i) {
            vm.assertTrue(actors.registrations(actors.nodeAt(i)) <= 1, "registered twice");
        }
    }

    function invariant_AnAttemptHasAtMostOneHandOver() public view {
        for (uint256 i = 0; i < actors.nodeCount(); ++i) {
            for (uint8 attempt = 0; attempt < 8; ++attempt) {
                uint256 count = actors.handovers(actors.nodeAt(i), attempt);
                vm.assertTrue(count <= 1, "two hand-overs for one attempt");
            }
        }
    }

    function invariant_OnlyActiveMembersHandOver() public view {
        vm.assertFalse(actors.onboardedByOutsider(), "an outsider handed over");
        vm.assertFalse(actors.onboardedByBanned(), "a rejected member answered again");
    }

    function invariant_OnlyAllowedImagesBecomeOnboarded() public view {
        vm.assertFalse(actors.onboardedForbiddenImage(), "a forbidden image");
    }

    function invariant_TheGenesisMarkNeitherComesNorGoes() public view {
        vm.assertFalse(actors.genesisMarkLost(), "the genesis mark changed");
    }

    function invariant_NoAttackPasses() public view {
        vm.assertFalse(actors.attackPassed(), "an attack passed");
    }

    function invariant_TheNetworksKeyAndGenesisStay() public view {
        vm.assertEq(km.epoch(), 1, "epoch");
        vm.assertEq(km.genesisNode(), actors.nodeAt(0), "genesisNode");
        (address xPub,,) = km.epochs(1);
        vm.assertEq(km.xPub(), xPub, "xPub");
    }
}
