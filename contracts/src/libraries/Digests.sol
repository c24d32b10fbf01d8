// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

/// @title Digests
/// @notice Every EIP-712 struct hash of the protocol, in one file. Its twin is the guest's
/// `guest/protocol/digests.py`; shared vectors tie the two (`test/Digests.t.sol`).
/// @dev Functions return struct hashes. The caller puts the domain around them, except in
/// {handoverId}, which starts from a full digest.
library Digests {
    bytes32 internal constant REGISTER = keccak256(
        "Register(address node,bytes32 encPub,bytes32 measurementId,uint64 anchorNumber,bytes32 anchorHash)"
    );
    bytes32 internal constant REGISTER_TX =
        keccak256("RegisterTx(bytes32 registerDigest,bytes32 documentHash)");
    bytes32 internal constant BOOTSTRAP = keccak256(
        "Bootstrap(address node,bytes32 encPub,bytes32 measurementId,uint64 anchorNumber,bytes32 anchorHash,address xPub,address appRoot)"
    );
    bytes32 internal constant HANDOVER = keccak256(
        "Handover(address node,address by,uint32 epoch,uint8 attempt,bytes32 commitment)"
    );
    bytes32 internal constant ONBOARD = keccak256(
        "Onboard(address node,address by,uint32 epoch,uint8 attempt,bytes32 commitment,uint64 viewNumber,bytes32 viewHash,bytes32 ciphertextHash)"
    );
    bytes32 internal constant ONBOARD_ENTRY = keccak256(
        "OnboardEntry(address node,uint8 attempt,bytes32 commitment,bytes32 ciphertextHash)"
    );
    bytes32 internal constant ONBOARD_BATCH = keccak256(
        "OnboardBatch(address by,uint32 epoch,uint64 viewNumber,bytes32 viewHash,OnboardEntry[] entries)OnboardEntry(address node,uint8 attempt,bytes32 commitment,bytes32 ciphertextHash)"
    );
    bytes32 internal constant CONFIRM = keccak256("Confirm(address node,bytes32 handover)");
    bytes32 internal constant REJECT = keccak256(
        "Reject(address node,bytes32 handover,uint8 reason,uint64 viewNumber,bytes32 viewHash)"
    );
    bytes32 internal constant RENEW =
        keccak256("Renew(address node,uint64 viewNumber,bytes32 viewHash)");
    bytes32 internal constant LEAVE = keccak256("Leave(address node,bytes32 commitment)");
    bytes32 internal constant APP_DATA = keccak256("AppData(bytes32 appData)");

    function register(
        address node,
        bytes32 encPub,
        bytes32 measurementId,
        uint64 anchorNumber,
        bytes32 anchorHash
    ) internal pure returns (bytes32) {
        return keccak256(
            abi.encode(REGISTER, node, encPub, measurementId, anchorNumber, anchorHash)
        );
    }

    /// @notice The commitment C of a registration.
    /// @param registerDigest The full digest of Register, domain included.
    function registerTx(bytes32 registerDigest, bytes32 documentHash)
        internal
        pure
        returns (bytes32)
    {
        return keccak256(abi.encode(REGISTER_TX, registerDigest, documentHash));
    }

    function bootstrap(
        address node,
        bytes32 encPub,
        bytes32 measurementId,
        uint64 anchorNumber,
        bytes32 anchorHash,
        address xPub,
        address appRoot
    ) internal pure returns (bytes32) {
        return keccak256(
            abi.encode(
                BOOTSTRAP, node, encPub, measurementId, anchorNumber, anchorHash, xPub, appRoot
            )
        );
    }

    function handover(address node, address by, uint32 epoch, uint8 attempt, bytes32 commitment)
        internal
        pure
        returns (bytes32)
    {
        return keccak256(abi.encode(HANDOVER, node, by, epoch, attempt, commitment));
    }

    /// @notice H, the name of one hand-over. It holds no view, so a Confirm survives an Onboard
    /// that had to be signed again under a newer view.
    /// @param handoverDigest The full digest of Handover, domain included.
    function handoverId(bytes32 handoverDigest, bytes32 ciphertextHash)
        internal
        pure
        returns (bytes32)
    {
        return keccak256(abi.encode(handoverDigest, ciphertextHash));
    }

    function onboard(
        address node,
        address by,
        uint32 epoch,
        uint8 attempt,
        bytes32 commitment,
        uint64 viewNumber,
        bytes32 viewHash,
        bytes32 ciphertextHash
    ) internal pure returns (bytes32) {
        return keccak256(
            abi.encode(
                ONBOARD, node, by, epoch, attempt, commitment, viewNumber, viewHash, ciphertextHash
            )
        );
    }

    function onboardEntry(address node, uint8 attempt, bytes32 commitment, bytes32 ciphertextHash)
        internal
        pure
        returns (bytes32)
    {
        return keccak256(abi.encode(ONBOARD_ENTRY, node, attempt, commitment, ciphertextHash));
    }

    /// @param entries The struct hash of each entry, in order.
    function onboardBatch(
        address by,
        uint32 epoch,
        uint64 viewNumber,
        bytes32 viewHash,
        bytes32[] memory entries
    ) internal pure returns (bytes32) {
        bytes32 entriesHash = keccak256(abi.encodePacked(entries));
        return keccak256(abi.encode(ONBOARD_BATCH, by, epoch, viewNumber, viewHash, entriesHash));
    }

    function confirm(address node, bytes32 handover_) internal pure returns (bytes32) {
        return keccak256(abi.encode(CONFIRM, node, handover_));
    }

    function reject(
        address node,
        bytes32 handover_,
        uint8 reason,
        uint64 viewNumber,
        bytes32 viewHash
    ) internal pure returns (bytes32) {
        return keccak256(abi.encode(REJECT, node, handover_, reason, viewNumber, viewHash));
    }

    function renew(address node, uint64 viewNumber, bytes32 viewHash)
        internal
        pure
        returns (bytes32)
    {
        return keccak256(abi.encode(RENEW, node, viewNumber, viewHash));
    }

    function leaveRequest(address node, bytes32 commitment) internal pure returns (bytes32) {
        return keccak256(abi.encode(LEAVE, node, commitment));
    }

    function appData(bytes32 data) internal pure returns (bytes32) {
        return keccak256(abi.encode(APP_DATA, data));
    }

    /// @notice The app id of a network: it follows from the network's id and is never configured.
    function appId(bytes32 networkId) internal pure returns (bytes20) {
        bytes32 digest = keccak256(abi.encodePacked("replicatoor/app", networkId));
        return bytes20(uint160(uint256(digest)));
    }
}
