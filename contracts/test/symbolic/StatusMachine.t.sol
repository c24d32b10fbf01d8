// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IKeyManagerTypes} from "../../src/interfaces/IKeyManager.sol";
import {KeyManagerUnderTest} from "../KeyManagerUnderTest.sol";
import {Vm} from "../Vm.sol";

/// @notice What the prover adds to the runner's cheat codes.
interface ProverVm {
    function enableSymbolicStorage(address account) external;
}

/// @notice Proofs by symbolic execution, over any storage, message, time, sender and signature (a
/// recovery may yield any address). Whatever a call does to a node is a step of the protocol's
/// table, counts right, leaves every other node alone, and never touches the network's key.
contract StatusMachineProofs is IKeyManagerTypes {
    Vm private constant vm = Vm(address(uint160(uint256(keccak256("hevm cheat code")))));
    ProverVm private constant svm =
        ProverVm(address(uint160(uint256(keccak256("svm cheat code")))));
    uint256 private constant SLOT_NODES = 3;

    KeyManagerUnderTest private km;

    /// @dev The facts before the call, and which nodes they are of.
    struct Before {
        address node;
        address other;
        uint256 slot;
        uint256 otherSlot;
        uint256 head;
    }

    function setUp() public {
        bytes memory code = vm.getCode("AnyChain.sol:AnyChain");
        address deployed;
        assembly ("memory-safe") {
            deployed := create(0, add(code, 32), mload(code))
        }
        require(deployed != address(0), "not deployed");
        km = KeyManagerUnderTest(deployed);
        svm.enableSymbolicStorage(deployed);
    }

    function check_RegisterIsAStepOfTheTable(
        address node,
        address other,
        uint256 time,
        bytes32[4] calldata words,
        uint64 anchorNumber,
        bytes32[2] calldata sig
    ) public {
        Before memory before = _arrange(node, other, time);
        try km.register(
            node, words[0], words[1], anchorNumber, words[2], words[3], _signature(sig)
        ) {
            _succeeded();
        } catch {}
        _judge(before);
    }

    function check_OnboardIsAStepOfTheTable(
        address node,
        address other,
        address by,
        uint256 time,
        uint32 epoch,
        uint8 attempt,
        bytes32[2] calldata words,
        uint64 viewNumber,
        bytes32[2] calldata sig
    ) public {
        Before memory before = _arrange(node, other, time);
        bytes memory ciphertext = new bytes(1168); // the only size that is not refused at once
        try km.onboard(
            node, by, epoch, attempt, words[0], viewNumber, words[1], ciphertext, _signature(sig)
        ) {
            _succeeded();
        } catch {}
        _judge(before);
    }

    function check_ConfirmIsAStepOfTheTable(
        address node,
        address other,
        uint256 time,
        bytes32 handover,
        bytes32[2] calldata nodeSig,
        bytes32[2] calldata epochSig
    ) public {
        Before memory before = _arrange(node, other, time);
        try km.confirm(node, handover, _signature(nodeSig), _signature(epochSig)) {
            _succeeded();
        } catch {}
        _judge(before);
    }

    function check_RejectIsAStepOfTheTable(
        address node,
        address other,
        address by,
        uint256 time,
        bytes32[3] calldata words,
        uint8 reason,
        uint64 viewNumber,
        bytes32[2] calldata sig
    ) public {
        Before memory before = _arrange(node, other, time);
        try km.reject(node, by, words[0], words[1], reason, viewNumber, words[2], _signature(sig)) {
            _succeeded();
        } catch {}
        _judge(before);
    }

    function check_RenewIsAStepOfTheTable(
        address node,
        address other,
        uint256 time,
        uint64 viewNumber,
        bytes32 viewHash,
        bytes32[2] calldata sig
    ) public {
        Before memory before = _arrange(node, other, time);
        try km.renew(node, viewNumber, viewHash, _signature(sig)) {
            _succeeded();
        } catch {}
        _judge(before);
    }

    function check_RevokeIsAStepOfTheTable(
        address node,
        address other,
        uint256 time,
        address sender,
        bytes32 commitment,
        bytes32[2] calldata sig
    ) public {
        Before memory before = _arrange(node, other, time);
        vm.prank(sender);
        try km.revoke(node, commitment, _signature(sig)) {
            _succeeded();
        } catch {}
        _judge(before);
    }

    function check_ExpireIsAStepOfTheTable(address node, address other, uint256 time) public {
        Before memory before = _arrange(node, other, time);
        try km.expire(node) {
            _succeeded();
        } catch {}
        _judge(before);
    }

    /// @dev Called when a call went through; see {StatusMachineReach}.
    function _succeeded() internal pure virtual {}

    function _arrange(address node, address other, uint256 time)
        private
        returns (Before memory before)
    {
        vm.assume(node != other);
        vm.assume(time < 2 ** 32 - 8 days);
        vm.warp(time);
        before = Before(node, other, _slotOf(node), _slotOf(other), _head());
        vm.assume(uint8(before.slot >> 160) <= uint8(Status.Unconfirmed));
        // Counts that count this node at least, as the invariants say, and that have room.
        uint256 members = uint24(before.head >> 192);
        uint256 pending = uint24(before.head >> 216);
        vm.assume(members > 0 && members < type(uint24).max);
        vm.assume(pending > 0 && pending < type(uint24).max);
    }

    function _judge(Before memory before) private view {
        uint256 slot = _slotOf(before.node);
        uint256 head = _head();
        Status from = Status(uint8(before.slot >> 160));
        Status to = Status(uint8(slot >> 160));
        assert(from == to || _isLegal(from, to));
        if (from > Status.Active) assert(slot == before.slot);
        // Its image and its seed are fixed when it registers.
        if (from != Status.None) assert(slot >> 224 == before.slot >> 224);
        assert(_slotOf(before.other) == before.otherSlot);

        assert(
            _members(head) + _count(from == Status.Active)
                == _members(before.head) + _count(to == Status.Active)
        );
        assert(
            _pending(head) + _count(_isPending(from))
                == _pending(before.head) + _count(_isPending(to))
        );
        assert(uint192(head) == uint192(before.head));
        assert(head >> 240 == before.head >> 240);
    }

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

    function _isPending(Status status) private pure returns (bool) {
        return status == Status.Pending || status == Status.Onboarded;
    }

    function _members(uint256 head) private pure returns (uint256) {
        return uint24(head >> 192);
    }

    function _pending(uint256 head) private pure returns (uint256) {
        return uint24(head >> 216);
    }

    function _count(bool yes) private pure returns (uint256) {
        return yes ? 1 : 0;
    }

    function _signature(bytes32[2] calldata rs) private pure returns (bytes memory) {
        return abi.encodePacked(rs[0], rs[1], uint8(27));
    }

    function _head() private view returns (uint256) {
        return uint256(vm.load(address(km), 0));
    }

    function _slotOf(address node) private view returns (uint256) {
        return uint256(vm.load(address(km), keccak256(abi.encode(node, SLOT_NODES))));
    }
}

/// @notice The proofs say something only if each call can go through: here every one is refuted.
contract StatusMachineReach is StatusMachineProofs {
    function _succeeded() internal pure override {
        assert(false);
    }
}
