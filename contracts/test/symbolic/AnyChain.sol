// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {KeyManager} from "../../src/KeyManager.sol";

/// @notice The contract on any chain: the prover does not know blockhash, so block hashes come from
/// storage, which it lets be anything. All else is the contract itself.
contract AnyChain is KeyManager {
    mapping(uint256 number => bytes32) private _hashes;

    constructor() KeyManager(address(0xA11CE), "n", "r", 1, false) {}

    function _blockhash(uint256 number) internal view override returns (bytes32) {
        return _hashes[number];
    }
}
