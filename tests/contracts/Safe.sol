// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.28;

/// A multisig wallet with the calls and the events of Safe 1.4.1, as far as a payout needs them.
/// Of its signatures only the approved form is known (v = 1: r names an owner who approved the hash,
/// or who sends); its hash is this contract's own, not that of EIP-712. It refunds no gas.
contract Safe {
    event SafeSetup(
        address indexed initiator, address[] owners, uint256 threshold, address initializer,
        address fallbackHandler
    );
    event SafeReceived(address indexed sender, uint256 value);
    event ApproveHash(bytes32 indexed approvedHash, address indexed owner);
    event ExecutionSuccess(bytes32 indexed txHash, uint256 payment);
    event ExecutionFailure(bytes32 indexed txHash, uint256 payment);

    address private singleton; // the proxy's first slot
    address[] private owners;
    mapping(address => bool) public isOwner;
    mapping(address => mapping(bytes32 => bool)) public approvedHashes;
    uint256 private threshold;
    uint256 public nonce;

    error AlreadySetUp();
    error BadOwners();
    error BadSignatures();
    error CallFailed();

    receive() external payable {
        emit SafeReceived(msg.sender, msg.value);
    }

    function setup(address[] calldata owners_, uint256 threshold_) external {
        if (threshold != 0) revert AlreadySetUp();
        if (threshold_ == 0 || threshold_ > owners_.length) revert BadOwners();
        for (uint256 i = 0; i < owners_.length; ++i) isOwner[owners_[i]] = true;
        owners = owners_;
        threshold = threshold_;
        emit SafeSetup(msg.sender, owners_, threshold_, address(0), address(0));
    }

    function approveHash(bytes32 hash) external {
        if (!isOwner[msg.sender]) revert BadOwners();
        approvedHashes[msg.sender][hash] = true;
        emit ApproveHash(hash, msg.sender);
    }

    /// Calls out (operation 0), or runs another's code in the wallet's name (operation 1). A payout
    /// that fails fails the transaction, unless `safeTxGas` is given: then it is told by event.
    function execTransaction(
        address to, uint256 value, bytes calldata data, uint8 operation, uint256 safeTxGas, uint256,
        uint256, address, address payable, bytes calldata signatures
    ) external payable returns (bool success) {
        bytes32 hash = hashOf(to, value, data, operation, nonce++);
        _check(hash, signatures);
        uint256 gasGiven = safeTxGas == 0 ? gasleft() : safeTxGas;
        if (operation == 1) (success,) = to.delegatecall{gas: gasGiven}(data);
        else (success,) = to.call{value: value, gas: gasGiven}(data);
        if (!success && safeTxGas == 0) revert CallFailed();
        if (success) emit ExecutionSuccess(hash, 0);
        else emit ExecutionFailure(hash, 0);
    }

    function hashOf(
        address to, uint256 value, bytes calldata data, uint8 operation, uint256 nonce_
    ) public view returns (bytes32) {
        return keccak256(abi.encode(address(this), to, value, keccak256(data), operation, nonce_));
    }

    function getOwners() external view returns (address[] memory) {
        return owners;
    }

    function getThreshold() external view returns (uint256) {
        return threshold;
    }

    /// Owners in rising order, so that none counts twice.
    function _check(bytes32 hash, bytes calldata signatures) private view {
        if (threshold == 0 || signatures.length < threshold * 65) revert BadSignatures();
        address last;
        for (uint256 i = 0; i < threshold; ++i) {
            bytes calldata one = signatures[i * 65:i * 65 + 65];
            address owner = address(uint160(uint256(bytes32(one[0:32]))));
            bool approved = owner == msg.sender || approvedHashes[owner][hash];
            if (uint8(one[64]) != 1 || owner <= last || !isOwner[owner] || !approved) {
                revert BadSignatures();
            }
            last = owner;
        }
    }
}

/// What a Safe's address really holds: code that runs the singleton's by DELEGATECALL, so that every
/// call of it shows two frames with the same value, of which one moves it.
contract SafeProxy {
    address private singleton;

    constructor(address singleton_) {
        singleton = singleton_;
    }

    fallback() external payable {
        _run();
    }

    receive() external payable {
        _run();
    }

    function _run() private {
        (bool done, bytes memory told) = singleton.delegatecall(msg.data);
        assembly {
            if done { return(add(told, 32), mload(told)) }
            revert(add(told, 32), mload(told))
        }
    }
}
