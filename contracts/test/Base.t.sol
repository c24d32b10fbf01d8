// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IKeyManagerTypes} from "../src/interfaces/IKeyManager.sol";
import {Digests} from "../src/libraries/Digests.sol";
import {KeyManagerUnderTest} from "./KeyManagerUnderTest.sol";
import {Vm} from "./Vm.sol";

/// @notice Actors, a network, and messages signed as guests sign them. A test takes a good message,
/// breaks one thing in it, and sends it.
abstract contract BaseTest is IKeyManagerTypes {
    struct Key {
        address addr;
        uint256 secret;
    }

    struct BootstrapCall {
        address node;
        bytes32 encPub;
        bytes32 measurementId;
        uint64 anchorNumber;
        bytes32 anchorHash;
        address xPub;
        address appRoot;
        bytes nodeSig;
        bytes epochSig;
        bytes document;
    }

    struct RegisterCall {
        address node;
        bytes32 encPub;
        bytes32 measurementId;
        uint64 anchorNumber;
        bytes32 anchorHash;
        bytes32 documentHash;
        bytes sig;
    }

    struct OnboardCall {
        address node;
        address by;
        uint32 epoch;
        uint8 attempt;
        bytes32 commitment;
        uint64 viewNumber;
        bytes32 viewHash;
        bytes ciphertext;
        bytes sig;
    }

    struct RejectCall {
        address node;
        address by;
        bytes32 commitment;
        bytes32 ciphertextHash;
        uint8 reason;
        uint64 viewNumber;
        bytes32 viewHash;
        bytes sig;
    }

    Vm internal constant vm = Vm(address(uint160(uint256(keccak256("hevm cheat code")))));

    bytes32 internal constant NETWORK_ID = keccak256("a network");
    bytes32 internal constant ATTESTATION_ROOT = keccak256("a root");
    bytes32 internal constant IMAGE = keccak256("an image");
    bytes32 internal constant NEXT_IMAGE = keccak256("the next image");
    bytes32 internal constant IMAGE_HASH = keccak256("what people compare");
    uint32 internal constant NOTICE = 3 days;
    uint256 internal constant START_TIME = 1_790_000_000;
    uint256 internal constant START_BLOCK = 10_000;
    uint256 internal constant CIPHERTEXT_BYTES = 1168;
    /// @dev Order of secp256k1.
    uint256 internal constant N =
        0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141;

    KeyManagerUnderTest internal km;
    address internal owner = address(0xA11CE);
    address internal stranger = address(0xBAD);
    Key internal first;
    Key internal second;
    Key internal newcomer;
    Key internal epochKey;
    address internal appRootAddress;

    function setUp() public virtual {
        vm.warp(START_TIME);
        vm.roll(START_BLOCK);
        vm.prevrandao(keccak256("prevrandao"));
        first = _key("first");
        second = _key("second");
        newcomer = _key("newcomer");
        epochKey = _key("epoch 1");
        appRootAddress = _key("app root 1").addr;
        km = _deploy(owner, NETWORK_ID, ATTESTATION_ROOT, NOTICE, false);
    }

    function _deploy(
        address owner_,
        bytes32 networkId,
        bytes32 attestationRoot,
        uint32 notice,
        bool real
    ) internal returns (KeyManagerUnderTest) {
        bytes memory arguments = abi.encode(owner_, networkId, attestationRoot, notice, real);
        return KeyManagerUnderTest(vm.deployCode("KeyManager.sol:KeyManager", arguments));
    }

    /* STEPS */

    function _network() internal {
        _propose(IMAGE);
        _send(_bootstrapBy(first));
    }

    function _propose(bytes32 id) internal {
        vm.prank(owner);
        km.proposeMeasurement(id, IMAGE_HASH);
    }

    function _allow(bytes32 id) internal {
        _propose(id);
        if (km.epoch() == 0) return;
        _later(NOTICE);
        km.activateMeasurement(id);
    }

    function _join(Key memory node, Key memory by) internal returns (bytes32 handover) {
        _send(_registerOf(node));
        handover = _answer(node, by);
        _confirmBy(node, handover);
    }

    function _answer(Key memory node, Key memory by) internal returns (bytes32 handover) {
        OnboardCall memory call = _onboardOf(node, by);
        _send(call);
        return _handoverOf(call);
    }

    function _confirmBy(Key memory node, bytes32 handover) internal {
        bytes32 digest = _digest(Digests.confirm(node.addr, handover));
        km.confirm(node.addr, handover, _sign(node, digest), _sign(epochKey, digest));
    }

    function _rejectBy(Key memory node, Key memory by) internal {
        _send(_rejectOf(node, by));
    }

    function _renewBy(Key memory node) internal {
        (uint64 number, bytes32 hash) = _view();
        bytes memory sig = _sign(node, _digest(Digests.renew(node.addr, number, hash)));
        km.renew(node.addr, number, hash, sig);
    }

    function _later(uint256 time) internal {
        vm.warp(vm.getBlockTimestamp() + time);
        vm.roll(vm.getBlockNumber() + 1);
    }

    /* MESSAGES */

    function _bootstrapBy(Key memory node) internal view returns (BootstrapCall memory call) {
        (uint64 number, bytes32 hash) = _view();
        call = BootstrapCall({
            node: node.addr,
            encPub: keccak256(abi.encode("encPub", node.addr)),
            measurementId: IMAGE,
            anchorNumber: number,
            anchorHash: hash,
            xPub: epochKey.addr,
            appRoot: appRootAddress,
            nodeSig: "",
            epochSig: "",
            document: _random("document", 1000)
        });
        _signBootstrap(call, node, epochKey);
    }

    function _signBootstrap(BootstrapCall memory call, Key memory node, Key memory epoch)
        internal
        view
    {
        bytes32 digest = _digest(_bootstrapHash(call));
        call.nodeSig = _sign(node, digest);
        call.epochSig = _sign(epoch, digest);
    }

    function _bootstrapHash(BootstrapCall memory call) internal pure returns (bytes32) {
        return Digests.bootstrap(
            call.node,
            call.encPub,
            call.measurementId,
            call.anchorNumber,
            call.anchorHash,
            call.xPub,
            call.appRoot
        );
    }

    function _registerOf(Key memory node) internal view returns (RegisterCall memory) {
        return _registerOf(node, IMAGE);
    }

    function _registerOf(Key memory node, bytes32 measurementId)
        internal
        view
        returns (RegisterCall memory call)
    {
        (uint64 number, bytes32 hash) = _view();
        call = RegisterCall({
            node: node.addr,
            encPub: keccak256(abi.encode("encPub", node.addr)),
            measurementId: measurementId,
            anchorNumber: number,
            anchorHash: hash,
            documentHash: keccak256(abi.encode("document", node.addr)),
            sig: ""
        });
        call.sig = _sign(node, _digest(_commitmentOf(call)));
    }

    function _commitmentOf(RegisterCall memory call) internal view returns (bytes32) {
        bytes32 registerDigest = _digest(
            Digests.register(
                call.node, call.encPub, call.measurementId, call.anchorNumber, call.anchorHash
            )
        );
        return Digests.registerTx(registerDigest, call.documentHash);
    }

    /// @dev The commitment of a node that registered in this very block with {_registerOf}; the
    /// low bits on record are checked, so that a stale one fails here and not in a test's middle.
    mapping(address node => bytes32) internal commitments;

    function _onboardOf(Key memory node, Key memory by)
        internal
        view
        returns (OnboardCall memory call)
    {
        (uint64 number, bytes32 hash) = _view();
        Node memory n = km.nodes(node.addr);
        call = OnboardCall({
            node: node.addr,
            by: by.addr,
            epoch: 1,
            attempt: n.attempt,
            commitment: commitments[node.addr],
            viewNumber: number,
            viewHash: hash,
            ciphertext: _random(abi.encode(node.addr, n.attempt), CIPHERTEXT_BYTES),
            sig: ""
        });
        _signOnboard(call, by);
    }

    function _signOnboard(OnboardCall memory call, Key memory by) internal view {
        bytes32 structHash = Digests.onboard(
            call.node,
            call.by,
            call.epoch,
            call.attempt,
            call.commitment,
            call.viewNumber,
            call.viewHash,
            keccak256(call.ciphertext)
        );
        call.sig = _sign(by, _digest(structHash));
    }

    function _handoverOf(OnboardCall memory call) internal view returns (bytes32) {
        bytes32 digest = _digest(
            Digests.handover(call.node, call.by, call.epoch, call.attempt, call.commitment)
        );
        return Digests.handoverId(digest, keccak256(call.ciphertext));
    }

    function _rejectOf(Key memory node, Key memory by)
        internal
        view
        returns (RejectCall memory call)
    {
        (uint64 number, bytes32 hash) = _view();
        Node memory n = km.nodes(node.addr);
        bytes memory ciphertext = _random(abi.encode(node.addr, n.attempt), CIPHERTEXT_BYTES);
        call = RejectCall({
            node: node.addr,
            by: by.addr,
            commitment: commitments[node.addr],
            ciphertextHash: keccak256(ciphertext),
            reason: 3,
            viewNumber: number,
            viewHash: hash,
            sig: ""
        });
        _signReject(call, node);
    }

    function _signReject(RejectCall memory call, Key memory node) internal view {
        bytes32 handover = _handoverIdOf(call);
        bytes32 structHash =
            Digests.reject(call.node, handover, call.reason, call.viewNumber, call.viewHash);
        call.sig = _sign(node, _digest(structHash));
    }

    function _handoverIdOf(RejectCall memory call) internal view returns (bytes32) {
        uint8 attempt = km.nodes(call.node).attempt;
        bytes32 structHash = Digests.handover(call.node, call.by, 1, attempt, call.commitment);
        return Digests.handoverId(_digest(structHash), call.ciphertextHash);
    }

    /* SENDING: by a stranger, since nothing but the owner's calls depends on the sender */

    function _send(BootstrapCall memory c) internal {
        vm.prank(owner);
        km.bootstrap(
            c.node,
            c.encPub,
            c.measurementId,
            c.anchorNumber,
            c.anchorHash,
            c.xPub,
            c.appRoot,
            c.nodeSig,
            c.epochSig,
            c.document
        );
    }

    function _send(RegisterCall memory c) internal {
        commitments[c.node] = _commitmentOf(c);
        vm.prank(stranger);
        km.register(
            c.node, c.encPub, c.measurementId, c.anchorNumber, c.anchorHash, c.documentHash, c.sig
        );
    }

    function _send(OnboardCall memory c) internal {
        vm.prank(stranger);
        km.onboard(
            c.node,
            c.by,
            c.epoch,
            c.attempt,
            c.commitment,
            c.viewNumber,
            c.viewHash,
            c.ciphertext,
            c.sig
        );
    }

    function _send(RejectCall memory c) internal {
        vm.prank(stranger);
        km.reject(
            c.node, c.by, c.commitment, c.ciphertextHash, c.reason, c.viewNumber, c.viewHash, c.sig
        );
    }

    /* SMALL THINGS */

    /// @dev The newest block that a contract can name.
    function _view() internal view returns (uint64 number, bytes32 hash) {
        number = uint64(vm.getBlockNumber() - 1);
        hash = blockhash(number);
    }

    function _digest(bytes32 structHash) internal view returns (bytes32) {
        return _digestFor(address(km), block.chainid, "Replicatoor TEST", structHash);
    }

    function _digestFor(
        address contractAddress,
        uint256 chain,
        string memory name,
        bytes32 structHash
    ) internal pure returns (bytes32) {
        bytes32 domain = keccak256(
            abi.encode(
                keccak256(
                    "EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"
                ),
                keccak256(bytes(name)),
                keccak256("1"),
                chain,
                contractAddress
            )
        );
        return keccak256(abi.encodePacked(hex"1901", domain, structHash));
    }

    function _key(string memory name) internal returns (Key memory key) {
        key.secret = uint256(keccak256(bytes(name))) % (N - 1) + 1;
        key.addr = vm.addr(key.secret);
        vm.label(key.addr, name);
    }

    function _sign(Key memory key, bytes32 digest) internal pure returns (bytes memory) {
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(key.secret, digest);
        return abi.encodePacked(r, s, v);
    }

    /// @dev Bytes as random as a ciphertext's: their zero bytes decide what calldata costs.
    function _random(bytes memory seed, uint256 size) internal pure returns (bytes memory out) {
        out = new bytes(size);
        bytes32 word = keccak256(seed);
        for (uint256 i = 0; i < size; ++i) {
            if (i != 0 && i % 32 == 0) word = keccak256(abi.encode(word));
            out[i] = word[i % 32];
        }
    }

    /// @dev What must never pass for the signature `sig`: its malleable twin, other recovery ids,
    /// other lengths, and zeros.
    function _malformed(bytes memory sig) internal pure returns (bytes[] memory variants) {
        bytes32 r;
        bytes32 s;
        uint8 v = uint8(sig[64]);
        assembly ("memory-safe") {
            r := mload(add(sig, 32))
            s := mload(add(sig, 64))
        }
        variants = new bytes[](8);
        variants[0] = abi.encodePacked(r, N - uint256(s), v == 27 ? uint8(28) : uint8(27));
        variants[1] = abi.encodePacked(r, s, v - 27);
        variants[2] = abi.encodePacked(r, s, v + 2);
        variants[3] = abi.encodePacked(r, s);
        variants[4] = abi.encodePacked(sig, uint8(0));
        variants[5] = abi.encodePacked(sig, uint16(0));
        variants[6] = new bytes(65);
        variants[7] = "";
    }

    /// @dev As a rotation will; until then nothing but a test can.
    function _setEpoch(uint16 epoch) internal {
        bytes32 head = vm.load(address(km), 0);
        bytes32 cleared = head & ~bytes32(uint256(0xffff) << 160);
        vm.store(address(km), 0, cleared | bytes32(uint256(epoch) << 160));
    }

    function _statusIs(Key memory node, Status expected) internal view {
        vm.assertEq(uint256(km.nodes(node.addr).status), uint256(expected), "status");
    }

    function _countsAre(uint256 members, uint256 pending) internal view {
        vm.assertEq(km.memberCount(), members, "members");
        vm.assertEq(km.pendingCount(), pending, "pending");
    }

    function _expect(bytes memory revertData) internal {
        vm.expectRevert(revertData);
    }
}
