// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IERC5267} from "@openzeppelin/contracts/interfaces/IERC5267.sol";

import {IKeyManager} from "../src/interfaces/IKeyManager.sol";

/// @notice Everything that can be called on the contract. Tests deploy it by its compiled code and
/// never import it, so they compile without its slow optimiser settings.
interface KeyManagerUnderTest is IKeyManager, IERC5267 {
    function owner() external view returns (address);
    function pendingOwner() external view returns (address);
    function transferOwnership(address newOwner) external;
    function acceptOwnership() external;
    function renounceOwnership() external;
}
