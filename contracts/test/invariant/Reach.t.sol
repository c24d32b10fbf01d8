// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IKeyManagerTypes} from "../../src/interfaces/IKeyManager.sol";
import {KeyManagerUnderTest} from "../KeyManagerUnderTest.sol";
import {Vm} from "../Vm.sol";
import {Actors} from "./Actors.sol";

/// @notice The invariants say something only if the actors' steps lead everywhere: here they do.
contract ReachTest is IKeyManagerTypes {
    Vm private constant vm = Vm(address(uint160(uint256(keccak256("hevm cheat code")))));

    Actors private actors;
    KeyManagerUnderTest private km;

    function setUp() public {
        actors = new Actors();
        km = actors.target();
    }

    function test_AJoinLeadsToActive() public {
        _join(1, 0);
        _is(1, Status.Active);
    }

    function test_ABatchLeadsToActive() public {
        actors.register(1, 0);
        actors.register(2, 0);
        actors.onboardBatch(1, 0);
        _is(2, Status.Onboarded);
        actors.confirmBatch(1);
        _is(1, Status.Active);
        _is(2, Status.Active);
    }

    function test_EightRejectionsLeadToFailed() public {
        for (uint256 i = 1; i < 8; ++i) {
            _join(i, 0);
        }
        actors.register(8, 0);
        for (uint256 i = 0; i < 8; ++i) {
            _is(8, Status.Pending);
            actors.onboard(8, i);
            actors.reject(8);
        }
        _is(8, Status.Failed);
    }

    function test_TimeLeadsToExpiredAndUnconfirmed() public {
        _join(1, 0);
        actors.register(2, 0);
        actors.register(3, 0);
        actors.onboard(3, 0);
        actors.wait(3);
        actors.expire(2);
        actors.expire(3);
        _is(2, Status.Expired);
        _is(3, Status.Unconfirmed);
        for (uint256 i = 0; i < 5; ++i) {
            actors.wait(5);
        }
        actors.renew(0);
        actors.expire(1);
        _is(1, Status.Expired);
    }

    function test_TheOwnerAndTheNodeItselfLeadToRevoked() public {
        _join(1, 0);
        _join(2, 0);
        actors.revoke(1, false);
        actors.revoke(2, true);
        _is(1, Status.Revoked);
        _is(2, Status.Revoked);
    }

    function test_ANewImageIsAllowedAndUsedAndRemoved() public {
        actors.govern(1, 1);
        actors.wait(5);
        actors.govern(1, 1);
        actors.renew(0);
        actors.register(1, 1);
        actors.onboard(1, 0);
        _is(1, Status.Onboarded);
        actors.govern(1, 16);
        actors.register(2, 1);
        _is(2, Status.None);
    }

    function _join(uint256 node, uint256 by) private {
        actors.register(node, 0);
        actors.onboard(node, by);
        actors.confirm(node);
    }

    function _is(uint256 node, Status expected) private view {
        Status status = km.nodes(actors.nodeAt(node)).status;
        vm.assertEq(uint256(status), uint256(expected), "status");
    }
}
