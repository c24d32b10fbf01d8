// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";

import {BaseTest} from "../Base.t.sol";

contract OwnershipTest is BaseTest {
    address private heir = address(0xEE);

    function test_IsTransferredInTwoSteps() public {
        vm.prank(owner);
        km.transferOwnership(heir);
        vm.assertEq(km.owner(), owner, "owner");
        vm.assertEq(km.pendingOwner(), heir, "pendingOwner");
        vm.prank(heir);
        km.acceptOwnership();
        vm.assertEq(km.owner(), heir, "owner");
        vm.prank(heir);
        km.proposeMeasurement(IMAGE, IMAGE_HASH);
    }

    function test_RevertWhen_AnyoneElseAccepts() public {
        vm.prank(owner);
        km.transferOwnership(heir);
        _expectUnauthorized(stranger);
        vm.prank(stranger);
        km.acceptOwnership();
    }

    function test_RevertWhen_AnyoneElseTransfers() public {
        _expectUnauthorized(stranger);
        vm.prank(stranger);
        km.transferOwnership(stranger);
    }

    function test_RevertWhen_TheOwnerRenounces() public {
        _expect(abi.encodeWithSelector(OwnershipCannotBeRenounced.selector, owner));
        vm.prank(owner);
        km.renounceOwnership();
    }

    function test_RevertWhen_AnyoneElseRenounces() public {
        _expectUnauthorized(stranger);
        vm.prank(stranger);
        km.renounceOwnership();
    }

    function _expectUnauthorized(address sender) private {
        _expect(abi.encodeWithSelector(Ownable.OwnableUnauthorizedAccount.selector, sender));
    }
}
