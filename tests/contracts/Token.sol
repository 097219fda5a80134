// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.28;

/// An ERC-20 that does what its events say.
contract Token {
    event Transfer(address indexed from, address indexed to, uint256 value);
    event Approval(address indexed owner, address indexed spender, uint256 value);

    string public name;
    string public symbol;
    uint8 public immutable decimals;
    uint256 public totalSupply;
    mapping(address => uint256) public balanceOf;
    mapping(address => mapping(address => uint256)) public allowance;

    error Insufficient();

    constructor(string memory symbol_, uint8 decimals_, uint256 supply) {
        name = symbol_;
        symbol = symbol_;
        decimals = decimals_;
        mint(msg.sender, supply);
    }

    function mint(address to, uint256 value) public {
        totalSupply += value;
        balanceOf[to] += value;
        emit Transfer(address(0), to, value);
    }

    function burn(uint256 value) external {
        _take(msg.sender, value);
        totalSupply -= value;
        emit Transfer(msg.sender, address(0), value);
    }

    function approve(address spender, uint256 value) external returns (bool) {
        allowance[msg.sender][spender] = value;
        emit Approval(msg.sender, spender, value);
        return true;
    }

    function transfer(address to, uint256 value) external returns (bool) {
        _move(msg.sender, to, value);
        return true;
    }

    function transferFrom(address from, address to, uint256 value) external returns (bool) {
        uint256 allowed = allowance[from][msg.sender];
        if (allowed < value) revert Insufficient();
        allowance[from][msg.sender] = allowed - value;
        _move(from, to, value);
        return true;
    }

    function _move(address from, address to, uint256 value) internal virtual {
        _take(from, value);
        balanceOf[to] += value;
        emit Transfer(from, to, value);
    }

    function _take(address from, uint256 value) internal {
        if (balanceOf[from] < value) revert Insufficient();
        balanceOf[from] -= value;
    }
}

/// Keeps a part of every transfer. Its event tells the receiver's part and the collector's, or with
/// `tellsGross` only what the sender gave.
contract FeeToken is Token {
    uint256 public immutable basisPoints;
    bool public immutable tellsGross;
    address public immutable collector;

    constructor(uint256 supply, uint256 basisPoints_, bool tellsGross_, address collector_)
        Token("FEE", 18, supply)
    {
        basisPoints = basisPoints_;
        tellsGross = tellsGross_;
        collector = collector_;
    }

    function _move(address from, address to, uint256 value) internal override {
        uint256 fee = (value * basisPoints) / 10_000;
        _take(from, value);
        balanceOf[to] += value - fee;
        balanceOf[collector] += fee;
        if (tellsGross) {
            emit Transfer(from, to, value);
        } else {
            emit Transfer(from, to, value - fee);
            emit Transfer(from, collector, fee);
        }
    }
}

/// Tells of transfers that did not happen, and keeps quiet about those that did.
contract LyingToken is Token {
    constructor(uint256 supply) Token("LIE", 18, supply) {}

    function pretend(address from, address to, uint256 value) external {
        emit Transfer(from, to, value);
    }

    function moveQuietly(address from, address to, uint256 value) external {
        _take(from, value);
        balanceOf[to] += value;
    }
}
