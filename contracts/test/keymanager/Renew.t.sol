// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Digests} from "../../src/libraries/Digests.sol";
import {BaseTest} from "../Base.t.sol";

contract RenewTest is BaseTest {
    function setUp() public override {
        super.setUp();
        _network();
        _join(second, first);
        _later(1 days);
    }

    function test_StartsTheLeaseAnewAndChangesNothingElse() public {
        Node memory before = km.nodes(second.addr);
        _renewBy(second);
        Node memory n = km.nodes(second.addr);
        vm.assertEq(n.until, vm.getBlockTimestamp() + 7 days, "until");
        before.until = n.until;
        vm.assertEq(keccak256(abi.encode(n)), keccak256(abi.encode(before)), "the rest");
        _countsAre(2, 0);
    }

    function test_TellsWhatItDid() public {
        vm.expectEmit(address(km));
        emit Renewed(second.addr, uint32(vm.getBlockTimestamp() + 7 days));
        _renewBy(second);
    }

    function test_RevivesANodeWhoseLeaseIsOver() public {
        vm.warp(uint256(km.nodes(second.addr).until) + 6 days);
        vm.assertFalse(km.isMember(second.addr), "lapsed");
        vm.assertEq(km.statusOf(second.addr), "Lapsed", "statusOf");
        _renewBy(second);
        vm.assertTrue(km.isMember(second.addr), "revived");
        vm.assertEq(km.statusOf(second.addr), "Active", "statusOf");
    }

    function test_ANetworkWhoseLeasesAreAllOverIsRevivedByItsNodes() public {
        _later(365 days);
        _renewBy(first);
        _renewBy(second);
        _join(newcomer, second);
        _countsAre(3, 0);
    }

    function test_RevertWhen_TheNodeIsUnknown() public {
        _refuses(newcomer, Status.None);
    }

    function test_RevertWhen_TheNodeIsPending() public {
        _send(_registerOf(newcomer));
        _refuses(newcomer, Status.Pending);
    }

    function test_RevertWhen_TheNodeIsOnboarded() public {
        _send(_registerOf(newcomer));
        _answer(newcomer, first);
        _refuses(newcomer, Status.Onboarded);
    }

    function test_RevertWhen_TheNodeHasExpired() public {
        vm.warp(uint256(km.nodes(second.addr).until) + 7 days + 1);
        km.expire(second.addr);
        _refuses(second, Status.Expired);
    }

    function test_RevertWhen_TheNodeWasRevoked() public {
        vm.prank(owner);
        km.revoke(second.addr, 0, "");
        _refuses(second, Status.Revoked);
    }

    function test_RevertWhen_TheNodesEpochIsOver() public {
        _setEpoch(2);
        (uint64 number, bytes32 hash) = _view();
        bytes memory sig = _signatureOf(second, number, hash);
        _expect(abi.encodeWithSelector(EpochOver.selector, second.addr, 1, 2));
        km.renew(second.addr, number, hash, sig);
    }

    function test_RevertWhen_TheNodesImageWasRemoved() public {
        vm.prank(owner);
        km.removeMeasurement(IMAGE);
        (uint64 number, bytes32 hash) = _view();
        bytes memory sig = _signatureOf(second, number, hash);
        _expect(abi.encodeWithSelector(ImageNotAllowed.selector, second.addr, 1));
        km.renew(second.addr, number, hash, sig);
    }

    function test_RevertWhen_AnOldRenewalIsReplayed() public {
        (uint64 number, bytes32 hash) = _view();
        bytes memory sig = _signatureOf(second, number, hash);
        km.renew(second.addr, number, hash, sig);
        vm.roll(uint256(number) + 257);
        _expect(abi.encodeWithSelector(UnknownBlock.selector, number, hash, 0));
        km.renew(second.addr, number, hash, sig);
    }

    function test_RevertWhen_AnotherNodeSigned() public {
        (uint64 number, bytes32 hash) = _view();
        bytes memory sig = _sign(first, _digest(Digests.renew(second.addr, number, hash)));
        _expect(abi.encodeWithSelector(BadSignature.selector, second.addr, first.addr));
        km.renew(second.addr, number, hash, sig);
    }

    function test_RevertWhen_TheSignatureIsNotExactlyOne() public {
        (uint64 number, bytes32 hash) = _view();
        bytes[] memory variants = _malformed(_signatureOf(second, number, hash));
        for (uint256 i = 0; i < variants.length; ++i) {
            _expect(abi.encodeWithSelector(BadSignature.selector, second.addr, address(0)));
            km.renew(second.addr, number, hash, variants[i]);
        }
    }

    function _refuses(Key memory node, Status status) private {
        (uint64 number, bytes32 hash) = _view();
        bytes memory sig = _signatureOf(node, number, hash);
        _expect(abi.encodeWithSelector(NotActive.selector, node.addr, status));
        km.renew(node.addr, number, hash, sig);
    }

    function _signatureOf(Key memory node, uint64 number, bytes32 hash)
        private
        view
        returns (bytes memory)
    {
        return _sign(node, _digest(Digests.renew(node.addr, number, hash)));
    }
}
