// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Ownable, Ownable2Step} from "@openzeppelin/contracts/access/Ownable2Step.sol";

import {KeyManagerStorage} from "./KeyManagerStorage.sol";
import {IKeyManager} from "./interfaces/IKeyManager.sol";

/// @title What the owner may do: images and the app's container
/// @notice The owner can take out at once and can add only after public notice. It reads nothing.
abstract contract Governance is KeyManagerStorage, Ownable2Step, IKeyManager {
    /// @notice How many images may be allowed without notice, before the first node.
    uint256 private constant MAX_GENESIS_MEASUREMENTS = 8;
    /// @notice Bytes of a container's name. Guests prove its slots one by one.
    uint256 private constant MAX_CONTAINER_BYTES = 512;

    /// @inheritdoc IKeyManager
    uint32 public immutable notice;

    constructor(address owner_, uint32 notice_) Ownable(owner_) {
        notice = notice_;
    }

    /// @notice Reverts: a network without an owner could never take out a broken image.
    function renounceOwnership() public view override onlyOwner {
        revert OwnershipCannotBeRenounced(owner());
    }

    /// @inheritdoc IKeyManager
    function proposeMeasurement(bytes32 id, bytes32 imageHash) external onlyOwner {
        require(id != 0, ZeroArgument("id"));
        Measurement storage measurement = _measurements[id];
        MeasurementState state = measurement.state;
        require(
            state == MeasurementState.None || state == MeasurementState.Cancelled,
            WrongMeasurementState(id, state)
        );
        uint16 index = measurement.index;
        if (index == 0) {
            require(_measurementCount < type(uint16).max, TooManyMeasurements(type(uint16).max));
            index = ++_measurementCount;
        }
        bool genesis = _head.epoch == 0;
        uint40 activeFrom = uint40(block.timestamp + (genesis ? 0 : notice));
        _measurements[id] = Measurement({
            index: index,
            state: MeasurementState.Proposed,
            genesis: genesis,
            activeFrom: activeFrom,
            removedAt: 0
        });
        emit MeasurementProposed(id, index, imageHash, activeFrom, genesis);
        if (genesis) {
            require(
                _genesisMeasurementCount < MAX_GENESIS_MEASUREMENTS,
                TooManyMeasurements(MAX_GENESIS_MEASUREMENTS)
            );
            ++_genesisMeasurementCount;
            _allow(id);
        }
    }

    /// @inheritdoc IKeyManager
    function activateMeasurement(bytes32 id) external {
        _requireState(id, MeasurementState.Proposed);
        uint40 activeFrom = _measurements[id].activeFrom;
        require(block.timestamp >= activeFrom, NoticeRunning(id, activeFrom));
        _allow(id);
    }

    /// @inheritdoc IKeyManager
    function cancelMeasurement(bytes32 id) external onlyOwner {
        _requireState(id, MeasurementState.Proposed);
        _measurements[id].state = MeasurementState.Cancelled;
        emit MeasurementCancelled(id, _measurements[id].index);
    }

    /// @inheritdoc IKeyManager
    function removeMeasurement(bytes32 id) external onlyOwner {
        _requireState(id, MeasurementState.Allowed);
        Measurement storage measurement = _measurements[id];
        uint16 index = measurement.index;
        measurement.state = MeasurementState.Removed;
        measurement.removedAt = uint40(block.timestamp);
        _allowed[index >> 8] &= ~(uint256(1) << (index & 0xff));
        emit MeasurementRemoved(id, index);
    }

    /// @inheritdoc IKeyManager
    function setContainer(string calldata container_) external onlyOwner {
        uint256 size = bytes(container_).length;
        require(size <= MAX_CONTAINER_BYTES, ContainerSize(size, MAX_CONTAINER_BYTES));
        uint64 from = uint64(block.timestamp);
        if (_head.epoch == 0) {
            _container = container_;
        } else {
            if (_nextIsEffective()) _container = _nextContainer;
            from += notice;
            _nextContainer = container_;
            _nextContainerFrom = from;
        }
        emit ContainerProposed(container_, from);
    }

    /// @inheritdoc IKeyManager
    function container() external view returns (string memory) {
        return _nextIsEffective() ? _nextContainer : _container;
    }

    /// @inheritdoc IKeyManager
    function pendingContainer()
        external
        view
        returns (string memory container_, uint64 activeFrom)
    {
        if (_nextContainerFrom != 0 && !_nextIsEffective()) {
            return (_nextContainer, _nextContainerFrom);
        }
    }

    /// @inheritdoc IKeyManager
    function measurements(bytes32 id) external view returns (Measurement memory) {
        return _measurements[id];
    }

    function _allow(bytes32 id) private {
        Measurement storage measurement = _measurements[id];
        uint16 index = measurement.index;
        measurement.state = MeasurementState.Allowed;
        _allowed[index >> 8] |= uint256(1) << (index & 0xff);
        emit MeasurementActivated(id, index);
    }

    function _requireState(bytes32 id, MeasurementState expected) private view {
        MeasurementState state = _measurements[id].state;
        require(state == expected, WrongMeasurementState(id, state));
    }

    function _nextIsEffective() private view returns (bool) {
        return _nextContainerFrom != 0 && block.timestamp >= _nextContainerFrom;
    }
}
