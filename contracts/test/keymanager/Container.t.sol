// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";

import {BaseTest} from "../Base.t.sol";

contract ContainerTest is BaseTest {
    string private constant OLD = "registry.example/app@sha256:0001";
    string private constant NEW = "registry.example/app@sha256:0002";

    function test_BeforeTheNetworkStartsItIsSetAtOnce() public {
        vm.expectEmit(address(km));
        emit ContainerProposed(OLD, uint64(START_TIME));
        _set(OLD);
        _is(OLD, "", 0);
        _set(NEW);
        _is(NEW, "", 0);
    }

    function test_AfterwardsItChangesByTimeAlone() public {
        _set(OLD);
        _network();
        vm.expectEmit(address(km));
        emit ContainerProposed(NEW, uint64(START_TIME + NOTICE));
        _set(NEW);
        _is(OLD, NEW, START_TIME + NOTICE);
        vm.warp(START_TIME + NOTICE - 1);
        _is(OLD, NEW, START_TIME + NOTICE);
        vm.warp(START_TIME + NOTICE);
        _is(NEW, "", 0);
    }

    function test_ALaterCallReplacesThePendingOneAndTheNoticeStartsAnew() public {
        _set(OLD);
        _network();
        _set(NEW);
        _later(NOTICE - 1);
        _set("another");
        _is(OLD, "another", START_TIME + NOTICE - 1 + NOTICE);
        _later(1);
        _is(OLD, "another", START_TIME + NOTICE - 1 + NOTICE);
    }

    function test_ACallAfterTheNoticeKeepsTheOneInEffect() public {
        _network();
        _set(OLD);
        _later(NOTICE);
        _set(NEW);
        _is(OLD, NEW, START_TIME + 2 * uint256(NOTICE));
    }

    function test_ALongNameIsReplacedByAShortOneWithoutRemains() public {
        string memory long = string(_random("long", 512));
        _set(long);
        _network();
        _set(OLD);
        _is(long, OLD, START_TIME + NOTICE);
        _later(NOTICE);
        _set(NEW);
        _is(OLD, NEW, START_TIME + 2 * uint256(NOTICE));
    }

    function test_RevertWhen_TheNameIsAbove512Bytes() public {
        _expect(abi.encodeWithSelector(ContainerSize.selector, 513, 512));
        _set(string(new bytes(513)));
    }

    function test_RevertWhen_TheSenderIsNotTheOwner() public {
        _expect(
            abi.encodeWithSelector(Ownable.OwnableUnauthorizedAccount.selector, address(stranger))
        );
        vm.prank(stranger);
        km.setContainer(NEW);
    }

    function _set(string memory container) private {
        vm.prank(owner);
        km.setContainer(container);
    }

    function _is(string memory current, string memory next, uint256 from) private view {
        vm.assertEq(km.container(), current, "container");
        (string memory pending, uint64 activeFrom) = km.pendingContainer();
        vm.assertEq(pending, next, "pendingContainer");
        vm.assertEq(activeFrom, from, "activeFrom");
    }
}
