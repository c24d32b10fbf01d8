// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Digests} from "../../src/libraries/Digests.sol";
import {BaseTest} from "../Base.t.sol";

contract ConfirmBatchTest is BaseTest {
    Key[] private nodes;
    ConfirmItem[] private items;

    function setUp() public override {
        super.setUp();
        _network();
        for (uint256 i = 0; i < 3; ++i) {
            nodes.push(_key(string(abi.encodePacked("node ", bytes1(uint8(48 + i))))));
            _send(_registerOf(nodes[i]));
            items.push(_receipt(nodes[i], _answer(nodes[i], first)));
        }
    }

    function test_MakesEveryNodeActive() public {
        for (uint256 i = 0; i < 3; ++i) {
            vm.expectEmit(address(km));
            emit Confirmed(nodes[i].addr, items[i].handover, uint32(START_TIME + 7 days));
        }
        vm.prank(stranger);
        km.confirmBatch(items);
        for (uint256 i = 0; i < 3; ++i) {
            vm.assertTrue(km.isMember(nodes[i].addr), "member");
        }
        _countsAre(4, 0);
    }

    function test_AReceiptThatNoLongerAppliesIsSkippedAndTheOthersPass() public {
        _confirmBy(nodes[0], items[0].handover);
        _expectSkip(0, Refusal.NotOnboarded);
        items[1].handover = keccak256("another");
        _expectSkip(1, Refusal.OtherHandover);
        km.confirmBatch(items);
        _statusIs(nodes[0], Status.Active);
        _statusIs(nodes[1], Status.Onboarded);
        _statusIs(nodes[2], Status.Active);
        _countsAre(3, 1);
    }

    function test_ReceiptsWhoseHourIsPastAreSkipped() public {
        _later(1 hours + 1);
        for (uint256 i = 0; i < 3; ++i) {
            _expectSkip(i, Refusal.TooLate);
        }
        km.confirmBatch(items);
        _countsAre(1, 3);
    }

    function test_ReceiptsOfAnEpochThatIsOverAreSkipped() public {
        _setEpoch(2);
        for (uint256 i = 0; i < 3; ++i) {
            _expectSkip(i, Refusal.OtherEpoch);
        }
        km.confirmBatch(items);
    }

    function test_ANodeThatIsNamedTwiceCountsOnce() public {
        items[1] = items[0];
        _expectSkip(1, Refusal.NotOnboarded);
        km.confirmBatch(items);
        _countsAre(3, 1);
    }

    function test_RevertWhen_ThereAreMoreThan64Receipts() public {
        _expect(abi.encodeWithSelector(BatchSize.selector, 65, 64));
        km.confirmBatch(new ConfirmItem[](65));
    }

    function test_RevertWhen_ThereIsNoReceipt() public {
        _expect(abi.encodeWithSelector(BatchSize.selector, 0, 64));
        km.confirmBatch(new ConfirmItem[](0));
    }

    function test_RevertWhen_AnyNodesSignatureIsAnotherOnes() public {
        items[2].nodeSig = items[2].epochSig;
        _expect(abi.encodeWithSelector(BadSignature.selector, nodes[2].addr, epochKey.addr));
        km.confirmBatch(items);
    }

    function test_RevertWhen_AnyEpochSignatureIsAnotherOnes() public {
        items[2].epochSig = items[2].nodeSig;
        _expect(abi.encodeWithSelector(BadSignature.selector, epochKey.addr, nodes[2].addr));
        km.confirmBatch(items);
    }

    function _expectSkip(uint256 index, Refusal refusal) private {
        vm.expectEmit(address(km));
        emit Skipped(items[index].node, address(0), refusal);
    }

    function _receipt(Key memory node, bytes32 handover) private view returns (ConfirmItem memory) {
        bytes32 digest = _digest(Digests.confirm(node.addr, handover));
        return ConfirmItem(node.addr, handover, _sign(node, digest), _sign(epochKey, digest));
    }
}
