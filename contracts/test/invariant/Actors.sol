// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Digests} from "../../src/libraries/Digests.sol";
import {BaseTest} from "../Base.t.sol";
import {KeyManagerUnderTest} from "../KeyManagerUnderTest.sol";

/// @notice Everybody who acts on a network, and an account of what they saw. The fuzzer calls the
/// public functions in any order; each does one legal thing, or nothing when none is legal, so a
/// revert is a bug. After each step every node's status is compared with the one before.
contract Actors is BaseTest {
    uint256 private constant NODES = 12;
    uint256 private constant IMAGES = 4;

    Key[] private keys;
    bytes32[] private images;

    /// @dev What was seen of each node.
    mapping(address node => Status) public lastStatus;
    mapping(address node => uint256) public registrations;
    mapping(address node => mapping(uint8 attempt => uint256)) public handovers;
    mapping(address node => address) public answeredBy;
    mapping(address node => bytes32) private handoverOf;
    mapping(address node => mapping(address by => bool)) public banned;

    bool public illegalTransition;
    bool public terminalCleared;
    bool public onboardedByOutsider;
    bool public onboardedForbiddenImage;
    bool public onboardedByBanned;
    bool public genesisMarkLost;
    bool public attackPassed;

    modifier watched() {
        _;
        for (uint256 i = 0; i < keys.length; ++i) {
            _watch(keys[i].addr);
        }
    }

    constructor() {
        setUp();
        _network();
        keys.push(first);
        lastStatus[first.addr] = Status.Active;
        for (uint256 i = 1; i < NODES; ++i) {
            keys.push(_key(string(abi.encodePacked("actor ", bytes1(uint8(64 + i))))));
        }
        images.push(IMAGE);
        for (uint256 i = 1; i < IMAGES; ++i) {
            images.push(keccak256(abi.encode("image", i)));
        }
    }

    function target() external view returns (KeyManagerUnderTest) {
        return km;
    }

    function nodeCount() external view returns (uint256) {
        return keys.length;
    }

    function nodeAt(uint256 index) external view returns (address) {
        return keys[index].addr;
    }

    /* STEPS */

    function register(uint256 who, uint256 image) external watched {
        Key memory node = keys[who % keys.length];
        bytes32 id = images[image % images.length];
        if (km.nodes(node.addr).status != Status.None) return;
        if (km.measurements(id).state != MeasurementState.Allowed) return;
        _send(_registerOf(node, id));
        ++registrations[node.addr];
    }

    function onboard(uint256 who, uint256 by) external watched {
        Key memory node = keys[who % keys.length];
        Key memory member = keys[by % keys.length];
        if (!_mayAnswer(node, member)) return;
        OnboardCall memory call = _onboardOf(node, member);
        _judgeHandover(node.addr, member.addr);
        _send(call);
        _record(call);
    }

    function onboardBatch(uint256 from, uint256 by) external watched {
        Key memory member = keys[by % keys.length];
        if (!km.isMember(member.addr)) return;
        OnboardItem[] memory items = new OnboardItem[](4);
        bytes32[] memory entries = new bytes32[](4);
        OnboardCall[] memory calls = new OnboardCall[](4);
        bool[] memory applies = new bool[](4);
        for (uint256 i = 0; i < 4; ++i) {
            Key memory node = keys[addmod(from, i, keys.length)];
            calls[i] = _onboardOf(node, member);
            applies[i] = _mayAnswer(node, member);
            if (applies[i]) _judgeHandover(node.addr, member.addr);
            items[i] =
                OnboardItem(node.addr, calls[i].attempt, calls[i].commitment, calls[i].ciphertext);
            entries[i] = Digests.onboardEntry(
                node.addr, calls[i].attempt, calls[i].commitment, keccak256(calls[i].ciphertext)
            );
        }
        (uint64 number, bytes32 hash) = _view();
        bytes32 message = Digests.onboardBatch(member.addr, 1, number, hash, entries);
        km.onboardBatch(member.addr, 1, number, hash, items, _sign(member, _digest(message)));
        for (uint256 i = 0; i < 4; ++i) {
            if (applies[i]) _record(calls[i]);
        }
    }

    function confirm(uint256 who) external watched {
        Key memory node = keys[who % keys.length];
        if (!_isOnboardedInTime(node.addr)) return;
        _confirmBy(node, handoverOf[node.addr]);
    }

    function confirmBatch(uint256 from) external watched {
        ConfirmItem[] memory items = new ConfirmItem[](4);
        for (uint256 i = 0; i < 4; ++i) {
            Key memory node = keys[addmod(from, i, keys.length)];
            bytes32 handover = handoverOf[node.addr];
            bytes32 digest = _digest(Digests.confirm(node.addr, handover));
            items[i] =
                ConfirmItem(node.addr, handover, _sign(node, digest), _sign(epochKey, digest));
        }
        km.confirmBatch(items);
    }

    function reject(uint256 who) external watched {
        Key memory node = keys[who % keys.length];
        if (!_isOnboardedInTime(node.addr)) return;
        address by = answeredBy[node.addr];
        RejectCall memory call = _rejectOf(node, Key(by, 0));
        _send(call);
        banned[node.addr][by] = true;
    }

    function renew(uint256 who) external watched {
        Key memory node = keys[who % keys.length];
        Node memory n = km.nodes(node.addr);
        if (n.status != Status.Active || !_isImageAllowed(n.measurement)) return;
        _renewBy(node);
    }

    function revoke(uint256 who, bool asksItself) external watched {
        Key memory node = keys[who % keys.length];
        Node memory n = km.nodes(node.addr);
        if (n.status == Status.None || n.status > Status.Active) return;
        // Now and then a member stays, so that runs do not all end in an empty network.
        if (n.status == Status.Active && km.memberCount() == 1) return;
        bytes32 commitment = bytes32(uint256(n.commitment));
        bytes32 digest = _digest(Digests.leaveRequest(node.addr, commitment));
        bytes memory sig = asksItself ? _sign(node, digest) : bytes("");
        vm.prank(asksItself ? stranger : owner);
        km.revoke(node.addr, commitment, sig);
    }

    function expire(uint256 who) external watched {
        address node = keys[who % keys.length].addr;
        Node memory n = km.nodes(node);
        if (n.status == Status.None || n.status > Status.Active) return;
        uint256 until = n.until;
        if (n.status == Status.Active) {
            until += 7 days;
            if (km.memberCount() == 1) return;
        }
        if (vm.getBlockTimestamp() <= until) return;
        km.expire(node);
    }

    function govern(uint256 which, uint256 what) external watched {
        bytes32 id = images[which % images.length];
        Measurement memory m = km.measurements(id);
        if (m.state == MeasurementState.Proposed) {
            if (what % 4 == 0) {
                vm.prank(owner);
                km.cancelMeasurement(id);
            } else if (vm.getBlockTimestamp() >= m.activeFrom) {
                km.activateMeasurement(id);
            }
        } else if (m.state == MeasurementState.Allowed) {
            // Seldom, since it is for ever.
            if (what % 16 != 0) return;
            vm.prank(owner);
            km.removeMeasurement(id);
        } else if (m.state != MeasurementState.Removed) {
            _propose(id);
        }
        if (km.measurements(id).genesis != (id == IMAGE)) genesisMarkLost = true;
    }

    function wait(uint256 time) external watched {
        uint256[6] memory steps = [uint256(12), 600, 1800, 3601, 1 days, uint256(NOTICE)];
        _later(steps[time % 6]);
    }

    /// @notice What must never pass: joining again, and answering what is not Pending.
    function attack(uint256 who, uint256 by) external watched {
        Key memory node = keys[who % keys.length];
        Key memory member = keys[by % keys.length];
        Status status = km.nodes(node.addr).status;
        if (status != Status.None) {
            try this.sendRegister(_registerOf(node)) {
                attackPassed = true;
            } catch {}
        }
        if (status != Status.Pending) {
            try this.sendOnboard(_onboardOf(node, member)) {
                attackPassed = true;
            } catch {}
        }
    }

    function sendRegister(RegisterCall memory c) external {
        require(msg.sender == address(this));
        km.register(
            c.node, c.encPub, c.measurementId, c.anchorNumber, c.anchorHash, c.documentHash, c.sig
        );
    }

    function sendOnboard(OnboardCall memory call) external {
        require(msg.sender == address(this));
        _send(call);
    }

    /* ACCOUNTS */

    function _mayAnswer(Key memory node, Key memory member) private view returns (bool) {
        Node memory n = km.nodes(node.addr);
        return km.isMember(member.addr) && n.status == Status.Pending
            && vm.getBlockTimestamp() <= n.until && _isImageAllowed(n.measurement)
            && !banned[node.addr][member.addr];
    }

    function _judgeHandover(address node, address member) private {
        if (!km.isMember(member)) onboardedByOutsider = true;
        if (!_isImageAllowed(km.nodes(node).measurement)) onboardedForbiddenImage = true;
        if (banned[node][member]) onboardedByBanned = true;
    }

    function _record(OnboardCall memory call) private {
        ++handovers[call.node][call.attempt];
        answeredBy[call.node] = call.by;
        handoverOf[call.node] = _handoverOf(call);
    }

    function _isOnboardedInTime(address node) private view returns (bool) {
        Node memory n = km.nodes(node);
        return n.status == Status.Onboarded && vm.getBlockTimestamp() <= n.until;
    }

    function _isImageAllowed(uint16 index) private view returns (bool) {
        for (uint256 i = 0; i < images.length; ++i) {
            Measurement memory m = km.measurements(images[i]);
            if (m.index == index) return m.state == MeasurementState.Allowed;
        }
        return false;
    }

    function _watch(address node) private {
        Status before = lastStatus[node];
        Status now_ = km.nodes(node).status;
        if (before == now_) return;
        if (before > Status.Active) terminalCleared = true;
        if (!_isLegal(before, now_)) illegalTransition = true;
        lastStatus[node] = now_;
    }

    /// @dev The protocol's table of statuses.
    function _isLegal(Status from, Status to) private pure returns (bool) {
        if (from == Status.None) return to == Status.Pending;
        if (from == Status.Pending) {
            return to == Status.Onboarded || to == Status.Expired || to == Status.Revoked;
        }
        if (from == Status.Onboarded) {
            return to == Status.Active || to == Status.Pending || to == Status.Failed
                || to == Status.Unconfirmed || to == Status.Revoked;
        }
        if (from == Status.Active) return to == Status.Revoked || to == Status.Expired;
        return false;
    }
}
