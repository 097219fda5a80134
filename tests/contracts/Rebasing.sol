// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.28;

/// A token whose balances are shares of a pool, in the form of Lido's stETH: when the pool grows
/// or is cut, every balance changes without an event. Amounts are rounded down, as there.
contract Rebasing {
    event Transfer(address indexed from, address indexed to, uint256 value);
    event TransferShares(address indexed from, address indexed to, uint256 sharesValue);

    string public constant name = "Rebasing ether";
    string public constant symbol = "rbETH";
    uint8 public constant decimals = 18;
    uint256 public getTotalShares;
    uint256 public totalSupply;
    mapping(address => uint256) public sharesOf;

    error Insufficient();

    /// One share for one unit until the first change of the pool.
    function mint(address to, uint256 amount) external returns (uint256 shares) {
        shares = getTotalShares == 0 ? amount : getSharesByPooledEth(amount);
        getTotalShares += shares;
        totalSupply += amount;
        sharesOf[to] += shares;
        _tell(address(0), to, shares);
    }

    /// The rate: from now on the shares that exist are worth `pooled` together. No event of any
    /// holder tells of it.
    function setPooled(uint256 pooled) external {
        totalSupply = pooled;
    }

    function transfer(address to, uint256 amount) external returns (bool) {
        _move(msg.sender, to, getSharesByPooledEth(amount));
        return true;
    }

    function transferShares(address to, uint256 shares) external returns (uint256) {
        _move(msg.sender, to, shares);
        return getPooledEthByShares(shares);
    }

    function balanceOf(address holder) external view returns (uint256) {
        return getPooledEthByShares(sharesOf[holder]);
    }

    function getPooledEthByShares(uint256 shares) public view returns (uint256) {
        return getTotalShares == 0 ? 0 : (shares * totalSupply) / getTotalShares;
    }

    function getSharesByPooledEth(uint256 amount) public view returns (uint256) {
        return totalSupply == 0 ? 0 : (amount * getTotalShares) / totalSupply;
    }

    function _move(address from, address to, uint256 shares) private {
        if (sharesOf[from] < shares) revert Insufficient();
        sharesOf[from] -= shares;
        sharesOf[to] += shares;
        _tell(from, to, shares);
    }

    function _tell(address from, address to, uint256 shares) private {
        emit Transfer(from, to, getPooledEthByShares(shares));
        emit TransferShares(from, to, shares);
    }
}
