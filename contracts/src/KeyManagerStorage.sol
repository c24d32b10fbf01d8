// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IKeyManagerTypes} from "./interfaces/IKeyManager.sol";

/// @title The storage of the key manager, slot by slot
/// @notice Guests decide on storage proofs, so slots are an interface: this contract comes first
/// in the inheritance order, and `release/storage-layout.json` is compared with it. Facts that no
/// guest decides on (ownership) follow after it.
abstract contract KeyManagerStorage is IKeyManagerTypes {
    /// @dev One slot, from the low bits up. `members` counts status Active, `pending` Pending and
    /// Onboarded together, so that a hand-over leaves this slot alone.
    struct Head {
        address xPub;
        uint16 epoch;
        uint16 appEpoch;
        uint24 members;
        uint24 pending;
        uint16 flags;
    }

    /// @dev Two slots and, from the first rotation on, a third: the hash of the message that wraps
    /// the previous secret under this epoch's. `retired` is when the epoch ended.
    struct Epoch {
        address xPub;
        uint64 since;
        address appRoot;
        uint64 retired;
        bytes32 wrapHash;
    }

    /// @dev One slot.
    struct Genesis {
        address node;
        uint48 number;
        uint48 time;
    }

    /// @dev Bit 0 of {Head.flags}: a rotation is due, so the secret is not handed out any more.
    uint16 internal constant FLAG_ROTATION_DUE = 1;

    Head internal _head; // slot 0
    bytes32 internal _genesisDocument; // slot 1
    Genesis internal _genesis; // slot 2
    mapping(address node => Node) internal _nodes; // slot 3
    mapping(uint32 epoch => Epoch) internal _epochs; // slot 4
    mapping(bytes32 id => Measurement) internal _measurements; // slot 5

    /// @dev Slot 6. Bit (index & 255) of word (index >> 8): one read, and one proof, usually
    /// answers for a member's image and for a newcomer's.
    mapping(uint256 word => uint256) internal _allowed;

    string internal _container; // slot 7
    string internal _nextContainer; // slot 8

    /// @dev Slot 9: when {_nextContainer} takes the place of {_container}, or 0; then counters.
    uint64 internal _nextContainerFrom;
    uint16 internal _measurementCount;
    uint8 internal _genesisMeasurementCount;

    /// @dev Slot 10. Written by a rejection only, read only for a node that has rejected.
    mapping(address node => mapping(address by => bool)) internal _rejected;

    function _isAllowed(uint16 index) internal view returns (bool) {
        return (_allowed[index >> 8] >> (index & 0xff)) & 1 == 1;
    }
}
