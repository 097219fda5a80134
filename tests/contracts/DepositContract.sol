// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.28;

/// The beacon chain's deposit contract as a log reader sees it: the call, the value and the event
/// of the consensus specs (solidity_deposit_contract). It keeps no Merkle tree and takes any root.
contract DepositContract {
    event DepositEvent(
        bytes pubkey, bytes withdrawal_credentials, bytes amount, bytes signature, bytes index
    );

    uint64 private count;

    error BadLength();
    error BadValue();

    function deposit(
        bytes calldata pubkey, bytes calldata withdrawal_credentials, bytes calldata signature, bytes32
    ) external payable {
        if (pubkey.length != 48 || withdrawal_credentials.length != 32 || signature.length != 96) {
            revert BadLength();
        }
        if (msg.value < 1 ether || msg.value % 1 gwei != 0) revert BadValue();
        bytes memory amount = _littleEndian(uint64(msg.value / 1 gwei));
        emit DepositEvent(pubkey, withdrawal_credentials, amount, signature, _littleEndian(count++));
    }

    function get_deposit_count() external view returns (bytes memory) {
        return _littleEndian(count);
    }

    function _littleEndian(uint64 value) private pure returns (bytes memory told) {
        told = new bytes(8);
        for (uint256 i = 0; i < 8; ++i) told[i] = bytes1(uint8(value >> (8 * i)));
    }
}
