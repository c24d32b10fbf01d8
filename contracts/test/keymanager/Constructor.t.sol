// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";

import {BaseTest} from "../Base.t.sol";
import {KeyManagerUnderTest} from "../KeyManagerUnderTest.sol";

contract ConstructorTest is BaseTest {
    function test_KeepsWhatItWasGiven() public view {
        vm.assertEq(km.owner(), owner, "owner");
        vm.assertEq(km.networkId(), NETWORK_ID, "networkId");
        vm.assertEq(km.attestationRoot(), ATTESTATION_ROOT, "attestationRoot");
        vm.assertEq(km.notice(), NOTICE, "notice");
        vm.assertEq(km.version(), "1", "version");
        bytes32 id = keccak256(abi.encodePacked("replicatoor/app", NETWORK_ID));
        vm.assertEq(address(km.appId()), address(uint160(uint256(id))), "appId");
    }

    function test_ATestNetworkSaysSoInItsKindAndInItsDomain() public view {
        vm.assertEq(km.networkKind(), "TEST: simulated hardware", "kind");
        (, string memory name, string memory version,,,,) = km.eip712Domain();
        vm.assertEq(name, "Replicatoor TEST", "name");
        vm.assertEq(version, "1", "version");
    }

    function test_ARealNetworkSaysSoInItsKindAndInItsDomain() public {
        KeyManagerUnderTest real = _deploy(owner, NETWORK_ID, ATTESTATION_ROOT, NOTICE, true);
        vm.assertEq(real.networkKind(), "real", "kind");
        (, string memory name,,,,,) = real.eip712Domain();
        vm.assertEq(name, "Replicatoor", "name");
    }

    function test_ARealNetworkMayStandOnTheMainChain() public {
        vm.chainId(1);
        KeyManagerUnderTest real = _deploy(owner, NETWORK_ID, ATTESTATION_ROOT, NOTICE, true);
        vm.assertEq(real.networkKind(), "real", "kind");
    }

    function test_RevertWhen_ATestNetworkIsOnTheMainChain() public {
        vm.chainId(1);
        vm.expectRevert(abi.encodeWithSelector(TestNetworkOnMainnet.selector, 1));
        _deploy(owner, NETWORK_ID, ATTESTATION_ROOT, NOTICE, false);
    }

    function test_RevertWhen_TheNetworkIdIsZero() public {
        vm.expectRevert(abi.encodeWithSelector(ZeroArgument.selector, bytes32("networkId")));
        _deploy(owner, 0, ATTESTATION_ROOT, NOTICE, false);
    }

    function test_RevertWhen_TheAttestationRootIsZero() public {
        vm.expectRevert(abi.encodeWithSelector(ZeroArgument.selector, bytes32("attestationRoot")));
        _deploy(owner, NETWORK_ID, 0, NOTICE, false);
    }

    function test_RevertWhen_TheOwnerIsZero() public {
        vm.expectRevert(abi.encodeWithSelector(Ownable.OwnableInvalidOwner.selector, address(0)));
        _deploy(address(0), NETWORK_ID, ATTESTATION_ROOT, NOTICE, false);
    }
}
