// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.28;

/// A token's rate, by every name under which a protocol tells it; it refuses while it is 0.
contract Rates {
    uint256 private rate;

    error NoRate();

    constructor(uint256 rate_) {
        rate = rate_;
    }

    function set(uint256 rate_) external {
        rate = rate_;
    }

    function stEthPerToken() external view returns (uint256) {
        return _of(1 ether);
    }

    function getExchangeRate() external view returns (uint256) {
        return _of(1 ether);
    }

    function exchangeRate() external view returns (uint256) {
        return _of(1 ether);
    }

    function getRate() external view returns (uint256) {
        return _of(1 ether);
    }

    function underlyingBalanceFromShares(uint256 shares) external view returns (uint256) {
        return _of(shares);
    }

    function mETHToETH(uint256 amount) external view returns (uint256) {
        return _of(amount);
    }

    function _of(uint256 amount) private view returns (uint256) {
        if (rate == 0) revert NoRate();
        return amount * rate / 1 ether;
    }
}
