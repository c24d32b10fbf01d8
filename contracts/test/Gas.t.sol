// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Digests} from "../src/libraries/Digests.sol";
import {BaseTest} from "./Base.t.sol";

/// @notice What each transaction costs, whole: 21,000, calldata (or its floor) and execution. The
/// figures go to `snapshots/gas.json`, which is compared on every run; budgets are asserted here.
/// A network has stood for a while: its counters are not zero and another node is on its way.
/// forge-config: default.isolate = true
contract GasTest is BaseTest {
    uint256 private constant BATCH = 10;

    Key[] private batch;

    function setUp() public override {
        super.setUp();
        _network();
        _join(second, first);
        _send(_registerOf(_key("someone else")));
        _later(12);
    }

    function test_RegisterCostsAtMost70k() public {
        _send(_registerOf(newcomer));
        _within("register", 70_000);
    }

    function test_OnboardCostsAtMost80k() public {
        _send(_registerOf(newcomer));
        _later(12);
        _send(_onboardOf(newcomer, second));
        _within("onboard", 80_000);
    }

    function test_ConfirmCostsAtMost50k() public {
        _send(_registerOf(newcomer));
        bytes32 handover = _answer(newcomer, second);
        _later(12);
        _confirmBy(newcomer, handover);
        _within("confirm", 50_000);
    }

    function test_RenewCostsAtMost40k() public {
        _later(1 days);
        _renewBy(second);
        _within("renew", 40_000);
    }

    function test_InABatchOfTenEachOnboardCostsAtMost56kAndEachConfirm28k() public {
        for (uint256 i = 0; i < BATCH; ++i) {
            batch.push(_key(string(abi.encodePacked("batch", i))));
            _send(_registerOf(batch[i]));
        }
        _later(12);
        (OnboardItem[] memory items, bytes32[] memory handovers, bytes memory sig) =
            _batchOf(batch, second);
        (uint64 number, bytes32 hash) = _view();
        km.onboardBatch(second.addr, 1, number, hash, items, sig);
        _within("onboard, batch of 10", BATCH * 56_000);

        _later(12);
        km.confirmBatch(_receipts(handovers));
        _within("confirm, batch of 10", BATCH * 28_000);
    }

    /// @notice A contract holds 24,576 bytes at most; rotation has yet to fit in.
    function test_TheCodeLeavesRoomForRotation() public {
        vm.snapshotValue("code", "runtime bytes", address(km).code.length);
        vm.assertTrue(address(km).code.length <= 18_500, "runtime bytes");
    }

    function test_TheRestIsRecorded() public {
        _send(_registerOf(newcomer));
        _answer(newcomer, second);
        _rejectBy(newcomer, second);
        vm.snapshotGasLastCall("gas", "reject");
        _send(_onboardOf(newcomer, first));
        vm.snapshotGasLastCall("gas", "onboard, second attempt");
        vm.prank(owner);
        km.revoke(newcomer.addr, 0, "");
        vm.snapshotGasLastCall("gas", "revoke");
        _later(1 hours + 1);
        km.expire(_key("someone else").addr);
        vm.snapshotGasLastCall("gas", "expire");
        _propose(NEXT_IMAGE);
        vm.snapshotGasLastCall("gas", "proposeMeasurement");
        _later(NOTICE);
        km.activateMeasurement(NEXT_IMAGE);
        vm.snapshotGasLastCall("gas", "activateMeasurement");
    }

    function _batchOf(Key[] memory nodes, Key memory by)
        private
        view
        returns (OnboardItem[] memory items, bytes32[] memory handovers, bytes memory sig)
    {
        items = new OnboardItem[](nodes.length);
        handovers = new bytes32[](nodes.length);
        bytes32[] memory entries = new bytes32[](nodes.length);
        for (uint256 i = 0; i < nodes.length; ++i) {
            OnboardCall memory call = _onboardOf(nodes[i], by);
            items[i] = OnboardItem(call.node, call.attempt, call.commitment, call.ciphertext);
            handovers[i] = _handoverOf(call);
            entries[i] = Digests.onboardEntry(
                call.node, call.attempt, call.commitment, keccak256(call.ciphertext)
            );
        }
        (uint64 number, bytes32 hash) = _view();
        sig = _sign(by, _digest(Digests.onboardBatch(by.addr, 1, number, hash, entries)));
    }

    function _receipts(bytes32[] memory handovers)
        private
        view
        returns (ConfirmItem[] memory items)
    {
        items = new ConfirmItem[](handovers.length);
        for (uint256 i = 0; i < handovers.length; ++i) {
            bytes32 digest = _digest(Digests.confirm(batch[i].addr, handovers[i]));
            items[i] = ConfirmItem(
                batch[i].addr, handovers[i], _sign(batch[i], digest), _sign(epochKey, digest)
            );
        }
    }

    function _within(string memory name, uint256 budget) private {
        uint256 used = vm.snapshotGasLastCall("gas", name);
        vm.assertTrue(used <= budget, name);
    }
}
