// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";

import {BaseTest} from "../Base.t.sol";

contract BootstrapTest is BaseTest {
    function setUp() public override {
        super.setUp();
        _propose(IMAGE);
    }

    function test_StartsTheNetworkWithItsFirstNode() public {
        BootstrapCall memory call = _bootstrapBy(first);
        _send(call);

        vm.assertEq(km.xPub(), epochKey.addr, "xPub");
        vm.assertEq(km.appRoot(), appRootAddress, "appRoot");
        vm.assertEq(km.epoch(), 1, "epoch");
        vm.assertEq(km.appEpoch(), 1, "appEpoch");
        (address xPub, address appRoot, uint64 since) = km.epochs(1);
        vm.assertEq(xPub, epochKey.addr, "epochs(1).xPub");
        vm.assertEq(appRoot, appRootAddress, "epochs(1).appRoot");
        vm.assertEq(since, START_TIME, "epochs(1).since");
        vm.assertEq(km.genesisDocument(), keccak256(call.document), "genesisDocument");
        vm.assertEq(km.genesisNode(), first.addr, "genesisNode");
        vm.assertEq(km.genesisBlock(), START_BLOCK, "genesisBlock");
        vm.assertEq(km.genesisTime(), START_TIME, "genesisTime");
        _countsAre(1, 0);
        vm.assertTrue(km.isMember(first.addr), "member");
    }

    function test_TheFirstNodesSlotKeepsItsCommitmentAndLease() public {
        BootstrapCall memory call = _bootstrapBy(first);
        _send(call);
        Node memory n = km.nodes(first.addr);
        vm.assertEq(n.commitment, uint160(uint256(_bootstrapHash(call))), "commitment");
        vm.assertEq(uint256(n.status), uint256(Status.Active), "status");
        vm.assertEq(n.attempt, 0, "attempt");
        vm.assertEq(n.epoch, 1, "epoch");
        vm.assertEq(n.until, START_TIME + 7 days, "until");
        vm.assertEq(n.measurement, 1, "measurement");
        vm.assertEq(n.seed, 0, "seed");
    }

    function test_TellsWhatItDid() public {
        BootstrapCall memory call = _bootstrapBy(first);
        vm.expectEmit(address(km));
        emit Bootstrapped(
            call.node,
            call.encPub,
            call.measurementId,
            call.anchorNumber,
            call.anchorHash,
            call.xPub,
            call.appRoot,
            keccak256(call.document),
            uint32(START_TIME + 7 days)
        );
        vm.expectEmit(address(km));
        emit EpochStarted(1, call.xPub, call.appRoot);
        _send(call);
    }

    function test_TakesADocumentOf96KiB() public {
        BootstrapCall memory call = _bootstrapBy(first);
        call.document = new bytes(98_304);
        _send(call);
        vm.assertEq(km.genesisDocument(), keccak256(call.document), "genesisDocument");
    }

    function test_RevertWhen_TheSenderIsNotTheOwner() public {
        BootstrapCall memory c = _bootstrapBy(first);
        _expect(
            abi.encodeWithSelector(Ownable.OwnableUnauthorizedAccount.selector, address(stranger))
        );
        vm.prank(stranger);
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

    function test_RevertWhen_TheNetworkHasStarted() public {
        _send(_bootstrapBy(first));
        BootstrapCall memory again = _bootstrapBy(second);
        _expect(abi.encodeWithSelector(AlreadyBootstrapped.selector, 1));
        _send(again);
    }

    function test_RevertWhen_TheAppRootIsZero() public {
        BootstrapCall memory call = _bootstrapBy(first);
        call.appRoot = address(0);
        _signBootstrap(call, first, epochKey);
        _expect(abi.encodeWithSelector(ZeroArgument.selector, bytes32("appRoot")));
        _send(call);
    }

    function test_RevertWhen_TheEpochKeyIsZero() public {
        BootstrapCall memory call = _bootstrapBy(first);
        call.xPub = address(0);
        _signBootstrap(call, first, epochKey);
        _expect(abi.encodeWithSelector(BadSignature.selector, address(0), epochKey.addr));
        _send(call);
        call.epochSig = new bytes(65);
        _expect(abi.encodeWithSelector(BadSignature.selector, address(0), address(0)));
        _send(call);
    }

    function test_RevertWhen_TheDocumentIsEmpty() public {
        BootstrapCall memory call = _bootstrapBy(first);
        call.document = "";
        _expect(abi.encodeWithSelector(DocumentSize.selector, 0, 98_304));
        _send(call);
    }

    function test_RevertWhen_TheDocumentIsAbove96KiB() public {
        BootstrapCall memory call = _bootstrapBy(first);
        call.document = new bytes(98_305);
        _expect(abi.encodeWithSelector(DocumentSize.selector, 98_305, 98_304));
        _send(call);
    }

    function test_RevertWhen_TheImageIsUnknown() public {
        BootstrapCall memory call = _bootstrapBy(first);
        call.measurementId = NEXT_IMAGE;
        _signBootstrap(call, first, epochKey);
        _expect(
            abi.encodeWithSelector(
                MeasurementNotAllowed.selector, NEXT_IMAGE, MeasurementState.None
            )
        );
        _send(call);
    }

    function test_RevertWhen_TheImageWasRemoved() public {
        vm.prank(owner);
        km.removeMeasurement(IMAGE);
        BootstrapCall memory call = _bootstrapBy(first);
        _expect(
            abi.encodeWithSelector(MeasurementNotAllowed.selector, IMAGE, MeasurementState.Removed)
        );
        _send(call);
    }

    function test_RevertWhen_TheAnchorIsOfAnotherChain() public {
        BootstrapCall memory call = _bootstrapBy(first);
        bytes32 actual = call.anchorHash;
        call.anchorHash = keccak256("another chain");
        _signBootstrap(call, first, epochKey);
        _expect(
            abi.encodeWithSelector(
                UnknownBlock.selector, call.anchorNumber, call.anchorHash, actual
            )
        );
        _send(call);
    }

    function test_RevertWhen_TheNodeDidNotSign() public {
        BootstrapCall memory call = _bootstrapBy(first);
        call.nodeSig = call.epochSig;
        _expect(abi.encodeWithSelector(BadSignature.selector, first.addr, epochKey.addr));
        _send(call);
    }

    function test_RevertWhen_TheEpochKeyDidNotSign() public {
        BootstrapCall memory call = _bootstrapBy(first);
        call.epochSig = call.nodeSig;
        _expect(abi.encodeWithSelector(BadSignature.selector, epochKey.addr, first.addr));
        _send(call);
    }
}
