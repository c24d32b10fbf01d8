// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";

import {Governance} from "./Governance.sol";
import {IKeyManager} from "./interfaces/IKeyManager.sol";
import {Digests} from "./libraries/Digests.sol";

/// @title KeyManager
/// @notice The network's contract; {IKeyManager} says what each function promises.
/// @dev Times are uint32 in a node's slot: they hold until 2106.
contract KeyManager is Governance, EIP712 {
    /// @notice How long a node is Active without a renewal.
    uint32 private constant LEASE = 7 days;
    /// @notice How long each step of a join may take.
    uint32 private constant REGISTRATION_WINDOW = 1 hours;
    /// @notice How long after its lease an Active node may still renew before anyone expires it.
    uint32 private constant EXPIRY_GRACE = 7 days;
    /// @notice The rejection after which a node is Failed.
    uint8 private constant MAX_ATTEMPTS = 8;
    uint256 private constant MAX_BATCH = 64;
    /// @notice HPKE's encapsulation (ML-KEM-768 and X25519), 32 bytes of secret, and the tag. A guest
    /// takes no other, so another size could be neither opened nor rejected.
    uint256 private constant CIPHERTEXT_BYTES = 1168;
    /// @notice 96 KiB: a transaction on today's networks holds 128.
    uint256 private constant MAX_DOCUMENT_BYTES = 98_304;

    bytes4 private constant ERC1271_VALID = 0x1626ba7e;
    bytes4 private constant ERC1271_INVALID = 0xffffffff;

    /// @inheritdoc IKeyManager
    bytes32 public immutable networkId;
    /// @inheritdoc IKeyManager
    bytes32 public immutable attestationRoot;
    bool private immutable _real;

    /// @param owner Proposes and takes out images; may be changed in two steps.
    /// @param networkId_ 32 random bytes.
    /// @param attestationRoot_ keccak of the root's public key.
    /// @param notice_ Seconds. Guests refuse one below the floor in their network file.
    /// @param real Whether quotes come from hardware. It is part of the EIP-712 name, so that no
    /// signature of a test network passes in a verifier written for a real one.
    constructor(
        address owner,
        bytes32 networkId_,
        bytes32 attestationRoot_,
        uint32 notice_,
        bool real
    ) Governance(owner, notice_) EIP712(real ? "Replicatoor" : "Replicatoor TEST", "1") {
        require(real || block.chainid != 1, TestNetworkOnMainnet(block.chainid));
        require(networkId_ != 0, ZeroArgument("networkId"));
        require(attestationRoot_ != 0, ZeroArgument("attestationRoot"));
        networkId = networkId_;
        attestationRoot = attestationRoot_;
        _real = real;
    }

    /* THE LIFE OF A NODE */

    /// @inheritdoc IKeyManager
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
    ) external onlyOwner {
        require(_head.epoch == 0, AlreadyBootstrapped(_head.epoch));
        require(appRoot_ != address(0), ZeroArgument("appRoot"));
        require(
            document.length != 0 && document.length <= MAX_DOCUMENT_BYTES,
            DocumentSize(document.length, MAX_DOCUMENT_BYTES)
        );
        // Whatever is allowed before this call is marked genesis.
        uint16 index = _requireAllowed(measurementId);
        _requireBlock(anchorNumber, anchorHash);
        bytes32 structHash = Digests.bootstrap(
            node, encPub, measurementId, anchorNumber, anchorHash, xPub_, appRoot_
        );
        bytes32 digest = _hashTypedDataV4(structHash);
        _requireSigned(node, digest, nodeSig);
        _requireSigned(xPub_, digest, epochSig);

        bytes32 documentHash = keccak256(document);
        _startNetwork(node, xPub_, appRoot_, documentHash);
        uint32 lease = uint32(block.timestamp) + LEASE;
        _nodes[node] = Node({
            commitment: uint160(uint256(structHash)),
            status: Status.Active,
            attempt: 0,
            epoch: 1,
            until: lease,
            measurement: index,
            seed: 0
        });
        emit Bootstrapped(
            node,
            encPub,
            measurementId,
            anchorNumber,
            anchorHash,
            xPub_,
            appRoot_,
            documentHash,
            lease
        );
        emit EpochStarted(1, xPub_, appRoot_);
    }

    /// @inheritdoc IKeyManager
    function register(
        address node,
        bytes32 encPub,
        bytes32 measurementId,
        uint64 anchorNumber,
        bytes32 anchorHash,
        bytes32 documentHash,
        bytes calldata sig
    ) external {
        Head storage head = _head;
        require(head.epoch != 0, NotBootstrapped(node));
        Node storage n = _nodes[node];
        require(n.status == Status.None, AlreadyRegistered(node, n.status));
        uint16 index = _requireAllowed(measurementId);
        _requireBlock(anchorNumber, anchorHash);
        bytes32 commitment = Digests.registerTx(
            _hashTypedDataV4(
                Digests.register(node, encPub, measurementId, anchorNumber, anchorHash)
            ),
            documentHash
        );
        _requireSigned(node, _hashTypedDataV4(commitment), sig);

        uint32 expires = uint32(block.timestamp) + REGISTRATION_WINDOW;
        // The low bits of prevrandao: drawn after the node's key is fixed, so nobody picks both.
        uint16 seed = uint16(block.prevrandao);
        n.commitment = uint160(uint256(commitment));
        n.status = Status.Pending;
        n.epoch = head.epoch;
        n.until = expires;
        n.measurement = index;
        n.seed = seed;
        head.pending += 1;
        emit Registered(
            node, encPub, measurementId, anchorNumber, anchorHash, documentHash, seed, expires, sig
        );
    }

    /// @inheritdoc IKeyManager
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
    ) external {
        _requireMayGive(by, epoch_);
        _requireBlock(viewNumber, viewHash);
        // Before the signature, so that the member that comes second pays for less.
        Refusal refusal = _refusalToOnboard(node, by, attempt, commitment);
        require(refusal == Refusal.None, Refused(node, refusal));
        bytes32 ciphertextHash = _hashCiphertext(ciphertext);
        bytes32 structHash = Digests.onboard(
            node, by, epoch_, attempt, commitment, viewNumber, viewHash, ciphertextHash
        );
        _requireSigned(by, _hashTypedDataV4(structHash), sig);
        bytes32 handover = _handOver(node, by, epoch_, attempt, commitment, ciphertextHash);
        emit Onboarded(node, by, epoch_, attempt, handover, ciphertext);
    }

    /// @inheritdoc IKeyManager
    function onboardBatch(
        address by,
        uint32 epoch_,
        uint64 viewNumber,
        bytes32 viewHash,
        OnboardItem[] calldata items,
        bytes calldata sig
    ) external {
        _requireBatchSize(items.length);
        _requireMayGive(by, epoch_);
        _requireBlock(viewNumber, viewHash);
        bytes32[] memory hashes = new bytes32[](items.length);
        bytes32[] memory entries = new bytes32[](items.length);
        for (uint256 i = 0; i < items.length; ++i) {
            OnboardItem calldata item = items[i];
            hashes[i] = _hashCiphertext(item.ciphertext);
            entries[i] = Digests.onboardEntry(item.node, item.attempt, item.commitment, hashes[i]);
        }
        bytes32 structHash = Digests.onboardBatch(by, epoch_, viewNumber, viewHash, entries);
        _requireSigned(by, _hashTypedDataV4(structHash), sig);
        for (uint256 i = 0; i < items.length; ++i) {
            _onboardItem(items[i], by, epoch_, hashes[i]);
        }
    }

    /// @inheritdoc IKeyManager
    function confirm(
        address node,
        bytes32 handover,
        bytes calldata nodeSig,
        bytes calldata epochSig
    ) external {
        Head storage head = _head;
        Refusal refusal = _refusalToConfirm(node, handover, head.epoch);
        require(refusal == Refusal.None, Refused(node, refusal));
        _activate(node, handover, nodeSig, epochSig, head.xPub);
        head.members += 1;
        head.pending -= 1;
    }

    /// @inheritdoc IKeyManager
    function confirmBatch(ConfirmItem[] calldata items) external {
        _requireBatchSize(items.length);
        Head storage head = _head;
        uint24 confirmed = 0;
        for (uint256 i = 0; i < items.length; ++i) {
            ConfirmItem calldata item = items[i];
            Refusal refusal = _refusalToConfirm(item.node, item.handover, head.epoch);
            if (refusal == Refusal.None) {
                _activate(item.node, item.handover, item.nodeSig, item.epochSig, head.xPub);
                ++confirmed;
            } else {
                emit Skipped(item.node, address(0), refusal);
            }
        }
        head.members += confirmed;
        head.pending -= confirmed;
    }

    /// @inheritdoc IKeyManager
    function reject(
        address node,
        address by,
        bytes32 commitment,
        bytes32 ciphertextHash,
        uint8 reason,
        uint64 viewNumber,
        bytes32 viewHash,
        bytes calldata sig
    ) external {
        Node storage n = _nodes[node];
        require(n.status == Status.Onboarded, WrongStatus(node, n.status));
        require(block.timestamp <= n.until, TooLate(node, n.until));
        _requireBlock(viewNumber, viewHash);
        bytes32 handover = _handoverId(node, by, n.epoch, n.attempt, commitment, ciphertextHash);
        require(uint160(uint256(handover)) == n.commitment, WrongHandover(node, handover));
        bytes32 structHash = Digests.reject(node, handover, reason, viewNumber, viewHash);
        _requireSigned(node, _hashTypedDataV4(structHash), sig);

        uint8 attempt = n.attempt;
        n.commitment = uint160(uint256(commitment));
        n.attempt = attempt + 1;
        emit Rejected(node, by, attempt, reason);
        if (attempt + 1 == MAX_ATTEMPTS) {
            n.status = Status.Failed;
            _head.pending -= 1;
            emit Failed(node);
        } else {
            n.status = Status.Pending;
            n.until = uint32(block.timestamp) + REGISTRATION_WINDOW;
            _rejected[node][by] = true;
        }
    }

    /// @inheritdoc IKeyManager
    function renew(address node, uint64 viewNumber, bytes32 viewHash, bytes calldata sig) external {
        _requireHolder(node, _head.epoch);
        _requireBlock(viewNumber, viewHash);
        bytes32 structHash = Digests.renew(node, viewNumber, viewHash);
        _requireSigned(node, _hashTypedDataV4(structHash), sig);
        uint32 lease = uint32(block.timestamp) + LEASE;
        _nodes[node].until = lease;
        emit Renewed(node, lease);
    }

    /// @inheritdoc IKeyManager
    function revoke(address node, bytes32 commitment, bytes calldata sig) external {
        Node storage n = _nodes[node];
        Status was = n.status;
        bool active = was == Status.Active;
        require(active || was == Status.Pending || was == Status.Onboarded, WrongStatus(node, was));
        bool left = msg.sender != owner();
        if (left) {
            require(uint160(uint256(commitment)) == n.commitment, WrongCommitment(node, commitment));
            _requireSigned(node, _hashTypedDataV4(Digests.leaveRequest(node, commitment)), sig);
        }
        n.status = Status.Revoked;
        if (active) _head.members -= 1;
        else _head.pending -= 1;
        emit Revoked(node, was, left);
    }

    /// @inheritdoc IKeyManager
    function expire(address node) external {
        Node storage n = _nodes[node];
        Status status = n.status;
        uint256 until = n.until;
        if (status == Status.Pending) {
            require(block.timestamp > until, TooEarly(node, until));
            n.status = Status.Expired;
            _head.pending -= 1;
            emit Expired(node);
        } else if (status == Status.Onboarded) {
            require(block.timestamp > until, TooEarly(node, until));
            n.status = Status.Unconfirmed;
            _head.pending -= 1;
            emit Unconfirmed(node);
        } else {
            require(status == Status.Active, WrongStatus(node, status));
            until += EXPIRY_GRACE;
            require(block.timestamp > until, TooEarly(node, until));
            require(_head.members > 1, LastMember(node));
            n.status = Status.Expired;
            _head.members -= 1;
            emit Expired(node);
        }
    }

    /* VIEWS */

    /// @inheritdoc IKeyManager
    function xPub() external view returns (address) {
        return _head.xPub;
    }

    /// @inheritdoc IKeyManager
    function appRoot() external view returns (address) {
        return _epochs[_head.appEpoch].appRoot;
    }

    /// @inheritdoc IKeyManager
    function epoch() external view returns (uint32) {
        return _head.epoch;
    }

    /// @inheritdoc IKeyManager
    function appEpoch() external view returns (uint32) {
        return _head.appEpoch;
    }

    /// @inheritdoc IKeyManager
    function epochs(uint32 number)
        external
        view
        returns (address xPub_, address appRoot_, uint64 since)
    {
        Epoch storage e = _epochs[number];
        return (e.xPub, e.appRoot, e.since);
    }

    /// @inheritdoc IKeyManager
    function nodes(address node) external view returns (Node memory) {
        return _nodes[node];
    }

    /// @inheritdoc IKeyManager
    function networkKind() external view returns (string memory) {
        return _real ? "real" : "TEST: simulated hardware";
    }

    /// @inheritdoc IKeyManager
    function appId() external view returns (bytes20) {
        return Digests.appId(networkId);
    }

    /// @inheritdoc IKeyManager
    function genesisDocument() external view returns (bytes32) {
        return _genesisDocument;
    }

    /// @inheritdoc IKeyManager
    function genesisNode() external view returns (address) {
        return _genesis.node;
    }

    /// @inheritdoc IKeyManager
    function genesisBlock() external view returns (uint64) {
        return _genesis.number;
    }

    /// @inheritdoc IKeyManager
    function genesisTime() external view returns (uint64) {
        return _genesis.time;
    }

    /// @inheritdoc IKeyManager
    function verify(bytes32 appData, bytes calldata sig) public view returns (bool) {
        (bool signed,) = _signedBy(_head.xPub, _hashTypedDataV4(Digests.appData(appData)), sig);
        return signed;
    }

    /// @inheritdoc IKeyManager
    function isValidSignature(bytes32 hash, bytes calldata sig) external view returns (bytes4) {
        return verify(hash, sig) ? ERC1271_VALID : ERC1271_INVALID;
    }

    /// @inheritdoc IKeyManager
    function version() external pure returns (string memory) {
        return "1";
    }

    /// @inheritdoc IKeyManager
    function memberCount() external view returns (uint256) {
        return _head.members;
    }

    /// @inheritdoc IKeyManager
    function pendingCount() external view returns (uint256) {
        return _head.pending;
    }

    /// @inheritdoc IKeyManager
    function isMember(address node) external view returns (bool) {
        Node storage n = _nodes[node];
        return n.status == Status.Active && n.epoch == _head.epoch && block.timestamp <= n.until
            && _isAllowed(n.measurement);
    }

    /// @inheritdoc IKeyManager
    function statusOf(address node) external view returns (string memory) {
        Node storage n = _nodes[node];
        if (n.status == Status.None) return "None";
        if (n.status == Status.Pending) return "Pending";
        if (n.status == Status.Onboarded) return "Onboarded";
        if (n.status == Status.Active) return block.timestamp <= n.until ? "Active" : "Lapsed";
        if (n.status == Status.Failed) return "Failed";
        if (n.status == Status.Revoked) return "Revoked";
        if (n.status == Status.Expired) return "Expired";
        return "Unconfirmed";
    }

    /* TRANSITIONS */

    function _startNetwork(address node, address xPub_, address appRoot_, bytes32 documentHash)
        private
    {
        _head = Head({xPub: xPub_, epoch: 1, appEpoch: 1, members: 1, pending: 0, flags: 0});
        _epochs[1].xPub = xPub_;
        _epochs[1].since = uint64(block.timestamp);
        _epochs[1].appRoot = appRoot_;
        _genesisDocument = documentHash;
        _genesis =
            Genesis({node: node, number: uint48(block.number), time: uint48(block.timestamp)});
    }

    function _onboardItem(
        OnboardItem calldata item,
        address by,
        uint32 epoch_,
        bytes32 ciphertextHash
    ) private {
        Refusal refusal = _refusalToOnboard(item.node, by, item.attempt, item.commitment);
        if (refusal != Refusal.None) {
            emit Skipped(item.node, by, refusal);
            return;
        }
        bytes32 handover =
            _handOver(item.node, by, epoch_, item.attempt, item.commitment, ciphertextHash);
        emit Onboarded(item.node, by, epoch_, item.attempt, handover, item.ciphertext);
    }

    function _handOver(
        address node,
        address by,
        uint32 epoch_,
        uint8 attempt,
        bytes32 commitment,
        bytes32 ciphertextHash
    ) private returns (bytes32 handover) {
        handover = _handoverId(node, by, epoch_, attempt, commitment, ciphertextHash);
        Node storage n = _nodes[node];
        n.commitment = uint160(uint256(handover));
        n.status = Status.Onboarded;
        // Equal to the current epoch, which fits in 16 bits.
        n.epoch = uint16(epoch_);
        n.until = uint32(block.timestamp) + REGISTRATION_WINDOW;
    }

    /// @dev The caller counts.
    function _activate(
        address node,
        bytes32 handover,
        bytes calldata nodeSig,
        bytes calldata epochSig,
        address epochKey
    ) private {
        bytes32 digest = _hashTypedDataV4(Digests.confirm(node, handover));
        _requireSigned(node, digest, nodeSig);
        _requireSigned(epochKey, digest, epochSig);
        uint32 lease = uint32(block.timestamp) + LEASE;
        Node storage n = _nodes[node];
        n.status = Status.Active;
        n.until = lease;
        emit Confirmed(node, handover, lease);
    }

    /* CHECKS */

    /// @dev Why this member's answer does not apply to this newcomer now.
    /// Rotation: a node that is Onboarded in an older epoch is answered here like a Pending one,
    /// with attempt + 1 and no ban.
    function _refusalToOnboard(address node, address by, uint8 attempt, bytes32 commitment)
        private
        view
        returns (Refusal)
    {
        Node storage n = _nodes[node];
        if (n.status != Status.Pending) return Refusal.NotPending;
        if (block.timestamp > n.until) return Refusal.TooLate;
        if (attempt != n.attempt) return Refusal.OtherAttempt;
        if (uint160(uint256(commitment)) != n.commitment) return Refusal.OtherCommitment;
        if (!_isAllowed(n.measurement)) return Refusal.ImageNotAllowed;
        if (attempt != 0 && _rejected[node][by]) return Refusal.MemberRejected;
        return Refusal.None;
    }

    function _refusalToConfirm(address node, bytes32 handover, uint16 current)
        private
        view
        returns (Refusal)
    {
        Node storage n = _nodes[node];
        if (n.status != Status.Onboarded) return Refusal.NotOnboarded;
        if (n.epoch != current) return Refusal.OtherEpoch;
        if (block.timestamp > n.until) return Refusal.TooLate;
        if (uint160(uint256(handover)) != n.commitment) return Refusal.OtherHandover;
        return Refusal.None;
    }

    /// @dev Active in full, and the secret is still one to give.
    function _requireMayGive(address by, uint32 epoch_) private view {
        Head storage head = _head;
        require(head.flags & FLAG_ROTATION_DUE == 0, RotationDue(head.epoch));
        require(epoch_ == head.epoch, WrongEpoch(epoch_, head.epoch));
        uint32 lease = _requireHolder(by, head.epoch);
        require(block.timestamp <= lease, LeaseOver(by, lease));
    }

    /// @dev Active but for the lease, which is returned.
    function _requireHolder(address node, uint16 current) private view returns (uint32 lease) {
        Node storage n = _nodes[node];
        require(n.status == Status.Active, NotActive(node, n.status));
        require(n.epoch == current, EpochOver(node, n.epoch, current));
        require(_isAllowed(n.measurement), ImageNotAllowed(node, n.measurement));
        return n.until;
    }

    function _requireAllowed(bytes32 measurementId) private view returns (uint16 index) {
        Measurement storage m = _measurements[measurementId];
        require(m.state == MeasurementState.Allowed, MeasurementNotAllowed(measurementId, m.state));
        return m.index;
    }

    /// @dev blockhash is zero for a block that it does not know: zero never passes.
    function _requireBlock(uint64 number, bytes32 claimed) private view {
        bytes32 actual = _blockhash(number);
        require(actual != 0 && actual == claimed, UnknownBlock(number, claimed, actual));
    }

    /// @dev Apart, so that proofs can put any chain in its place.
    function _blockhash(uint256 number) internal view virtual returns (bytes32) {
        return blockhash(number);
    }

    function _hashCiphertext(bytes calldata ciphertext) private pure returns (bytes32) {
        require(
            ciphertext.length == CIPHERTEXT_BYTES,
            CiphertextSize(ciphertext.length, CIPHERTEXT_BYTES)
        );
        return keccak256(ciphertext);
    }

    function _requireBatchSize(uint256 size) private pure {
        require(size != 0 && size <= MAX_BATCH, BatchSize(size, MAX_BATCH));
    }

    function _requireSigned(address expected, bytes32 digest, bytes calldata sig) private pure {
        (bool signed, address recovered) = _signedBy(expected, digest, sig);
        require(signed, BadSignature(expected, recovered));
    }

    /// @dev The only judge of signatures. ECDSA takes 65 bytes, low s, and v of 27 or 28 only; a
    /// recovery that failed is the zero address, which is nobody.
    function _signedBy(address expected, bytes32 digest, bytes calldata sig)
        private
        pure
        returns (bool signed, address recovered)
    {
        (recovered,,) = ECDSA.tryRecoverCalldata(digest, sig);
        signed = recovered != address(0) && recovered == expected;
    }

    function _handoverId(
        address node,
        address by,
        uint32 epoch_,
        uint8 attempt,
        bytes32 commitment,
        bytes32 ciphertextHash
    ) private view returns (bytes32) {
        bytes32 structHash = Digests.handover(node, by, epoch_, attempt, commitment);
        return Digests.handoverId(_hashTypedDataV4(structHash), ciphertextHash);
    }
}
