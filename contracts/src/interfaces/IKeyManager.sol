// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

/// @title The types, events and errors of a Replicatoor key manager
interface IKeyManagerTypes {
    /// @notice Where a node is in its life. `Failed`, `Revoked`, `Expired` and `Unconfirmed` are
    /// terminal: an address registers once, ever.
    enum Status {
        None,
        Pending,
        Onboarded,
        Active,
        Failed,
        Revoked,
        Expired,
        Unconfirmed
    }

    /// @notice Where the measurement of an image is in its life.
    enum MeasurementState {
        None,
        Proposed,
        Allowed,
        Cancelled,
        Removed
    }

    /// @notice Why an entry does not apply: the code in {Refused} and in {Skipped}.
    /// 1 NotPending: the newcomer is not Pending (another member was first, or it ended).
    /// 2 TooLate: the newcomer's hour is past.
    /// 3 OtherAttempt: the message is for another attempt.
    /// 4 OtherCommitment: the message is for another registration.
    /// 5 ImageNotAllowed: the newcomer's measurement is no longer allowed.
    /// 6 MemberRejected: this node has rejected an answer of this member before.
    /// 7 NotOnboarded: there is no hand-over to confirm.
    /// 8 OtherHandover: the hand-over on record is another one.
    /// 9 OtherEpoch: the hand-over was of an epoch that is over.
    enum Refusal {
        None,
        NotPending,
        TooLate,
        OtherAttempt,
        OtherCommitment,
        ImageNotAllowed,
        MemberRejected,
        NotOnboarded,
        OtherHandover,
        OtherEpoch
    }

    /// @notice A node: one storage slot, from the low bits up.
    /// @param commitment The low 160 bits of C while Pending, of the hand-over H from Onboarded on.
    /// @param attempt How many answers the node has rejected.
    /// @param epoch The epoch it registered in, then the one whose secret it was given.
    /// @param until Pending, Onboarded: when its hour ends. Active: when its lease ends.
    /// @param measurement Index of its image's measurement; never 0 once registered.
    /// @param seed Random bits that rank the members' turns to answer.
    struct Node {
        uint160 commitment;
        Status status;
        uint8 attempt;
        uint16 epoch;
        uint32 until;
        uint16 measurement;
        uint16 seed;
    }

    /// @notice The measurement of an image: one storage slot, from the low bits up.
    /// @param index From 1; 0 says that there is none.
    /// @param genesis Whether it was allowed before the network's first node; removal keeps it.
    /// @param activeFrom When its notice ends, or when it was allowed without one.
    /// @param removedAt When it was removed, or 0.
    struct Measurement {
        uint16 index;
        MeasurementState state;
        bool genesis;
        uint40 activeFrom;
        uint40 removedAt;
    }

    /// @notice One answer in {IKeyManager-onboardBatch}.
    struct OnboardItem {
        address node;
        uint8 attempt;
        bytes32 commitment;
        bytes ciphertext;
    }

    /// @notice One receipt in {IKeyManager-confirmBatch}.
    struct ConfirmItem {
        address node;
        bytes32 handover;
        bytes nodeSig;
        bytes epochSig;
    }

    event Bootstrapped(
        address indexed node,
        bytes32 encPub,
        bytes32 indexed measurementId,
        uint64 anchorNumber,
        bytes32 anchorHash,
        address xPub,
        address appRoot,
        bytes32 documentHash,
        uint32 lease
    );
    event EpochStarted(uint32 indexed epoch, address xPub, address appRoot);
    event Registered(
        address indexed node,
        bytes32 encPub,
        bytes32 indexed measurementId,
        uint64 anchorNumber,
        bytes32 anchorHash,
        bytes32 documentHash,
        uint16 seed,
        uint32 expires,
        bytes sig
    );
    event Onboarded(
        address indexed node,
        address indexed by,
        uint32 epoch,
        uint8 attempt,
        bytes32 handover,
        bytes ciphertext
    );
    /// @notice An entry of a batch did not apply. `by` is zero in a batch of receipts.
    event Skipped(address indexed node, address indexed by, Refusal reason);
    event Confirmed(address indexed node, bytes32 handover, uint32 lease);
    /// @param attempt The attempt that was rejected.
    /// @param reason The newcomer's own code; it accuses nobody.
    event Rejected(address indexed node, address indexed by, uint8 attempt, uint8 reason);
    event Renewed(address indexed node, uint32 lease);
    /// @param left Whether the node itself asked for it.
    event Revoked(address indexed node, Status was, bool left);
    event Failed(address indexed node);
    event Expired(address indexed node);
    event Unconfirmed(address indexed node);
    event MeasurementProposed(
        bytes32 indexed id, uint16 index, bytes32 imageHash, uint40 activeFrom, bool genesis
    );
    event MeasurementActivated(bytes32 indexed id, uint16 index);
    event MeasurementCancelled(bytes32 indexed id, uint16 index);
    event MeasurementRemoved(bytes32 indexed id, uint16 index);
    event ContainerProposed(string container, uint64 activeFrom);

    /// @notice A test network's contract must not stand on the main chain.
    error TestNetworkOnMainnet(uint256 chainId);
    error ZeroArgument(bytes32 name);
    error OwnershipCannotBeRenounced(address owner);
    error AlreadyBootstrapped(uint32 epoch);
    error NotBootstrapped(address node);
    error DocumentSize(uint256 size, uint256 max);
    /// @notice The named block is not one of the last 256 of this chain.
    error UnknownBlock(uint64 number, bytes32 claimed, bytes32 actual);
    error BadSignature(address expected, address recovered);
    error AlreadyRegistered(address node, Status status);
    error MeasurementNotAllowed(bytes32 id, MeasurementState state);
    /// @notice The one who answers or renews is not Active, by status.
    error NotActive(address node, Status status);
    error EpochOver(address node, uint32 epoch, uint32 current);
    error LeaseOver(address node, uint32 lease);
    error ImageNotAllowed(address node, uint16 measurement);
    error RotationDue(uint32 epoch);
    error WrongEpoch(uint32 given, uint32 current);
    error Refused(address node, Refusal reason);
    error BatchSize(uint256 size, uint256 max);
    error CiphertextSize(uint256 size, uint256 expected);
    error WrongStatus(address node, Status status);
    error WrongHandover(address node, bytes32 handover);
    error WrongCommitment(address node, bytes32 commitment);
    error TooLate(address node, uint32 until);
    error TooEarly(address node, uint256 from);
    error LastMember(address node);
    error WrongMeasurementState(bytes32 id, MeasurementState state);
    error NoticeRunning(bytes32 id, uint40 activeFrom);
    error TooManyMeasurements(uint256 max);
    error ContainerSize(uint256 size, uint256 max);
}

/// @title The key manager of a Replicatoor network
/// @notice Says which images may hold the network's secret, admits newcomers, and records who
/// received the secret from whom.
///
/// A relying party reads {networkKind} first. In a network of kind "TEST: simulated hardware"
/// nothing is attested by hardware and the secret is public by construction: its signatures bear
/// the domain name "Replicatoor TEST" and prove nothing.
/// @dev A node's authority never comes from the sender of a transaction: anyone may relay any
/// signed message. The owner's always does. Signatures are EIP-712, 65 bytes, low s, v 27 or 28.
interface IKeyManager is IKeyManagerTypes {
    /// @notice Starts the network with its first node. Owner only, once.
    /// @param node Address of the first node's key.
    /// @param encPub keccak of its encryption key; unused here, kept for one layout with Register.
    /// @param measurementId Its image: one of those allowed before this call.
    /// @param anchorNumber A recent block that the quote names, so that it is fresh.
    /// @param xPub_ Address of the key of epoch 1.
    /// @param appRoot_ Address of the app root's key.
    /// @param nodeSig By the node's key, over Bootstrap.
    /// @param epochSig By the key of epoch 1.
    /// @param document The attestation, whole, for everyone to check; its keccak is kept.
    function bootstrap(
        address node,
        bytes32 encPub,
        bytes32 measurementId,
        uint64 anchorNumber,
        bytes32 anchorHash,
        address xPub_,
        address appRoot_,
        bytes calldata nodeSig,
        bytes calldata epochSig,
        bytes calldata document
    ) external;

    /// @notice Asks for the secret. The node is Pending for one hour.
    /// @param documentHash keccak of the attestation document, which travels off the chain.
    /// @param sig By the node's key, over RegisterTx, whose struct hash is the commitment C.
    function register(
        address node,
        bytes32 encPub,
        bytes32 measurementId,
        uint64 anchorNumber,
        bytes32 anchorHash,
        bytes32 documentHash,
        bytes calldata sig
    ) external;

    /// @notice Hands the secret over, encrypted to the newcomer. The first valid answer wins.
    /// @param by The member that answers; it must be Active.
    /// @param commitment The newcomer's C, in full.
    /// @param viewNumber The block under which the member checked what it relies on, so that an
    /// answer made under an invented chain cannot be posted.
    /// @param sig By the member's key, over Onboard.
    function onboard(
        address node,
        address by,
        uint32 epoch_,
        uint8 attempt,
        bytes32 commitment,
        uint64 viewNumber,
        bytes32 viewHash,
        bytes calldata ciphertext,
        bytes calldata sig
    ) external;

    /// @notice Many answers of one member under one signature. An entry that no longer applies is
    /// skipped with {Skipped}; a wrong member, view or signature reverts the whole.
    function onboardBatch(
        address by,
        uint32 epoch_,
        uint64 viewNumber,
        bytes32 viewHash,
        OnboardItem[] calldata items,
        bytes calldata sig
    ) external;

    /// @notice The receipt of a hand-over: the newcomer holds the epoch's key. It becomes Active.
    /// @dev Does not look at the measurement: the record of a hand-over is always wanted.
    /// @param handover H, in full.
    /// @param nodeSig By the node's key, over Confirm.
    /// @param epochSig By the epoch's key.
    function confirm(
        address node,
        bytes32 handover,
        bytes calldata nodeSig,
        bytes calldata epochSig
    ) external;

    /// @notice Many receipts. One that no longer applies is skipped; a wrong signature reverts.
    function confirmBatch(ConfirmItem[] calldata items) external;

    /// @notice The newcomer got something else than the secret: it is Pending again, for a new
    /// hour and for other members. The eighth rejection is the last: the node is Failed.
    /// @param commitment The newcomer's C, in full; with `ciphertextHash` it rebuilds H.
    /// @param sig By the node's key, over Reject.
    function reject(
        address node,
        address by,
        bytes32 commitment,
        bytes32 ciphertextHash,
        uint8 reason,
        uint64 viewNumber,
        bytes32 viewHash,
        bytes calldata sig
    ) external;

    /// @notice Starts the lease of a node anew, also one that is over but not expired.
    /// @param sig By the node's key, over Renew.
    function renew(address node, uint64 viewNumber, bytes32 viewHash, bytes calldata sig) external;

    /// @notice Ends a node: by the owner, or by anyone who brings the node's own Leave. The node
    /// keeps what it knows until the secret is rotated.
    /// @param commitment Low 160 bits equal to those on record. The owner's word needs neither
    /// this nor `sig`.
    function revoke(address node, bytes32 commitment, bytes calldata sig) external;

    /// @notice Ends a node whose time is over: anyone may. An Active one only a week after its
    /// lease, and never the last.
    function expire(address node) external;

    /// @notice Proposes an image. Before {bootstrap} it is allowed at once and marked genesis, up
    /// to eight of them; afterwards {activateMeasurement} takes it after the notice.
    /// @param imageHash Names the image for people who check it; only in the event.
    function proposeMeasurement(bytes32 id, bytes32 imageHash) external;

    /// @notice Allows a proposed image whose notice is over. Anyone may.
    function activateMeasurement(bytes32 id) external;

    /// @notice Takes a proposal back. The id may be proposed again.
    function cancelMeasurement(bytes32 id) external;

    /// @notice Takes an allowed image out, at once and for ever.
    function removeMeasurement(bytes32 id) external;

    /// @notice Names the app's container. It changes by time alone, after the notice; before
    /// {bootstrap} at once, since nobody relies on it yet. A later call replaces a pending one.
    function setContainer(string calldata container_) external;

    /// @notice Address of the current epoch's key; zero before {bootstrap}.
    function xPub() external view returns (address);

    /// @notice Address of the key under which app keys are certified: that of the app epoch.
    function appRoot() external view returns (address);

    /// @notice The current epoch, from 1; 0 before {bootstrap}.
    function epoch() external view returns (uint32);

    /// @notice The epoch whose secret the apps' keys derive from.
    function appEpoch() external view returns (uint32);

    /// @return xPub_ Address of that epoch's key.
    /// @return appRoot_ Address of its app root.
    /// @return since When it began, by block time.
    function epochs(uint32 number)
        external
        view
        returns (address xPub_, address appRoot_, uint64 since);

    function nodes(address node) external view returns (Node memory);

    function measurements(bytes32 id) external view returns (Measurement memory);

    /// @notice The app's container as of now.
    function container() external view returns (string memory);

    /// @return container_ The one that waits for its notice.
    /// @return activeFrom 0: none waits.
    function pendingContainer() external view returns (string memory container_, uint64 activeFrom);

    /// @notice 32 random bytes that name the network and outlive this contract.
    function networkId() external view returns (bytes32);

    /// @notice keccak of the public key that every quote must chain to.
    function attestationRoot() external view returns (bytes32);

    /// @notice Seconds between a proposal and its effect.
    function notice() external view returns (uint32);

    /// @notice "TEST: simulated hardware" or "real".
    function networkKind() external view returns (string memory);

    /// @notice The dstack app id of every app on this network.
    function appId() external view returns (bytes20);

    /// @notice keccak of the first node's attestation document, which is in {bootstrap}'s calldata.
    function genesisDocument() external view returns (bytes32);

    function genesisNode() external view returns (address);

    function genesisBlock() external view returns (uint64);

    function genesisTime() external view returns (uint64);

    /// @notice Whether the network's current key signed this, as the typed message AppData.
    /// False before {bootstrap}. Read {networkKind} before you rely on it.
    function verify(bytes32 appData, bytes calldata sig) external view returns (bool);

    /// @notice EIP-1271, over AppData(hash), never over the raw hash.
    function isValidSignature(bytes32 hash, bytes calldata sig) external view returns (bytes4);

    function version() external view returns (string memory);

    /// @notice How many nodes have the status Active, those with a lease that is over included.
    function memberCount() external view returns (uint256);

    /// @notice How many nodes are Pending or Onboarded, those whose hour is past included.
    function pendingCount() external view returns (uint256);

    /// @notice Whether a node is Active now: status, current epoch, lease, and image allowed.
    function isMember(address node) external view returns (bool);

    /// @notice The status in words; "Lapsed" is Active with a lease that is over.
    function statusOf(address node) external view returns (string memory);
}
