// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Digests} from "../src/libraries/Digests.sol";
import {BaseTest} from "./Base.t.sol";
import {KeyManagerUnderTest} from "./KeyManagerUnderTest.sol";

/// @notice The contract's digests are the guest's: both are compared with the same vectors.
contract DigestsTest is BaseTest {
    string private json;
    address private place;
    uint256 private chain;

    function setUp() public override {
        super.setUp();
        json = vm.readFile("../tests/vectors/digests.json");
        place = _address(".contract");
        chain = _uint(".chainId");
    }

    function test_RegisterIsTheGuests() public view {
        _check(
            ".register",
            Digests.register(
                _address(".register.node"),
                _word(".register.encPub"),
                _word(".register.measurementId"),
                uint64(_uint(".register.anchorNumber")),
                _word(".register.anchorHash")
            )
        );
    }

    function test_RegisterTxIsTheGuests() public view {
        bytes32 registerDigest = _word(".registerTx.registerDigest");
        vm.assertEq(registerDigest, _word(".register.digest"), "the digest inside");
        _check(".registerTx", Digests.registerTx(registerDigest, _word(".registerTx.documentHash")));
    }

    function test_BootstrapIsTheGuests() public view {
        _check(
            ".bootstrap",
            Digests.bootstrap(
                _address(".bootstrap.node"),
                _word(".bootstrap.encPub"),
                _word(".bootstrap.measurementId"),
                uint64(_uint(".bootstrap.anchorNumber")),
                _word(".bootstrap.anchorHash"),
                _address(".bootstrap.xPub"),
                _address(".bootstrap.appRoot")
            )
        );
    }

    function test_HandoverIsTheGuests() public view {
        _check(
            ".handover",
            Digests.handover(
                _address(".handover.node"),
                _address(".handover.by"),
                uint32(_uint(".handover.epoch")),
                uint8(_uint(".handover.attempt")),
                _word(".handover.commitment")
            )
        );
    }

    function test_HandoverIdIsTheGuests() public view {
        bytes32 id =
            Digests.handoverId(_word(".handover.digest"), _word(".handoverId.ciphertextHash"));
        vm.assertEq(id, _word(".handoverId.id"), "handoverId");
    }

    function test_OnboardIsTheGuests() public view {
        _check(
            ".onboard",
            Digests.onboard(
                _address(".onboard.node"),
                _address(".onboard.by"),
                uint32(_uint(".onboard.epoch")),
                uint8(_uint(".onboard.attempt")),
                _word(".onboard.commitment"),
                uint64(_uint(".onboard.viewNumber")),
                _word(".onboard.viewHash"),
                _word(".onboard.ciphertextHash")
            )
        );
    }

    function test_OnboardBatchIsTheGuests() public view {
        bytes32[] memory entries = new bytes32[](3);
        entries[0] = _entry(".onboardBatch.entries[0]");
        entries[1] = _entry(".onboardBatch.entries[1]");
        entries[2] = _entry(".onboardBatch.entries[2]");
        vm.assertFalse(vm.keyExistsJson(json, ".onboardBatch.entries[3]"), "a fourth entry");
        _check(
            ".onboardBatch",
            Digests.onboardBatch(
                _address(".onboardBatch.by"),
                uint32(_uint(".onboardBatch.epoch")),
                uint64(_uint(".onboardBatch.viewNumber")),
                _word(".onboardBatch.viewHash"),
                entries
            )
        );
    }

    function test_ConfirmIsTheGuests() public view {
        _check(".confirm", Digests.confirm(_address(".confirm.node"), _word(".confirm.handover")));
    }

    function test_RejectIsTheGuests() public view {
        _check(
            ".reject",
            Digests.reject(
                _address(".reject.node"),
                _word(".reject.handover"),
                uint8(_uint(".reject.reason")),
                uint64(_uint(".reject.viewNumber")),
                _word(".reject.viewHash")
            )
        );
    }

    function test_RenewIsTheGuests() public view {
        _check(
            ".renew",
            Digests.renew(
                _address(".renew.node"),
                uint64(_uint(".renew.viewNumber")),
                _word(".renew.viewHash")
            )
        );
    }

    function test_LeaveIsTheGuests() public view {
        _check(".leave", Digests.leaveRequest(_address(".leave.node"), _word(".leave.commitment")));
    }

    function test_AppDataIsTheGuests() public view {
        _check(".appData", Digests.appData(_word(".appData.appData")));
    }

    function test_AppIdIsTheGuests() public view {
        bytes20 id = Digests.appId(_word(".networkId"));
        vm.assertEq(address(id), _address(".appId"), "appId");
    }

    function test_TheContractsOwnDomainIsTheGuests() public {
        vm.chainId(chain);
        _verifiesAt(place, km);
    }

    /// @dev The contract itself, at the vectors' address and chain, accepts the guest's signature.
    function _verifiesAt(address where, KeyManagerUnderTest code) private {
        vm.etch(where, address(code).code);
        bytes32 head = bytes32(uint256(uint160(_address(".signer"))));
        vm.store(where, bytes32(0), head);
        bytes memory sig = vm.parseJsonBytes(json, ".appData.signature");
        bytes32 data = _word(".appData.appData");
        vm.assertTrue(KeyManagerUnderTest(where).verify(data, sig), "the guest's signature");
        vm.chainId(chain + 1);
        vm.assertFalse(KeyManagerUnderTest(where).verify(data, sig), "on another chain");
    }

    function _check(string memory name, bytes32 structHash) private view {
        vm.assertEq(structHash, _word(string.concat(name, ".structHash")), name);
        bytes32 digest = _digestFor(place, chain, "Replicatoor TEST", structHash);
        vm.assertEq(digest, _word(string.concat(name, ".digest")), name);
        bytes memory signed = vm.parseJsonBytes(json, string.concat(name, ".signature"));
        Key memory signer = Key(_address(".signer"), uint256(_word(".signerKey")));
        vm.assertEq(vm.addr(signer.secret), signer.addr, "signer");
        vm.assertEq(keccak256(signed), keccak256(_sign(signer, digest)), "signature");
    }

    function _entry(string memory path) private view returns (bytes32) {
        return Digests.onboardEntry(
            _address(string.concat(path, ".node")),
            uint8(_uint(string.concat(path, ".attempt"))),
            _word(string.concat(path, ".commitment")),
            _word(string.concat(path, ".ciphertextHash"))
        );
    }

    function _address(string memory key) private view returns (address) {
        return vm.parseJsonAddress(json, key);
    }

    function _word(string memory key) private view returns (bytes32) {
        return vm.parseJsonBytes32(json, key);
    }

    function _uint(string memory key) private view returns (uint256) {
        return vm.parseJsonUint(json, key);
    }
}
