// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.28;

/// Moves ether in every way that leaves a trace, and in some that only seem to move it.
contract Mover {
    error Failed();

    receive() external payable {}

    /// One internal call that carries all that came with this one.
    function forward(address to) external payable {
        _pay(to, msg.value);
    }

    /// One internal call for each receiver; the rest stays here.
    function spread(address[] calldata to, uint256[] calldata amounts) external payable {
        for (uint256 i = 0; i < to.length; ++i) _pay(to[i], amounts[i]);
    }

    /// Pays from what lies here.
    function pay(address to, uint256 amount) external payable {
        _pay(to, amount);
    }

    /// Calls itself `depth` times with the value in hand, then pays it out.
    function nest(uint256 depth, address to) external payable {
        if (depth == 0) _pay(to, msg.value);
        else Mover(payable(address(this))).nest{value: msg.value}(depth - 1, to);
    }

    /// The payment succeeds inside a call that fails after it: the value stays here.
    function tryForward(address to) external payable returns (bool kept) {
        try this.forwardThenFail{value: msg.value}(to) {
            return false;
        } catch {
            return true;
        }
    }

    /// One payment is undone with its frame, the same payment made again is kept.
    function tryThenForward(address to) external payable {
        try this.forwardThenFail{value: msg.value}(to) {} catch {}
        _pay(to, msg.value);
    }

    function forwardThenFail(address to) external payable {
        _pay(to, msg.value);
        revert Failed();
    }

    /// The called contract runs out of the gas that it was given: nothing moves.
    function tryWithGas(address to, uint256 gasLimit) external payable returns (bool sent) {
        (sent,) = to.call{value: msg.value, gas: gasLimit}("");
    }

    /// The whole transaction fails.
    function fail() external payable {
        revert Failed();
    }

    /// A contract is created with value.
    function create() external payable returns (address child) {
        child = address(new Child{value: msg.value}());
    }

    /// A contract is created with value, which its constructor passes on.
    function createPaying(address to) external payable returns (address child) {
        child = address(new PayingChild{value: msg.value}(to));
    }

    /// The constructor of a contract made with value fails, and takes its creation along.
    function tryCreate() external payable returns (bool kept) {
        try new FailingChild{value: msg.value}() {
            return false;
        } catch {
            return true;
        }
    }

    /// SELFDESTRUCT hands over the balance and, since EIP-6780, leaves the contract. To itself it
    /// moves nothing.
    function destroy(address to) external {
        selfdestruct(payable(to));
    }

    /// Made and destroyed in one transaction: the value goes to `to`, and is burnt where `to` is 0.
    function createAndDestroy(address to) external payable returns (address child) {
        child = address(new Ephemeral{value: msg.value}(to));
    }

    /// The code of `library_` pays `to` in this contract's name: the call frame carries this
    /// transaction's value, and moves nothing itself.
    function delegate(address library_, address to, uint256 amount) external payable {
        (bool sent,) = library_.delegatecall(abi.encodeCall(Mover.pay, (to, amount)));
        if (!sent) revert Failed();
    }

    /// CALLCODE names another contract and a value, but pays this contract: nothing moves.
    function callCode(address library_, uint256 amount) external payable {
        bool sent;
        assembly {
            sent := callcode(gas(), library_, amount, 0, 0, 0, 0)
        }
        if (!sent) revert Failed();
    }

    /// A call of another contract without value.
    function callWithZero(address to) external {
        _pay(to, 0);
    }

    /// A payment to itself.
    function callSelf() external payable {
        _pay(address(this), msg.value);
    }

    /// Pays the block's fee recipient, as builders are paid.
    function payFeeRecipient() external payable {
        _pay(block.coinbase, msg.value);
    }

    function _pay(address to, uint256 amount) private {
        (bool sent,) = to.call{value: amount}("");
        if (!sent) revert Failed();
    }
}

contract Child {
    constructor() payable {}
}

contract PayingChild {
    constructor(address to) payable {
        (bool sent,) = to.call{value: msg.value}("");
        require(sent);
    }
}

contract FailingChild {
    constructor() payable {
        revert Mover.Failed();
    }
}

contract Ephemeral {
    constructor(address to) payable {
        selfdestruct(payable(to == address(0) ? address(this) : to));
    }
}

/// Spends all the gas it gets, as soon as it is paid.
contract Glutton {
    receive() external payable {
        while (true) {}
    }
}
